// What the doctor and the statistics say, as a document of its own: it can be read whole, searched and copied.

import { execFile } from 'node:child_process';
import * as vscode from 'vscode';
import { ENVIRONMENT } from './locate';
import { program } from './program';
import type { Server } from './server';
import { finding } from './told';

const SCHEME = 'foretype-report';
const LIMIT_MS = 5 * 60_000;

/** The newest report of each name. */
export class Reports implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  private readonly registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  private readonly texts = new Map<string, string>();
  readonly onDidChange = this.changed.event;

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.path) ?? '';
  }

  async show(name: string, text: string): Promise<void> {
    const uri = vscode.Uri.from({ scheme: SCHEME, path: `/foretype ${name}.txt` });
    this.texts.set(uri.path, text);
    this.changed.fire(uri); // one that is open already
    await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(uri), { preview: false });
  }

  dispose(): void {
    this.registration.dispose();
    this.changed.dispose();
  }
}

/** The folder whose memory and models are looked at. */
function place(): string[] {
  const uri = vscode.window.activeTextEditor?.document.uri;
  const folder = (uri && vscode.workspace.getWorkspaceFolder(uri)) ?? vscode.workspace.workspaceFolders?.[0];
  return folder?.uri.scheme === 'file' ? [folder.uri.fsPath] : [];
}

/** What a program writes. */
function output([command = '', ...args]: string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(command, args, { env: { ...process.env, ...ENVIRONMENT }, timeout: LIMIT_MS, windowsHide: true }, (error, stdout, stderr) => {
      resolve(`${stdout}${stderr}` || `${String(error)}\n`);
    });
  });
}

/** Show what was suggested lately and what became of it. */
export async function statistics(server: Server, reports: Reports): Promise<void> {
  const words = await program(server);
  if (words !== undefined) await reports.show('statistics', await output([...words, 'stats']));
}

/** Run the doctor, and show what it says after what this window knows. */
export async function doctor(server: Server, reports: Reports): Promise<void> {
  const words = await program(server);
  if (words === undefined) return;
  const title = 'foretype: the doctor looks at everything; half a minute or so';
  const report = await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title },
    () => output([...words, 'doctor', '--no-editors', '--', ...place()]),
  );
  const state = { failed: 'broken', missing: 'broken', off: 'warning', loading: 'ok', ready: 'ok' } as const;
  const here = [finding('ok', 'program', words.join(' ')), finding(state[server.status.kind], 'server', server.status.text)];
  await reports.show('doctor', `${here.join('\n')}\n${report}`);
}
