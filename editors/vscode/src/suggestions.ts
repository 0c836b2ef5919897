// What happens to suggestions on their way into the editor: switches, timing, what became of them.

import * as vscode from 'vscode';
import type { Middleware } from 'vscode-languageclient/node';
import { Watch } from './accepts';
import type { Status } from './status';
import type { Switches } from './switches';

export const ACCEPTED_COMMAND = 'foretype.onAccepted'; // VS Code runs it after a full accept

type Items = vscode.InlineCompletionItem[] | vscode.InlineCompletionList | null | undefined;

function itemsOf(result: Items): vscode.InlineCompletionItem[] {
  return Array.isArray(result) ? result : (result?.items ?? []);
}

/** The middleware of one window. */
export class Suggestions implements vscode.Disposable {
  private readonly watch = new Watch();
  private readonly listeners: vscode.Disposable[];

  constructor(
    private readonly switches: Switches,
    private readonly status: Status,
  ) {
    this.listeners = [
      vscode.workspace.onDidChangeTextDocument((event) => this.edited(event)),
      vscode.commands.registerCommand(ACCEPTED_COMMAND, (then?: vscode.Command) => this.accepted(then)),
    ];
  }

  readonly middleware: Pick<Middleware, 'provideInlineCompletionItems'> = {
    provideInlineCompletionItems: async (document, position, context, token, next) => {
      if (this.switches.whyOff() !== undefined) return [];
      const startedMs = performance.now();
      const result = await next(document, position, context, token);
      if (token.isCancellationRequested) return result;
      this.status.answered(performance.now() - startedMs);
      const items = itemsOf(result);
      this.offered(document, position, items);
      if (items.length === 0 && context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke) {
        vscode.window.setStatusBarMessage('foretype: nothing to suggest here; "foretype: Why Nothing Here?" says more', 5_000);
      }
      return result;
    },
  };

  private offered(document: vscode.TextDocument, position: vscode.Position, items: vscode.InlineCompletionItem[]): void {
    for (const item of items) {
      const then = item.command;
      item.command = { command: ACCEPTED_COMMAND, title: 'foretype', arguments: then ? [then] : [] };
    }
    const [first] = items;
    if (first === undefined || typeof first.insertText !== 'string') return;
    this.status.tally.offered += 1;
    this.watch.offered({
      uri: document.uri.toString(),
      start: document.offsetAt(first.range?.start ?? position),
      cursor: document.offsetAt(position),
      text: first.insertText,
    });
  }

  private edited(event: vscode.TextDocumentChangeEvent): void {
    for (const change of event.contentChanges) {
      const edit = { uri: event.document.uri.toString(), offset: change.rangeOffset, removed: change.rangeLength, text: change.text };
      if (this.watch.edited(edit) === 'partly') {
        this.status.tally.partly += 1;
        this.status.draw();
      }
    }
  }

  private async accepted(then: vscode.Command | undefined): Promise<void> {
    this.status.tally.whole += 1;
    this.status.draw();
    if (then !== undefined) await vscode.commands.executeCommand(then.command, ...((then.arguments as unknown[] | undefined) ?? []));
  }

  dispose(): void {
    this.listeners.forEach((listener) => listener.dispose());
  }
}
