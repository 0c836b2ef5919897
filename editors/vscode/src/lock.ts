// One installation at a time on this machine, whichever window began it.

import { readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';

const BEAT_MS = 5_000; // from one sign of life to the next
const SILENT_MS = 60_000; // then its process has ended, and another may have its id by now

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
    const beatMs = await stat(path).then(({ mtimeMs }) => mtimeMs, () => 0);
    if (holder > 0 && isAlive(holder) && Date.now() - beatMs < SILENT_MS) return undefined;
    await rm(path, { force: true }); // its window has crashed
    if (!(await take())) return undefined;
  }
  const beat = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => undefined), BEAT_MS);
  try {
    return await work();
  } finally {
    clearInterval(beat);
    await rm(path, { force: true });
  }
}
