// Offers to install the server from the wheel inside this extension; runs nothing unasked.

import { execFile } from 'node:child_process';
import { mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import * as vscode from 'vscode';
import { onPath } from './locate';
import { alone } from './lock';
import { failure, plansFor, shown, type Plan, type Tools } from './plans';

const run = promisify(execFile);
const TIMEOUT_MS = 15 * 60_000; // a slow network and 100 MB of onnxruntime and friends
const IS_WINDOWS = process.platform === 'win32';
const NEW_ENOUGH = 'import sys; sys.exit(sys.version_info < (3, 11))';

type Outcome = 'installed' | 'failed' | 'left';

function named(name: string): string[] {
  return IS_WINDOWS ? [`${name}.exe`] : [name];
}

async function findPython(): Promise<string | undefined> {
  for (const name of ['python3', 'python3.14', 'python3.13', 'python3.12', 'python3.11', 'python']) {
    const path = await onPath(named(name));
    if (path === undefined) continue;
    try {
      await run(path, ['-I', '-c', NEW_ENOUGH], { timeout: 30_000, windowsHide: true });
      return path;
    } catch {
      continue; // too old, or a stub that only opens a shop
    }
  }
  return undefined;
}

async function findTools(): Promise<Tools> {
  const [uv, pipx, python] = await Promise.all([onPath(named('uv')), onPath(named('pipx')), findPython()]);
  return { uv, pipx, python };
}

/** The server's wheel in this extension, and the folder of all its libraries if they are there too. */
async function findWheel(extensionPath: string): Promise<{ wheel: string; libraries: string | undefined } | undefined> {
  const folder = join(extensionPath, 'server');
  const names = await readdir(folder).catch(() => []);
  const wheel = names.find((name) => name.startsWith('foretype-'));
  return wheel === undefined ? undefined : { wheel: join(folder, wheel), libraries: names.length > 1 ? folder : undefined };
}

async function choose(plans: Plan[]): Promise<Plan | undefined> {
  if (plans.length === 1) return plans[0];
  const items = plans.map((plan) => ({ label: plan.title, detail: plan.detail, plan }));
  const picked = await vscode.window.showQuickPick(items, { title: 'Install the foretype server' });
  return picked?.plan;
}

async function consent(plan: Plan, isOffline: boolean): Promise<boolean> {
  const commands = plan.commands.map(shown).join('\n\n');
  const fetched = isOffline ? 'all that they need came with this extension' : "they fetch the server's libraries from your package index";
  const detail = `These commands will run; ${fetched}.\n\n${commands}`;
  const title = `Install the foretype server ${plan.title.toLowerCase()}?`;
  const answer = await vscode.window.showInformationMessage(title, { modal: true, detail }, 'Install', 'Copy Commands');
  if (answer === 'Copy Commands') await vscode.env.clipboard.writeText(plan.commands.map(shown).join('\n'));
  return answer === 'Install';
}

async function carryOut(plan: Plan, log: vscode.LogOutputChannel): Promise<boolean> {
  const location = vscode.ProgressLocation.Notification;
  const title = 'Installing the foretype server';
  return vscode.window.withProgress({ location, title, cancellable: true }, async (_, token) => {
    const abort = new AbortController();
    token.onCancellationRequested(() => abort.abort());
    for (const [program, ...args] of plan.commands) {
      if (program === undefined) continue;
      log.info(`running: ${shown([program, ...args])}`);
      try {
        const { stdout, stderr } = await run(program, args, { timeout: TIMEOUT_MS, signal: abort.signal, maxBuffer: 1 << 24, windowsHide: true });
        log.info(`${stdout}${stderr}`.trim());
      } catch (error) {
        log.error(failure(error));
        return false;
      }
    }
    return true;
  });
}

/** Ask, install, and say whether anything was changed; `stop` ends a server that stands in the way. */
export async function offerInstall(extensionPath: string, environment: string, log: vscode.LogOutputChannel, stop: () => Promise<void>): Promise<boolean> {
  await mkdir(dirname(environment), { recursive: true });
  const outcome = await alone(`${environment}.lock`, () => install(extensionPath, environment, log, stop));
  if (outcome === undefined) void vscode.window.showInformationMessage('foretype: the server is being installed already; it takes a minute or two.');
  if (outcome === 'failed') {
    void vscode.window.showErrorMessage('foretype: the server could not be installed.', 'Show Log').then((answer) => {
      if (answer !== undefined) log.show();
    });
  }
  return outcome === 'failed' || outcome === 'installed';
}

async function install(extensionPath: string, environment: string, log: vscode.LogOutputChannel, stop: () => Promise<void>): Promise<Outcome> {
  const brought = await findWheel(extensionPath);
  const plans = brought === undefined ? [] : plansFor(await findTools(), brought.wheel, environment, brought.libraries);
  if (plans.length === 0) {
    const why = brought === undefined ? 'this build of the extension brings no server' : 'Python 3.11 or newer (or uv) is needed';
    void vscode.window.showErrorMessage(`foretype: ${why}. Install the server by hand and name it in foretype.path.`, 'Open Setting').then((answer) => {
      if (answer !== undefined) void vscode.commands.executeCommand('workbench.action.openSettings', 'foretype.path');
    });
    return 'left';
  }
  const plan = await choose(plans);
  if (plan === undefined || !(await consent(plan, brought?.libraries !== undefined))) return 'left';
  await stop(); // its files are replaced
  return (await carryOut(plan, log)) ? 'installed' : 'failed';
}
