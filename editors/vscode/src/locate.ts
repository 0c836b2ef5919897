// Finds the server's program: the setting, then the PATH, then the environment made by us.

import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';

const IS_WINDOWS = process.platform === 'win32';
export const PROGRAM = IS_WINDOWS ? 'foretype.exe' : 'foretype';

/** Where a server was found, and by what rule. */
export interface Found {
  readonly command: string;
  readonly by: 'setting' | 'path' | 'private';
}

/** A setting that names no program; its text says how to mend it. */
export class NoSuchProgramError extends Error {}

/** The program in an environment made by `python -m venv` or `uv venv`. */
export function programIn(environment: string, name: string = PROGRAM): string {
  return join(environment, IS_WINDOWS ? 'Scripts' : 'bin', name);
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
    if (isAbsolute(command) && (await isProgram(command))) return { command, by: 'setting' };
    throw new NoSuchProgramError(
      `the setting foretype.path names ${setting}, which is not the full path of a program; mend or clear it`,
    );
  }
  const command = await onPath([PROGRAM], environment);
  if (command !== undefined) return { command, by: 'path' };
  const ours = programIn(privateEnvironment);
  return (await isProgram(ours)) ? { command: ours, by: 'private' } : undefined;
}
