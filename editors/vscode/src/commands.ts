// The commands in the palette and in the status bar's menu.

import * as vscode from 'vscode';
import { offerInstall } from './install';
import { selectModel } from './models';
import { doctor, type Reports } from './reports';
import type { Server } from './server';
import type { Switches } from './switches';
import { tune } from './terminals';

/** What the commands work on. */
export interface Parts {
  readonly context: vscode.ExtensionContext;
  readonly environment: string;
  readonly server: Server;
  readonly switches: Switches;
  readonly log: vscode.LogOutputChannel;
  readonly reports: Reports;
}

function language(): string | undefined {
  return vscode.window.activeTextEditor?.document.languageId;
}

async function toggleLanguage({ switches }: Parts): Promise<void> {
  const name = language();
  if (name === undefined) return;
  const isOn = await switches.toggleLanguage(name);
  vscode.window.setStatusBarMessage(`foretype: ${isOn ? 'on' : 'off'} for ${name}`, 3_000);
}

async function snooze({ switches }: Parts): Promise<void> {
  const items = [5, 15, 60, 240].map((minutes) => ({ label: minutes < 60 ? `${minutes} minutes` : `${minutes / 60} h`, minutes }));
  const picked = await vscode.window.showQuickPick(items, { title: 'foretype: no suggestions for ...' });
  if (picked !== undefined) switches.pause(picked.minutes);
}

async function install({ context, environment, server, log }: Parts): Promise<void> {
  if (await offerInstall(context, environment, log)) await server.restart();
}

async function menu(parts: Parts): Promise<void> {
  const why = parts.switches.whyOff();
  const name = language();
  const isListed = name !== undefined && parts.switches.languages().includes(name);
  const missing = (await parts.server.command().catch(() => '')) === undefined;
  const items = [
    ...(missing ? [{ label: '$(cloud-download) Install the server...', command: 'foretype.install' }] : []),
    { label: why === undefined ? '$(circle-slash) Switch suggestions off' : '$(play) Switch suggestions on', command: 'foretype.toggle' },
    ...(name === undefined ? [] : [{ label: `$(symbol-file) ${isListed ? 'Off' : 'On'} for ${name}`, command: 'foretype.toggleLanguage' }]),
    { label: '$(clock) Snooze...', command: 'foretype.snooze' },
    { label: '$(package) Select model...', command: 'foretype.selectModel' },
    { label: '$(beaker) Tune a model on this repository...', command: 'foretype.tune' },
    { label: '$(debug-restart) Restart the server', command: 'foretype.restart' },
    { label: '$(pulse) Run doctor', command: 'foretype.doctor' },
    { label: '$(output) Show log', command: 'foretype.showLog' },
    { label: '$(gear) Settings', command: 'foretype.openSettings' },
  ];
  const picked = await vscode.window.showQuickPick(items, { title: 'foretype' });
  if (picked !== undefined) await vscode.commands.executeCommand(picked.command);
}

/** Register all commands; package.json describes them. */
export function registerCommands(parts: Parts): vscode.Disposable[] {
  const commands: Record<string, () => unknown> = {
    menu: () => menu(parts),
    toggle: () => parts.switches.toggle(),
    toggleLanguage: () => toggleLanguage(parts),
    snooze: () => snooze(parts),
    restart: () => parts.server.restart(),
    install: () => install(parts),
    selectModel: () => selectModel(parts.server),
    tune: () => tune(parts.server),
    doctor: () => doctor(parts.server, parts.reports),
    showLog: () => parts.log.show(),
    openSettings: () => vscode.commands.executeCommand('workbench.action.openSettings', '@ext:foretype.foretype'),
  };
  return Object.entries(commands).map(([name, run]) => vscode.commands.registerCommand(`foretype.${name}`, run));
}
