// The ways to install the server, as the exact commands that the user is asked about.

import { pythonIn } from './locate';

/** What is at hand to install with. */
export interface Tools {
  readonly uv: string | undefined;
  readonly pipx: string | undefined;
  readonly python: string | undefined; // 3.11 or newer
}

/** One way: a title and commands, each a program with its arguments. */
export interface Plan {
  readonly title: string;
  readonly detail: string;
  readonly commands: readonly (readonly string[])[];
}

/** All ways that can work here, the most self-contained first; `libraries` is a folder with all that it needs, if there is one. */
export function plansFor(tools: Tools, wheel: string, environment: string, libraries?: string): Plan[] {
  const plans: Plan[] = [];
  const from = libraries === undefined ? [] : ['--no-index', '--find-links', libraries];
  const python = pythonIn(environment);
  const own = { title: 'In a private environment', detail: `for this editor alone: ${environment}` };
  if (tools.uv !== undefined) {
    plans.push({
      ...own,
      commands: [
        [tools.uv, 'venv', '--clear', '--python', '>=3.11', environment],
        [tools.uv, 'pip', 'install', ...from, '--python', python, wheel],
      ],
    });
  } else if (tools.python !== undefined) {
    plans.push({
      ...own,
      commands: [
        [tools.python, '-I', '-m', 'venv', '--clear', environment],
        // Compiling all of it would take half of the time; what is used compiles itself.
        [python, '-I', '-m', 'pip', 'install', '--disable-pip-version-check', '--no-compile', ...from, wheel],
      ],
    });
  }
  const shared = 'for the command line and other editors too';
  if (tools.uv !== undefined) {
    plans.push({ title: 'With uv tool', detail: shared, commands: [[tools.uv, 'tool', 'install', '--force', ...from, wheel]] });
  }
  if (tools.pipx !== undefined) {
    plans.push({ title: 'With pipx', detail: shared, commands: [[tools.pipx, 'install', '--force', ...(from.length === 0 ? [] : ['--pip-args', from.join(' ')]), wheel]] });
  }
  return plans;
}

/** A command as one would type it. */
export function shown(command: readonly string[]): string {
  return command.map((word) => (/^[\w@%+=:,./\\-]+$/.test(word) ? word : `"${word}"`)).join(' ');
}

/** What a command that failed said; Debian's Python says on its standard output which package is missing. */
export function failure(error: unknown): string {
  const stdout = error instanceof Error && 'stdout' in error ? String(error.stdout) : '';
  return `${String(error)}\n${stdout}`.trim();
}
