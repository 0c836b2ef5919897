// What the server tells of itself (`foretype.status`), in the words of the status bar.

/** The members that are read; an older server may lack the later ones. */
export interface Told {
  readonly engine?: string;
  readonly enabled?: boolean;
  readonly model?: { readonly serving?: string; readonly base?: string };
  readonly suggestions?: { readonly shown: number; readonly whole: number; readonly part: number }; // since its start
  readonly remote?: { readonly mode?: string; readonly host?: string; readonly state?: string; readonly problem?: string };
}

/** Lines for the tooltip, and whether something needs the user. */
export interface Details {
  readonly lines: readonly string[];
  readonly isDegraded: boolean;
}

function remoteLine(remote: NonNullable<Told['remote']>): string {
  const problem = remote.problem ? ` (${remote.problem})` : '';
  if (remote.state === 'ready') return `remote: ${remote.host}, ${remote.mode}`;
  if (remote.state === 'needs consent') return `remote: nothing is sent${problem}`;
  const rest = remote.mode === 'only' ? 'no suggestions until it answers' : 'suggestions come from this machine alone';
  return `remote: ${remote.host} is degraded${problem}; ${rest}`;
}

/** One line of the doctor's report, as the program writes its own. */
export function finding(state: 'ok' | 'warning' | 'broken', name: string, found: string): string {
  return `${state.padEnd(8)} ${name.padEnd(12)} ${found}`;
}

export function details({ model, remote, suggestions: seen }: Told): Details {
  const lines: string[] = [];
  if (model?.serving) lines.push(`model: ${model.serving}${model.serving === model.base ? '' : ', your own'}`);
  const hasRemote = remote !== undefined && remote.mode !== undefined && remote.mode !== 'off';
  if (hasRemote) lines.push(remoteLine(remote));
  if (seen?.shown) lines.push(`since the start, suggestions: ${seen.shown}, accepted: ${seen.whole}, in part: ${seen.part}`);
  return { lines, isDegraded: hasRemote && remote.state !== 'ready' };
}
