// Commands that run `foretype` in a terminal, where the user sees them and can end them.

import * as vscode from 'vscode';
import type { Server } from './server';

async function open(server: Server, log: vscode.LogOutputChannel, args: string[], cwd?: string): Promise<void> {
  const command = await server.command().catch((error: unknown) => void log.error(String(error)));
  if (command === undefined) {
    await vscode.commands.executeCommand('foretype.install');
    return;
  }
  vscode.window.createTerminal({ name: `foretype ${args[0]}`, shellPath: command, shellArgs: args, ...(cwd === undefined ? {} : { cwd }) }).show();
}

export function doctor(server: Server, log: vscode.LogOutputChannel): Promise<void> {
  return open(server, log, ['doctor']);
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
  if (picked !== undefined) await open(server, log, ['tune', ...picked.args, chosen.uri.fsPath], chosen.uri.fsPath);
}
