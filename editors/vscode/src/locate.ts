// Finds the server's program: the setting, then the PATH, then the environment made by us.

import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';

const IS_WINDOWS = process.platform === 'win32';
export const PROGRAM = IS_WINDOWS ? 'foretype.exe' : 'foretype';

/** What it is started with besides ours: a repository on PYTHONPATH would run its `sitecustomize` before its first line. */
export const ENVIRONMENT = { PYTHONPATH: '' } as const;

/** A server that was found, and by what rule. */
export interface Found {
  readonly command: string;
  readonly words: readonly string[]; // what to run, before a subcommand
  readonly by: 'setting' | 'path' | 'private';
}

/** A setting that names no program; its text says how to mend it. */
export class NoSuchProgramError extends Error {}

/** The program in an environment made by `python -m venv` or `uv venv`. */
export function programIn(environment: string, name: string = PROGRAM): string {
  return join(environment, IS_WINDOWS ? 'Scripts' : 'bin', name);
}

/** Its Python. */
export function pythonIn(environment: string): string {
  return programIn(environment, IS_WINDOWS ? 'python.exe' : 'python');
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

/** The first of the PATH's programs with one of these names. */
export async function onPath(
  names: readonly string[],
  environment: NodeJS.ProcessEnv = process.env,
): Promise<string | undefined> {
  // An editor started from a desktop often lacks the folder where pipx and uv put programs.
  const folders = [...(environment['PATH'] ?? '').split(delimiter), join(homedir(), '.local', 'bin')];
  for (const name of names) {
    for (const folder of folders) {
      // A relative entry would be looked up in the opened folder, which is a stranger's.
      if (isAbsolute(folder) && (await isProgram(join(folder, name)))) return join(folder, name);
    }
  }
  return undefined;
}

/** Find the server, or undefined if there is none yet. */
export async function findServer(
  setting: string,
  privateEnvironment: string,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Found | undefined> {
  if (setting !== '') {
    const command = setting.replace(/^~(?=[/\\])/, homedir());
    if (isAbsolute(command) && (await isProgram(command))) return { command, words: [command], by: 'setting' };
    throw new NoSuchProgramError(
      `the setting foretype.path names ${setting}, which is not the full path of a program; mend or clear it`,
    );
  }
  const command = await onPath([PROGRAM], environment);
  if (command !== undefined) return { command, words: [command], by: 'path' };
  const ours = programIn(privateEnvironment);
  if (!(await isProgram(ours))) return undefined;
  // Isolated: neither the opened folder nor PYTHONPATH puts modules before the server's own.
  return { command: ours, words: [pythonIn(privateEnvironment), '-I', '-m', 'foretype'], by: 'private' };
}
