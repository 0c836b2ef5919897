// Commands that run the program itself: the doctor, whose report goes to the log, and `tune`, which
// runs for hours in a terminal, where the user sees it and can end it.

import { execFile } from 'node:child_process';
import * as vscode from 'vscode';
import type { Server } from './server';

const DOCTOR_MS = 5 * 60_000;

async function program(server: Server, log: vscode.LogOutputChannel): Promise<string | undefined> {
  const command = await server.command().catch((error: unknown) => void log.error(String(error)));
  if (command === undefined) await vscode.commands.executeCommand('foretype.install');
  return command;
}

/** Run the doctor; not in a terminal, since one closes with the program that it was opened for. */
export async function doctor(server: Server, log: vscode.LogOutputChannel): Promise<void> {
  const command = await program(server, log);
  if (command === undefined) return;
  const report = await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title: 'foretype doctor' },
    () => new Promise<string>((resolve) => {
      execFile(command, ['doctor'], { timeout: DOCTOR_MS }, (error, stdout, stderr) => {
        resolve(stdout || stderr || String(error));
      });
    }),
  );
  log.append(`\n${report}\n`);
  log.show();
}

async function folder(): Promise<vscode.WorkspaceFolder | undefined> {
  const folders = (vscode.workspace.workspaceFolders ?? []).filter(({ uri }) => uri.scheme === 'file');
  if (folders.length > 1) return vscode.window.showWorkspaceFolderPick({ placeHolder: 'foretype: tune on which repository?' });
  if (folders.length === 0) void vscode.window.showInformationMessage('foretype: open a folder first: a model is tuned on a repository.');
  return folders[0];
}

/** Train a model on a repository that the user trusts: git and the folder's code are read. */
export async function tune(server: Server, log: vscode.LogOutputChannel): Promise<void> {
  if (!vscode.workspace.isTrusted) {
    void vscode.window.showInformationMessage('foretype: a model is tuned only on folders that you trust.');
    return;
  }
  const chosen = await folder();
  if (chosen === undefined) return;
  const items = [
    { label: 'Show the plan', description: 'what would be read, and how long it would take', args: ['--dry-run'] },
    { label: 'Tune', description: 'hours on this machine; Ctrl+C ends it, running it again goes on', args: [] },
    { label: 'Tune on what is new', description: 'since the last model of this repository', args: ['--nightly'] },
  ];
  const picked = await vscode.window.showQuickPick(items, { title: `foretype: train a model on ${chosen.name}` });
  const command = picked === undefined ? undefined : await program(server, log);
  if (picked === undefined || command === undefined) return;
  // A task's terminal stays open when the program has ended.
  const run = new vscode.ProcessExecution(command, ['tune', ...picked.args, chosen.uri.fsPath], { cwd: chosen.uri.fsPath });
  const task = new vscode.Task({ type: 'process' }, chosen, 'tune', 'foretype', run, []);
  task.presentationOptions = { reveal: vscode.TaskRevealKind.Always, panel: vscode.TaskPanelKind.Dedicated };
  await vscode.tasks.executeTask(task);
}
