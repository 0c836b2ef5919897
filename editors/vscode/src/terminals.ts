// `foretype tune` in a terminal: it runs for hours, where the user sees it and can end it.

import * as vscode from 'vscode';
import { ENVIRONMENT } from './locate';
import { program } from './program';
import type { Server } from './server';

const INTERRUPTED = 130; // by the user, who knows
const WHY: Readonly<Record<number, string>> = {
  3: 'this installation of the server cannot train: PyTorch is missing. The terminal says how to add it',
};

async function folder(): Promise<vscode.WorkspaceFolder | undefined> {
  const folders = (vscode.workspace.workspaceFolders ?? []).filter(({ uri }) => uri.scheme === 'file');
  if (folders.length > 1) return vscode.window.showWorkspaceFolderPick({ placeHolder: 'foretype: tune on which repository?' });
  if (folders.length === 0) void vscode.window.showInformationMessage('foretype: open a folder first: a model is tuned on a repository.');
  return folders[0];
}

async function isTrusted(): Promise<boolean> {
  if (vscode.workspace.isTrusted) return true;
  const answer = await vscode.window.showWarningMessage('foretype: a model is tuned only on folders that you trust.', 'Manage Trust');
  if (answer !== undefined) await vscode.commands.executeCommand('workbench.trust.manage');
  return false;
}

/** Say when a task ends without what it was for; its terminal stays open. */
function watch(execution: vscode.TaskExecution): void {
  const watching = vscode.tasks.onDidEndTaskProcess(({ execution: ended, exitCode }) => {
    if (ended !== execution) return;
    watching.dispose();
    if (exitCode === undefined || exitCode === 0 || exitCode === INTERRUPTED) return;
    void vscode.window.showWarningMessage(`foretype: ${WHY[exitCode] ?? 'tune ended without a model; the terminal says why'}.`);
  });
}

/** Train a model on a repository that the user trusts: git and the folder's code are read. */
export async function tune(server: Server): Promise<void> {
  if (!(await isTrusted())) return;
  const chosen = await folder();
  if (chosen === undefined) return;
  const words = await program(server);
  if (words === undefined) return;
  const items = [
    { label: 'Show the plan', description: 'what would be read, and how long it would take', args: ['--dry-run'] },
    { label: 'Tune', description: 'hours on this machine; Ctrl+C ends it, running it again goes on', args: [] },
  ];
  const picked = await vscode.window.showQuickPick(items, { title: `foretype: train a model on ${chosen.name}` });
  if (picked === undefined) return;
  const [command = '', ...args] = [...words, 'tune', ...picked.args, chosen.uri.fsPath];
  const run = new vscode.ProcessExecution(command, args, { cwd: chosen.uri.fsPath, env: ENVIRONMENT });
  const task = new vscode.Task({ type: 'process' }, chosen, 'tune', 'foretype', run, []);
  task.presentationOptions = { reveal: vscode.TaskRevealKind.Always, panel: vscode.TaskPanelKind.Dedicated, focus: true };
  watch(await vscode.tasks.executeTask(task));
}
