// Keeps one server running: starts it, watches the model load, starts it again when it ends.

import * as vscode from 'vscode';
import {
  CloseAction,
  DidChangeConfigurationNotification,
  ErrorAction,
  ExecuteCommandRequest,
  InlineCompletionRequest,
  InlineCompletionTriggerKind,
  LanguageClient,
  State,
  type LanguageClientOptions,
  type Range,
} from 'vscode-languageclient/node';
import { Backoff } from './backoff';
import { ENVIRONMENT, findServer, type Found } from './locate';
import { asServerOptions, PASSED_ON, type Layer } from './names';
import type { Status } from './status';
import { suggestionsBy } from './suggestions';
import { SWITCHED_OFF, type Switches } from './switches';
import { details, type Told } from './told';

const SECTION = 'foretype';
const SCHEMES = ['file', 'untitled', 'vscode-vfs'];
const POLL_MS = 300; // while the model loads
const LOOK_MS = 5_000; // afterwards, while the window is in front
const STOP_MS = 2_000;
const START_MS = 120_000; // to answer that it is there, which takes a server less than a second
const INLINE_EDIT = 'textDocument/copilotInlineEdit';

interface Edits {
  readonly edits: readonly { readonly range: Range; readonly text: string }[];
}

interface Layers {
  readonly user: Layer;
  readonly workspace: Layer;
}

function layers(): Layers {
  const configuration = vscode.workspace.getConfiguration(SECTION);
  const user: Record<string, unknown> = {};
  const workspace: Record<string, unknown> = {};
  for (const name of Object.keys(PASSED_ON)) {
    const seen = configuration.inspect(name);
    user[name] = seen?.globalValue;
    workspace[name] = seen?.workspaceFolderValue ?? seen?.workspaceValue;
  }
  return { user, workspace };
}

/** The server of this window. */
export class Server implements vscode.Disposable {
  private client: LanguageClient | undefined;
  private readonly backoff = new Backoff();
  private timer: NodeJS.Timeout | undefined;
  private turn: Promise<void> = Promise.resolve(); // starts and stops, one after another
  private lose = (): void => undefined; // patience with a start that is not answered

  constructor(
    private readonly environment: string,
    readonly status: Status,
    private readonly switches: Switches,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  /** Start, or start anew with the settings as they are now. */
  restart(): Promise<void> {
    this.backoff.reset();
    return this.inTurn(() => this.start());
  }

  stop(): Promise<void> {
    return this.inTurn(() => this.end());
  }

  /** The program in use or to be used; undefined if there is none. */
  find(): Promise<Found | undefined> {
    return findServer(vscode.workspace.getConfiguration(SECTION).get<string>('path', ''), this.environment);
  }

  /** Whether it can be asked. */
  get isRunning(): boolean {
    return this.client?.isRunning() === true;
  }

  /** Pass on what the workspace restricts. */
  async configure(): Promise<void> {
    const settings = { [SECTION]: asServerOptions(layers().workspace) };
    if (this.client?.isRunning()) await this.client.sendNotification(DidChangeConfigurationNotification.type, { settings });
  }

  dispose(): void {
    void this.stop();
  }

  private inTurn(step: () => Promise<void>): Promise<void> {
    this.lose();
    this.turn = this.turn.then(step).catch((error: unknown) => this.fail(String(error)));
    return this.turn;
  }

  private async end(): Promise<void> {
    clearTimeout(this.timer);
    const client = this.client;
    this.client = undefined;
    await client?.dispose(STOP_MS).catch((error: unknown) => this.log.warn(`the server did not end in order: ${String(error)}`));
  }

  private async start(): Promise<void> {
    await this.end();
    const why = this.switches.whyOff();
    if (why === SWITCHED_OFF) {
      this.status.set({ kind: 'off', why }); // no process, no memory, until it is switched on
      return;
    }
    this.status.set({ kind: 'loading' });
    let found: Found | undefined;
    try {
      found = await this.find();
    } catch (error) {
      this.fail(error instanceof Error ? error.message : String(error));
      return;
    }
    if (found === undefined) {
      this.status.set({ kind: 'missing' });
      return;
    }
    const [command = '', ...args] = [...found.words, 'lsp'];
    this.log.info(`starting ${[command, ...args].join(' ')}`);
    // The server does it by itself, too; so do its libraries then, however they come to be loaded.
    const options = { env: { ...process.env, ...ENVIRONMENT, ORT_DISABLE_TELEMETRY: '1' } };
    const client = new LanguageClient(SECTION, 'foretype', { command, args, options }, this.options());
    this.client = client;
    try {
      await this.begin(client, command);
    } catch (error) {
      if (this.client === client) this.ended(client, `could not be started: ${String(error)}`);
      return;
    }
    if (this.client !== client) return; // given up
    await this.configure();
    this.watchLoading(client);
  }

  /** Start it; a program that does not answer is given up, in the end or when somebody wants the next turn. */
  private async begin(client: LanguageClient, command: string): Promise<void> {
    let giveUp = (): void => undefined;
    const givenUp = new Promise<void>((resolve) => {
      giveUp = () => {
        this.client = undefined;
        client.serverProcess?.kill('SIGKILL');
        resolve();
      };
    });
    this.lose = () => {
      if (this.client === client && client.state === State.Starting) giveUp();
    };
    const timer = setTimeout(() => {
      giveUp();
      this.fail(`${command} does not answer: is it this program? The setting foretype.path names another`);
    }, START_MS);
    await Promise.race([client.start(), givenUp]).finally(() => clearTimeout(timer));
  }

  private options(): LanguageClientOptions {
    const toLog = (stream: NodeJS.ReadableStream): void => {
      stream.on('data', (data: unknown) => this.log.append(String(data))); // the server's own log lines
    };
    return {
      documentSelector: this.switches.languages().flatMap((language) => SCHEMES.map((scheme) => ({ scheme, language }))),
      outputChannel: this.log,
      initializationOptions: asServerOptions(layers().user),
      middleware: suggestionsBy(this.switches, this.status),
      stdioOptions: { stdout: toLog, stderr: toLog },
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => {
          const client = this.client;
          if (client !== undefined) this.ended(client, 'ended unexpectedly');
          return { action: CloseAction.DoNotRestart, handled: true };
        },
      },
      initializationFailedHandler: () => false,
    };
  }

