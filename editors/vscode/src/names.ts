// The settings that the server knows, by the names that VS Code shows for them.
//
// The same list is held against the server's own by tests/editors/test_vscode_settings.py.

/** VS Code's spelling -> the server's, of every setting that is passed on. */
export const SERVER_SETTINGS = {
  show: 'show',
  multiLine: 'multi_line',
  index: 'index',
  indexDependencies: 'index_dependencies',
  nextEdit: 'next_edit',
  statistics: 'statistics',
  allowRemote: 'allow_remote',
  maxNewTokens: 'max_new_tokens',
  deadlineMs: 'deadline_ms',
  exclude: 'exclude',
  silentIn: 'silent_in',
  model: 'model',
  threads: 'threads',
  logFile: 'log_file',
} as const;

/** Settings that have another name now, until 0.3: the server is told the old one, and says so. */
const OLD_SETTINGS = {
  memory: 'memory',
  memoryDependencies: 'memory_dependencies',
} as const;

/** All that is passed on. */
export const PASSED_ON: Readonly<Record<string, string>> = { ...OLD_SETTINGS, ...SERVER_SETTINGS };

/** What was set in one layer, by VS Code's names. */
export type Layer = Readonly<Record<string, unknown>>;

/** A layer as the server expects it: its own names, and only what somebody set. */
export function asServerOptions(layer: Layer): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const [name, serverName] of Object.entries(PASSED_ON)) {
    if (layer[name] !== undefined) options[serverName] = layer[name];
  }
  return options;
}

/** The workspace may switch off what the user has on, never the other way round. */
export function isEnabled(user: unknown, ...workspace: unknown[]): boolean {
  return user !== false && workspace.every((value) => value !== false);
}
