// What commands need of the server, and what the user is told where it is not there.

import * as vscode from 'vscode';
import type { Server } from './server';

/** A message with buttons, each a command of ours; nobody waits for it. */
function tell(message: string, buttons: Readonly<Record<string, string>>): void {
  void vscode.window.showInformationMessage(`foretype: ${message}`, ...Object.keys(buttons)).then((answer) => {
    const command = answer === undefined ? undefined : buttons[answer];
    if (command !== undefined) void vscode.commands.executeCommand(`foretype.${command}`);
  });
}

/** Say whether a server answers; if none does, tell the user at once why, and what to do. */
export function isAnswering(server: Server): boolean {
  if (server.isRunning) return true;
  if (server.status.kind === 'missing') tell('its server, which runs on this machine, is not installed yet.', { 'Install...': 'install' });
  else if (server.status.kind === 'off') tell('suggestions are switched off, and the server with them.', { 'Switch On': 'toggle' });
  else if (server.status.kind === 'failed') tell(server.status.text, { Restart: 'restart', 'Run Doctor': 'doctor', 'Show Log': 'showLog' });
  else tell('the server is starting; try again in a moment.', { 'Show Log': 'showLog' });
  return false;
}

/** The program's words for a command line; undefined if there is none, which the user has been told. */
export async function program(server: Server): Promise<readonly string[] | undefined> {
  try {
    const found = await server.find();
    if (found === undefined) isAnswering(server);
    return found?.words;
  } catch (error) {
    const answer = await vscode.window.showErrorMessage(`foretype: ${error instanceof Error ? error.message : String(error)}`, 'Open Setting');
    if (answer !== undefined) await vscode.commands.executeCommand('workbench.action.openSettings', 'foretype.path');
    return undefined;
  }
}
