// The doctor's report, as a document of its own: it can be read whole, searched and copied.

import { execFile } from 'node:child_process';
import * as vscode from 'vscode';
import { program } from './program';
import type { Server } from './server';
import { finding } from './told';

const SCHEME = 'foretype-report';
const REPORT = vscode.Uri.from({ scheme: SCHEME, path: '/foretype doctor.txt' });
const DOCTOR_MS = 5 * 60_000;

/** The newest report. */
export class Reports implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  private readonly registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  private text = '';
  readonly onDidChange = this.changed.event;

  provideTextDocumentContent(): string {
    return this.text;
  }

  async show(text: string): Promise<void> {
    this.text = text;
    this.changed.fire(REPORT); // one that is open already
    await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(REPORT), { preview: false });
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

/** Run the doctor, and show what it says after what this window knows. */
export async function doctor(server: Server, reports: Reports): Promise<void> {
  const words = await program(server);
  if (words === undefined) return;
  const title = 'foretype: the doctor looks at everything; half a minute or so';
  const report = await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title },
    () => new Promise<string>((resolve) => {
      const [command = '', ...args] = [...words, 'doctor', '--no-editors', '--', ...place()];
      execFile(command, args, { timeout: DOCTOR_MS }, (error, stdout, stderr) => {
        resolve(`${stdout}${stderr}` || `${String(error)}\n`);
      });
    }),
  );
  const state = { failed: 'broken', missing: 'broken', off: 'warning', loading: 'ok', ready: 'ok' } as const;
  const here = [finding('ok', 'program', words.join(' ')), finding(state[server.kind], 'server', server.summary)];
  await reports.show(`${here.join('\n')}\n${report}`);
}
