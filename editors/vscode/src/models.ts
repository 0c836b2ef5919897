// Lets the user choose the weights: the bundled ones, those used before, or a folder.

import { access } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';

const RECENT_KEY = 'recentModels';
const MAX_RECENT = 8;

async function isModelFolder(folder: string): Promise<boolean> {
  return access(join(folder, 'foretype.json')).then(() => true, () => false);
}

async function browse(): Promise<string | undefined> {
  const [picked] = (await vscode.window.showOpenDialog({ canSelectFolders: true, canSelectFiles: false, openLabel: 'Use This Model' })) ?? [];
  if (picked === undefined || (await isModelFolder(picked.fsPath))) return picked?.fsPath;
  void vscode.window.showErrorMessage(`foretype: ${picked.fsPath} is no model folder: it has no foretype.json`);
  return undefined;
}

/** Ask for a model and set it in the user's settings. */
export async function selectModel(context: vscode.ExtensionContext): Promise<void> {
  const configuration = vscode.workspace.getConfiguration('foretype');
  const current = configuration.get<string>('model', '');
  const recent = context.globalState.get<string[]>(RECENT_KEY, []);
  const known = [...new Set([current, ...recent])].filter((folder) => folder !== '');
  const mark = (folder: string): string => (folder === current ? '$(check) ' : '');
  const items = [
    { label: `${mark('')}Bundled model`, description: 'came with the server', folder: '' },
    ...known.map((folder) => ({ label: `${mark(folder)}${folder}`, description: '', folder })),
    { label: '$(folder-opened) Choose a model folder...', description: '', folder: undefined },
  ];
  const picked = await vscode.window.showQuickPick(items, { title: 'foretype: the model that suggests' });
  if (picked === undefined) return;
  const folder = picked.folder ?? (await browse());
  if (folder === undefined) return;
  if (folder !== '') await context.globalState.update(RECENT_KEY, [...new Set([folder, ...recent])].slice(0, MAX_RECENT));
  await configuration.update('model', folder === '' ? undefined : folder, vscode.ConfigurationTarget.Global);
}