  private ended(client: LanguageClient, what: string): void {
    if (this.client !== client) return;
    this.client = undefined;
    clearTimeout(this.timer);
    const waitMs = this.backoff.next(Date.now());
    if (waitMs === undefined) {
      this.fail(`the server ${what}, again and again`);
      return;
    }
    this.log.error(`the server ${what}; starting again in ${waitMs / 1000} s`);
    this.status.set({ kind: 'failed', why: `the server ${what}; starting again` });
    this.timer = setTimeout(() => void this.inTurn(() => this.start()), waitMs);
  }

  private fail(why: string): void {
    this.log.error(why);
    this.status.set({ kind: 'failed', why });
    void vscode.window.showErrorMessage(`foretype: ${why}`, 'Restart', 'Run Doctor', 'Show Log').then((answer) => {
      if (answer === 'Restart') void this.restart();
      if (answer === 'Run Doctor') void vscode.commands.executeCommand('foretype.doctor');
      if (answer === 'Show Log') this.log.show();
    });
  }

  /** The server's answer to one of its commands; undefined if there is none. */
  async ask<T>(command: string, ...args: unknown[]): Promise<T | undefined> {
    const client = this.client;
    if (client === undefined || !client.isRunning()) return undefined;
    try {
      return (await client.sendRequest(ExecuteCommandRequest.type, { command, arguments: args })) as T;
    } catch (error) {
      this.log.warn(`${command}: ${String(error)}`);
      return undefined;
    }
  }

  /** Why there is what there is at the cursor, in the server's words: it is asked about the place first. */
  async why({ document, selection }: vscode.TextEditor): Promise<string> {
    const client = this.client;
    if (!SCHEMES.includes(document.uri.scheme)) return `nothing is suggested in a document of the kind ${document.uri.scheme}`;
    if (client === undefined || !this.switches.languages().includes(document.languageId)) {
      return `nothing is suggested in ${document.languageId}; the setting foretype.languages names where`;
    }
    if (this.status.kind === 'loading') return 'the model is still loading';
    const place = client.code2ProtocolConverter.asTextDocumentPositionParams(document, selection.active);
    await client.sendRequest(InlineCompletionRequest.type, { ...place, context: { triggerKind: InlineCompletionTriggerKind.Automatic } });
    const told = await this.ask<{ readonly words?: string; readonly outcome: string }>('foretype.why');
    return told?.words ?? told?.outcome ?? 'the server does not say';
  }

  /** What edits are due, surest first; none while the server is away. */
  async nextEdits({ document, selection }: vscode.TextEditor, isByHand: boolean): Promise<{ range: vscode.Range; text: string }[]> {
    const client = this.client;
    if (client === undefined || !client.isRunning() || !this.switches.languages().includes(document.languageId)) return [];
    const { position } = client.code2ProtocolConverter.asTextDocumentPositionParams(document, selection.active);
    const textDocument = client.code2ProtocolConverter.asVersionedTextDocumentIdentifier(document);
    const triggerKind = isByHand ? InlineCompletionTriggerKind.Invoked : InlineCompletionTriggerKind.Automatic;
    try {
      const found = await client.sendRequest<Edits>(INLINE_EDIT, { textDocument, position, context: { triggerKind } });
      return found.edits.map(({ range, text }) => ({ range: client.protocol2CodeConverter.asRange(range), text }));
    } catch (error) {
      this.log.warn(`next edit: ${String(error)}`);
      return [];
    }
  }

  private watchLoading(client: LanguageClient): void {
    const look = async (): Promise<void> => {
      if (this.client !== client) return;
      const told = await this.look();
      if (this.client !== client) return;
      if (told?.engine === 'failed') this.fail('the model cannot be used; the log says why');
      else this.timer = setTimeout(() => void look(), told?.engine === 'ready' ? LOOK_MS : POLL_MS);
    };
    clearTimeout(this.timer);
    void look();
  }

  /** Ask the server how it is, and draw that. */
  async look(): Promise<Told | undefined> {
    if (this.status.kind === 'ready' && !vscode.window.state.focused) return { engine: 'ready' };
    const uri = vscode.window.activeTextEditor?.document.uri;
    const told = await this.ask<Told>('foretype.status', ...(uri?.scheme === 'file' ? [{ uri: uri.toString() }] : []));
    if (told?.engine === 'ready') this.show(told);
    return told;
  }

  /** Draw the state of a server that runs. */
  private show(told: Told): void {
    const why = this.switches.whyOff() ?? (told.enabled === false ? 'switched off in settings.toml' : undefined);
    this.status.set(why === undefined ? { kind: 'ready', details: details(told) } : { kind: 'off', why });
  }

  /** A switch was turned: start, or draw the new state. */
  async refresh(): Promise<void> {
    const why = this.switches.whyOff();
    if (this.client === undefined || why === SWITCHED_OFF) await this.restart();
    else if (why !== undefined) this.status.set({ kind: 'off', why });
    else {
      this.status.set({ kind: 'loading' });
      this.watchLoading(this.client);
    }
  }
}
