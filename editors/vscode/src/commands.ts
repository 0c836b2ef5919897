// The commands in the palette and in the status bar's menu.

import * as vscode from 'vscode';
import { offerInstall } from './install';
import { selectModel } from './models';
import { isAnswering } from './program';
import { doctor, statistics, type Reports } from './reports';
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
  if (name === undefined) {
    void vscode.window.showInformationMessage('foretype: open a file first: its language is switched.');
    return;
  }
  const isOn = await switches.toggleLanguage(name);
  vscode.window.setStatusBarMessage(`foretype: ${isOn ? 'on' : 'off'} for ${name}`, 3_000);
}

async function snooze({ switches }: Parts): Promise<void> {
  const items = [5, 15, 60, 240].map((minutes) => ({ label: minutes < 60 ? `${minutes} minutes` : `${minutes / 60} h`, minutes }));
  const picked = await vscode.window.showQuickPick(items, { title: 'foretype: no suggestions for ...' });
  if (picked !== undefined) switches.pause(picked.minutes);
}

async function toggle({ switches }: Parts): Promise<void> {
  await switches.toggle();
  vscode.window.setStatusBarMessage(`foretype: suggestions are ${switches.whyOff() ?? 'on'}`, 3_000);
}

const SHOW = { eager: 'nearly all that the model has to offer', balanced: 'what is more likely right than not', quiet: 'only what is very likely right', off: 'nothing' } as const;

async function show(): Promise<void> {
  const configuration = vscode.workspace.getConfiguration('foretype');
  const now = configuration.get<string>('show');
  const items = Object.entries(SHOW).map(([label, description]) => ({ label, description: label === now ? `${description} $(check)` : description }));
  const picked = await vscode.window.showQuickPick(items, { title: 'foretype: what is shown' });
  if (picked !== undefined) await configuration.update('show', picked.label, vscode.ConfigurationTarget.Global);
}

async function why({ server, switches }: Parts): Promise<void> {
  const off = switches.whyOff();
  if (off === undefined && !isAnswering(server)) return;
  const editor = vscode.window.activeTextEditor;
  const answer = off ?? (editor === undefined ? 'there is no text editor in front' : await server.why(editor));
  const asked = await vscode.window.showInformationMessage(`foretype: ${answer}.`, 'Show More or Less', 'Run Doctor');
  if (asked !== undefined) await vscode.commands.executeCommand(asked === 'Run Doctor' ? 'foretype.doctor' : 'foretype.show');
}

async function restart({ server }: Parts): Promise<void> {
  await server.restart();
  isAnswering(server);
}

async function install({ context, environment, server, log }: Parts): Promise<void> {
  const found = await server.find().catch(() => undefined);
  if (found !== undefined) {
    const answer = await vscode.window.showInformationMessage(`foretype: the server is installed: ${found.command}`, 'Install Again...');
    if (answer === undefined) return;
  }
  if (await offerInstall(context.extensionPath, environment, log, () => server.stop())) await server.restart();
}

async function menu(parts: Parts): Promise<void> {
  const why = parts.switches.whyOff();
  const name = language();
  const isListed = name !== undefined && parts.switches.languages().includes(name);
  const items = [
    ...(parts.server.status.kind === 'missing' ? [{ label: '$(cloud-download) Install the server...', command: 'foretype.install' }] : []),
    { label: why === undefined ? '$(circle-slash) Switch suggestions off' : '$(play) Switch suggestions on', command: 'foretype.toggle' },
    ...(name === undefined ? [] : [{ label: `$(symbol-file) ${isListed ? 'Off' : 'On'} for ${name}`, command: 'foretype.toggleLanguage' }]),
    { label: '$(clock) Snooze...', command: 'foretype.snooze' },
    { label: '$(settings) Show more or less...', command: 'foretype.show' },
    { label: '$(question) Why nothing here?', command: 'foretype.whyNothing' },
    { label: '$(package) Select model...', command: 'foretype.selectModel' },
    { label: '$(beaker) Tune a model on this repository...', command: 'foretype.tune' },
    { label: '$(debug-restart) Restart the server', command: 'foretype.restart' },
    { label: '$(pulse) Run doctor', command: 'foretype.doctor' },
    { label: '$(graph) Statistics', command: 'foretype.statistics' },
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
    toggle: () => toggle(parts),
    toggleLanguage: () => toggleLanguage(parts),
    snooze: () => snooze(parts),
    show: () => show(),
    whyNothing: () => why(parts),
    restart: () => restart(parts),
    install: () => install(parts),
    selectModel: () => selectModel(parts.server),
    tune: () => tune(parts.server),
    statistics: () => statistics(parts.server, parts.reports),
    doctor: () => doctor(parts.server, parts.reports),
    showLog: () => parts.log.show(),
    openSettings: () => vscode.commands.executeCommand('workbench.action.openSettings', '@ext:foretype.foretype'),
  };
  return Object.entries(commands).map(([name, run]) => vscode.commands.registerCommand(`foretype.${name}`, run));
}
