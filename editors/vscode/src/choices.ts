// The models that can be chosen, from the server's answer to `foretype.models`. Knows no editor.

/** A model of the user's own, as the server lists it. */
export interface Listed {
  readonly name: string;
  readonly kind: string;
  readonly created: string;
  readonly fits: boolean; // belongs to the repository at hand
  readonly scores?: Readonly<Record<string, number>>;
}

/** The server's answer. */
export interface Shelf {
  readonly models: readonly Listed[];
  readonly serving?: string; // "base" or a name
  readonly pinned?: boolean;
  readonly settings_model?: string; // a folder that the settings name; it wins over the choice
  readonly message?: string;
}

/** One line to pick; `name` is what the server is told. */
export interface Choice {
  readonly label: string;
  readonly description: string;
  readonly name: string;
}

function gain(scores: Readonly<Record<string, number>>): string {
  const { exact_base_on: base, exact_tuned_on: tuned } = scores;
  if (base === undefined || tuned === undefined) return '';
  return `, lines right ${(100 * tuned).toFixed(1)}% (base ${(100 * base).toFixed(1)}%)`;
}

/** What the repository at hand may be served by; nothing while the settings decide. */
export function choices(shelf: Shelf): Choice[] {
  if (shelf.settings_model) return [];
  const mark = (name: string): string => (name === shelf.serving ? `$(check) ${shelf.pinned ? '$(pin) ' : ''}` : '');
  const own = shelf.models.filter((model) => model.fits).map((model) => ({
    label: `${mark(model.name)}${model.name}`,
    description: `${model.kind}, ${model.created.slice(0, 10)}${gain(model.scores ?? {})}`,
    name: model.name,
  }));
  return [{ label: `${mark('base')}Base model`, description: 'came with the server', name: 'base' }, ...own];
}
