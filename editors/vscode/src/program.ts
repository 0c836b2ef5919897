// The server's program, for commands that run it themselves.

import * as vscode from 'vscode';
import type { Server } from './server';

/** Find it, or offer to install it; undefined if there is none, which the user has been told. */
export async function program(server: Server): Promise<string | undefined> {
  try {
    const command = await server.command();
    if (command !== undefined) return command;
    await vscode.commands.executeCommand('foretype.install');
    return await server.command();
  } catch (error) {
    const answer = await vscode.window.showErrorMessage(`foretype: ${error instanceof Error ? error.message : String(error)}`, 'Open Setting');
    if (answer !== undefined) await vscode.commands.executeCommand('workbench.action.openSettings', 'foretype.path');
    return undefined;
  }
}
