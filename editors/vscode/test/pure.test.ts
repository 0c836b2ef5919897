// The parts that need no editor: names, waits, plans, and what the server tells.

import assert from 'node:assert/strict';
import { access, chmod, mkdtemp, mkdir, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Backoff } from '../src/backoff';
import { findServer, NoSuchProgramError } from '../src/locate';
import { choices } from '../src/choices';
import { difference } from '../src/difference';
import { alone } from '../src/lock';
import { asServerOptions, isEnabled } from '../src/names';
import { failure, plansFor, shown } from '../src/plans';
import { details } from '../src/told';

async function until(look: () => Promise<unknown>): Promise<void> {
  while (!(await look().then(() => true, () => false))) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('only what somebody set is sent, under the names of the server', () => {
  assert.deepEqual(asServerOptions({ multiLine: 'never', show: undefined, path: '/x' }), { multi_line: 'never' });
});

test('a workspace switches off but not on', () => {
  assert.equal(isEnabled(undefined, undefined), true);
  assert.equal(isEnabled(true, false), false);
  assert.equal(isEnabled(false, true), false);
});

test('a server that keeps ending is given up, and waits grow', () => {
  const backoff = new Backoff();
  assert.deepEqual([0, 1, 2, 3, 4, 5].map((ms) => backoff.next(ms)), [1000, 2000, 4000, 8000, 16000, undefined]);
  assert.equal(backoff.next(1_000_000), 1000);
  backoff.next(1_000_001);
  backoff.reset();
  assert.equal(backoff.next(1_000_002), 1000);
});

test('the setting, the PATH and the private environment are looked at in that order', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'foretype-'));
  const program = async (...parts: string[]): Promise<string> => {
    const path = join(folder, ...parts, 'foretype');
    await mkdir(join(folder, ...parts), { recursive: true });
    await writeFile(path, '');
    await chmod(path, 0o755);
    return path;
  };
  const own = join(folder, 'own');
  const PATH = { PATH: join(folder, 'path') };
  const mine = await program('own', 'bin');
  assert.deepEqual(await findServer('', own, { PATH: `relative:${join(folder, 'none')}` }), {
    command: mine,
    words: [join(own, 'bin', 'python'), '-I', '-m', 'foretype'],
    by: 'private',
  });
  const onPath = await program('path');
  assert.deepEqual(await findServer('', own, PATH), { command: onPath, words: [onPath], by: 'path' });
  assert.deepEqual(await findServer(mine, own, PATH), { command: mine, words: [mine], by: 'setting' });
  await assert.rejects(findServer('foretype', own, PATH), NoSuchProgramError);
  await assert.rejects(findServer(folder, own, PATH), /foretype\.path/);
});

test('every way to install is a list of whole commands', () => {
  const plans = plansFor({ uv: '/u', pipx: '/p', python: '/y' }, '/w.whl', '/e');
  assert.deepEqual(plans.map((plan) => plan.commands.map(shown)), [
    ['/u venv --clear --python ">=3.11" /e', '/u pip install --python /e/bin/python /w.whl'],
    ['/u tool install --force /w.whl'],
    ['/p install --force /w.whl'],
  ]);
  const [plain] = plansFor({ uv: undefined, pipx: undefined, python: '/y' }, '/w.whl', '/e');
  assert.deepEqual(plain?.commands.map(shown), [
    '/y -I -m venv --clear /e',
    '/e/bin/python -I -m pip install --disable-pip-version-check --no-compile /w.whl',
  ]);
  const [, tool, pipx] = plansFor({ uv: '/u', pipx: '/p', python: '/y' }, '/w.whl', '/e', '/l');
  assert.deepEqual([tool, pipx].flatMap((plan) => plan?.commands.map(shown)), [
    '/u tool install --force --no-index --find-links /l /w.whl',
    '/p install --force --pip-args "--no-index --find-links /l" /w.whl',
  ]);
  assert.deepEqual(plansFor({ uv: undefined, pipx: undefined, python: undefined }, '/w.whl', '/e'), []);
});

test('the tooltip names a model of the user and a remote server in trouble', () => {
  const model = { serving: 'app-1', base: 'nano' };
  assert.deepEqual(details({ model, remote: { mode: 'off' } }), { lines: ['model: app-1, your own'], isDegraded: false });
  const remote = { mode: 'fallback', host: 'h', state: 'degraded', problem: 'no answer' };
  const seen = details({ model: { serving: 'nano', base: 'nano' }, remote });
  assert.equal(seen.isDegraded, true);
  assert.deepEqual(seen.lines, ['model: nano', 'remote: h is degraded (no answer); suggestions come from this machine alone']);
  assert.equal(details({ remote: { ...remote, state: 'ready' } }).isDegraded, false);
  assert.match(details({ remote: { ...remote, mode: 'only' } }).lines[0] ?? '', /no suggestions until/);
  assert.match(details({ remote: { ...remote, state: 'needs consent' } }).lines[0] ?? '', /nothing is sent \(no answer\)/);
  assert.deepEqual(details({}), { lines: [], isDegraded: false });
  const [counts] = details({ suggestions: { shown: 3, whole: 1, part: 1 } }).lines;
  assert.equal(counts, 'since the start, suggestions: 3, accepted: 1, in part: 1');
});

test('a repository may be served by the base and by its own models', () => {
  const model = { name: 'app-1', kind: 'full', created: '2026-11-22T10:00:00Z', fits: true, scores: { exact_base_on: 0.2, exact_tuned_on: 0.25 } };
  const models = [model, { ...model, name: 'other-1', fits: false }, { ...model, name: 'app-2', scores: {} }];
  const offered = choices({ models, serving: 'app-1', pinned: true });
  assert.deepEqual(offered.map(({ name }) => name), ['base', 'app-1', 'app-2']);
  assert.equal(offered[1]?.label, '$(check) $(pin) app-1');
  assert.equal(offered[1]?.description, 'full, 2026-11-22, lines right 25.0% (base 20.0%)');
  assert.equal(offered[2]?.description, 'full, 2026-11-22');
  assert.deepEqual(choices({ models, settings_model: '/m' }), []);
});

test('only one process at a time holds the lock, and a dead one holds none', async () => {
  const lock = join(await mkdtemp(join(tmpdir(), 'foretype-')), 'lock');
  let finish = (): void => undefined;
  const first = alone(lock, () => new Promise<string>((resolve) => { finish = () => resolve('first'); }));
  await until(() => access(lock));
  assert.equal(await alone(lock, async () => 'second'), undefined);
  finish();
  assert.equal(await first, 'first');
  await writeFile(lock, '2147483646'); // no such process
  assert.equal(await alone(lock, async () => 'third'), 'third');
  await writeFile(lock, String(process.pid)); // another program has the id of a window that crashed
  await utimes(lock, 0, 0);
  assert.equal(await alone(lock, async () => 'fourth'), 'fourth');
});

test('a difference is made of whole characters', () => {
  assert.deepEqual(difference('a = 1', 'a = 2'), [4, 5, 5]);
  assert.deepEqual(difference('a😀b', 'a😁b'), [1, 3, 3]); // equal in their first halves
  assert.deepEqual(difference('a😀b', 'a🈀b'), [1, 3, 3]); // and in their last ones
  assert.deepEqual(difference('😀', '😀😀'), [2, 2, 4]);
});

test('a command that failed is told with what it printed', () => {
  assert.equal(failure(Object.assign(new Error('exit 1'), { stdout: 'apt install python3-venv\n' })), 'Error: exit 1\napt install python3-venv');
});
