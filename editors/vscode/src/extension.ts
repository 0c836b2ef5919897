// foretype for VS Code: starts the language server and shows what it does. The suggestions
// themselves travel by standard LSP; nothing here reads code or talks to a network.

import * as vscode from 'vscode';
import { registerCommands } from './commands';
import { SERVER_SETTINGS } from './names';
import { NextEdit } from './nextEdit';
import { isAnswering } from './program';
import { Reports } from './reports';
import { Server } from './server';
import { Status } from './status';
import { Switches } from './switches';

const RESTARTING = ['path', 'languages', ...Object.keys(SERVER_SETTINGS)];

let server: Server | undefined;

/** Never waits: until this returns, VS Code keeps every command of ours in a queue. */
export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel('foretype', { log: true });
  const environment = vscode.Uri.joinPath(context.globalStorageUri, 'server').fsPath;
  const status = new Status();
  const switches = new Switches();
  const reports = new Reports();
  server = new Server(environment, status, switches, log);
  context.subscriptions.push(log, status, switches, reports, server, new NextEdit(server, switches));
  context.subscriptions.push(...registerCommands({ context, environment, server, switches, log, reports }));
  context.subscriptions.push(switches.onChange(() => void server?.refresh()));
  context.subscriptions.push(vscode.workspace.onDidChangeConfiguration((event) => void configurationChanged(event)));
  void begin(server, status);
}

async function begin(server: Server, status: Status): Promise<void> {
  await server.restart();
  if (status.kind === 'missing') void isAnswering(server);
}

async function configurationChanged(event: vscode.ConfigurationChangeEvent): Promise<void> {
  if (event.affectsConfiguration('foretype.enabled')) await server?.refresh();
  // The server takes what the user sets at its start; it takes a moment, and keeps one rule.
  if (RESTARTING.some((name) => event.affectsConfiguration(`foretype.${name}`))) await server?.restart();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}
