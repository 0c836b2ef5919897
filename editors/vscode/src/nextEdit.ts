// The next edit: asked for after a change, drawn as a decoration, jumped to and made by Tab.

import * as vscode from 'vscode';
import { difference } from './difference';
import type { Server } from './server';
import type { Switches } from './switches';

const CONTEXT = 'foretype.nextEdit'; // the keys' condition
const DELAY_MS = 150;
const DISMISS = 'foretype.dismissNextEdit';

interface Found {
  readonly uri: string;
  readonly version: number;
  readonly range: vscode.Range;
  readonly text: string;
}

/** The next edit of one window. */
export class NextEdit implements vscode.Disposable {
  private found: Found | undefined;
  private timer: NodeJS.Timeout | undefined;
  private question = 0; // an answer to any but the newest is dropped
  private changedLine = 0;
  private isAnswered = true; // nothing has changed since, or the cursor has not left its line
  private readonly old = vscode.window.createTextEditorDecorationType({ backgroundColor: new vscode.ThemeColor('diffEditor.removedTextBackground') });
  private readonly fresh = vscode.window.createTextEditorDecorationType({});
  private readonly hint = vscode.window.createTextEditorDecorationType({});
  private readonly listeners: vscode.Disposable[];

  constructor(
    private readonly server: Server,
    private readonly switches: Switches,
  ) {
    this.listeners = [
      this.old,
      this.fresh,
      this.hint,
      vscode.workspace.onDidChangeTextDocument((event) => {
        if (event.document !== vscode.window.activeTextEditor?.document || event.contentChanges.length === 0) return;
        this.isAnswered = false;
        this.changedLine = event.contentChanges[0]?.range.start.line ?? 0;
        this.later();
      }),
      vscode.window.onDidChangeTextEditorSelection((event) => {
        if (event.textEditor !== vscode.window.activeTextEditor) return;
        if (this.showing(event.textEditor) !== undefined) this.draw(event.textEditor);
        else if (!this.isAnswered) this.later(); // the cursor moved on behind what was typed
      }),
      vscode.window.onDidChangeActiveTextEditor(() => this.later()),
      vscode.commands.registerCommand('foretype.acceptNextEdit', () => this.accept()),
      vscode.commands.registerCommand('foretype.hideNextEdit', () => this.dismiss()),
      vscode.commands.registerCommand('foretype.askNextEdit', () => this.ask(true)),
    ];
  }

  private later(): void {
    this.clear();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ask(false), DELAY_MS);
  }

  private async ask(isByHand: boolean): Promise<void> {
    clearTimeout(this.timer); // its own question would take the place of one by hand
    const editor = vscode.window.activeTextEditor;
    if (editor === undefined || this.switches.whyOff() !== undefined) return;
    const { document } = editor;
    const version = document.version;
    const question = ++this.question;
    const [edit] = await this.server.nextEdits(editor, isByHand);
    if (question !== this.question || vscode.window.activeTextEditor !== editor || document.version !== version) return;
    this.clear();
    if (edit !== undefined || editor.selection.active.line !== this.changedLine) this.isAnswered = true;
    if (edit === undefined) {
      if (isByHand) vscode.window.setStatusBarMessage('foretype: no edit is due here', 5_000);
      return;
    }
    this.found = { uri: document.uri.toString(), version, ...edit };
    this.draw(editor);
    void vscode.commands.executeCommand('setContext', CONTEXT, true);
  }

  private showing(editor: vscode.TextEditor | undefined): Found | undefined {
    const found = this.found;
    return found?.uri === editor?.document.uri.toString() && found?.version === editor?.document.version ? found : undefined;
  }

  private isThere(editor: vscode.TextEditor, { range }: Found): boolean {
    const { line } = editor.selection.active;
    return line >= range.start.line && line <= range.end.line;
  }

  private draw(editor: vscode.TextEditor): void {
    const found = this.showing(editor);
    if (found === undefined) return;
    const { document } = editor;
    const [first, last, end] = difference(document.getText(found.range), found.text);
    const at = document.offsetAt(found.range.start);
    const range = new vscode.Range(document.positionAt(at + first), document.positionAt(at + last));
    const contentText = found.text.slice(first, end).replace(/\s*\n\s*/g, ' ⏎ ');
    const color = new vscode.ThemeColor('editorGhostText.foreground');
    editor.setDecorations(this.old, range.isEmpty ? [] : [range]);
    editor.setDecorations(this.fresh, [{ range: new vscode.Range(range.end, range.end), renderOptions: { after: { contentText, color } } }]);
    const line = document.lineAt(editor.selection.active.line).range.end;
    const words = `  Tab: next edit, line ${found.range.start.line + 1}`;
    const here = { range: new vscode.Range(line, line), renderOptions: { after: { contentText: words, color } } };
    editor.setDecorations(this.hint, this.isThere(editor, found) ? [] : [here]);
  }

  /** Go to the edit; where the cursor is there already, make it. */
  private async accept(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    const found = this.showing(editor);
    if (editor === undefined || found === undefined) return;
    if (!this.isThere(editor, found)) {
      const line = editor.document.lineAt(Math.min(found.range.start.line, editor.document.lineCount - 1));
      const place = new vscode.Position(line.lineNumber, line.firstNonWhitespaceCharacterIndex);
      editor.selection = new vscode.Selection(place, place);
      editor.revealRange(found.range, vscode.TextEditorRevealType.InCenterIfOutsideViewport);
      this.draw(editor);
      return;
    }
    this.clear();
    await editor.edit((builder) => builder.replace(found.range, found.text));
  }

  private async dismiss(): Promise<void> {
    if (this.found === undefined) return;
    this.question += 1; // an answer on its way may be the same edit
    this.clear();
    await this.server.ask(DISMISS);
  }

  private clear(): void {
    if (this.found === undefined) return;
    this.found = undefined;
    for (const editor of vscode.window.visibleTextEditors) {
      for (const type of [this.old, this.fresh, this.hint]) editor.setDecorations(type, []);
    }
    void vscode.commands.executeCommand('setContext', CONTEXT, false);
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.listeners.forEach((listener) => listener.dispose());
  }
}
