// foretype for VS Code: starts the language server and shows what it does. The suggestions
// themselves travel by standard LSP; nothing here reads code or talks to a network.

import * as vscode from 'vscode';
import { registerCommands } from './commands';
import { SERVER_SETTINGS } from './names';
import { Reports } from './reports';
import { Server } from './server';
import { Status } from './status';
import { Suggestions } from './suggestions';
import { Switches } from './switches';

const RESTARTING = ['path', 'languages', ...Object.keys(SERVER_SETTINGS)];

let server: Server | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const log = vscode.window.createOutputChannel('foretype', { log: true });
  const environment = vscode.Uri.joinPath(context.globalStorageUri, 'server').fsPath;
  const status = new Status();
  const switches = new Switches();
  const suggestions = new Suggestions(switches, status);
  const reports = new Reports();
  server = new Server(environment, status, switches, suggestions, log);
  context.subscriptions.push(log, status, switches, suggestions, reports, server);
  context.subscriptions.push(...registerCommands({ context, environment, server, switches, log, reports }));
  context.subscriptions.push(switches.onChange(() => void server?.refresh()));
  context.subscriptions.push(vscode.workspace.onDidChangeConfiguration((event) => void configurationChanged(event)));
  await server.restart();
  if (status.kind === 'missing') await sayWhatIsMissing();
}

async function sayWhatIsMissing(): Promise<void> {
  const answer = await vscode.window.showInformationMessage('foretype needs its server, which runs on this machine.', 'Install...', 'Later');
  if (answer === 'Install...') await vscode.commands.executeCommand('foretype.install');
}

async function configurationChanged(event: vscode.ConfigurationChangeEvent): Promise<void> {
  if (event.affectsConfiguration('foretype.enabled')) await server?.refresh();
  // The server takes what the user sets at its start; it takes a moment, and keeps one rule.
  if (RESTARTING.some((name) => event.affectsConfiguration(`foretype.${name}`))) await server?.restart();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}
