// Lets the user choose the weights: the base or a model of their own for this repository, which the
// server keeps; or a folder for everything, which is a setting and wins.

import { access } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { choices, type Shelf } from './choices';
import { isAnswering } from './program';
import type { Server } from './server';

const SWAPPED_MS = 3_000; // the server changes models at its next quiet moment

interface Answer {
  readonly ok: boolean;
  readonly message: string;
}

async function isModelFolder(folder: string): Promise<boolean> {
  return access(join(folder, 'foretype.json')).then(() => true, () => false);
}

async function setFolder(folder: string | undefined): Promise<void> {
  await vscode.workspace.getConfiguration('foretype').update('model', folder, vscode.ConfigurationTarget.Global);
}

async function browse(): Promise<void> {
  const [picked] = (await vscode.window.showOpenDialog({ canSelectFolders: true, canSelectFiles: false, openLabel: 'Use This Model' })) ?? [];
  if (picked === undefined) return;
  if (await isModelFolder(picked.fsPath)) await setFolder(picked.fsPath);
  else void vscode.window.showErrorMessage(`foretype: ${picked.fsPath} is no model folder: it has no foretype.json`);
}

/** The place that a choice is for: the document in front, else the first folder. */
function place(): { uri?: string } {
  const uri = vscode.window.activeTextEditor?.document.uri ?? vscode.workspace.workspaceFolders?.[0]?.uri;
  return uri?.scheme === 'file' ? { uri: uri.toString() } : {};
}

async function use(server: Server, name: string): Promise<void> {
  const answer = await server.ask<Answer>('foretype.useModel', { name, ...place() });
  if (answer === undefined) {
    void vscode.window.showWarningMessage('foretype: the server could not do that; "foretype: Show Log" says why.');
    return;
  }
  if (answer.ok) vscode.window.setStatusBarMessage(`foretype: ${answer.message}`, 10_000);
  else void vscode.window.showWarningMessage(`foretype: ${answer.message}`);
  setTimeout(() => void server.look(), SWAPPED_MS);
}

/** Ask for a model. */
export async function selectModel(server: Server): Promise<void> {
  if (!isAnswering(server)) return;
  const folder = vscode.workspace.getConfiguration('foretype').get<string>('model', '');
  const shelf = (await server.ask<Shelf>('foretype.models', place())) ?? { models: [] };
  if (shelf.message) void vscode.window.showWarningMessage(`foretype: ${shelf.message}`);
  const known = choices(shelf);
  const items = [
    ...known.map((choice) => ({ ...choice, run: () => use(server, choice.name) })),
    ...(folder === '' ? [] : [{ label: '$(close) Use the setting foretype.model no more', description: folder, run: () => setFolder(undefined) }]),
    { label: '$(folder-opened) Choose a model folder for everything...', description: 'sets foretype.model', run: browse },
    { label: '$(beaker) Tune a model on this repository...', description: '', run: () => vscode.commands.executeCommand('foretype.tune') },
  ];
  const picked = await vscode.window.showQuickPick(items, { title: 'foretype: the model that suggests here', placeHolder: known.length === 1 ? 'No model of your own fits this repository' : '' });
  await picked?.run();
}
