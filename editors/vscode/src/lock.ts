// One installation at a time on this machine, whichever window began it.

import { readFile, rm, writeFile } from 'node:fs/promises';

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Run `work` unless a living process holds the lock at `path`, this one included; undefined then. */
export async function alone<T>(path: string, work: () => Promise<T>): Promise<T | undefined> {
  const take = (): Promise<boolean> => writeFile(path, String(process.pid), { flag: 'wx' }).then(() => true, (error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') return false;
    throw error;
  });
  if (!(await take())) {
    const holder = Number(await readFile(path, 'utf8').catch(() => ''));
    if (holder > 0 && isAlive(holder)) return undefined;
    await rm(path, { force: true }); // its window has crashed
    if (!(await take())) return undefined;
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}
