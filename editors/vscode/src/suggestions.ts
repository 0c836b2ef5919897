// What happens to suggestions on their way into the editor: switches, timing, a word where there are none.

import * as vscode from 'vscode';
import type { Middleware } from 'vscode-languageclient/node';
import type { Status } from './status';
import type { Switches } from './switches';

/** The middleware of one window. */
export function suggestionsBy(switches: Switches, status: Status): Pick<Middleware, 'provideInlineCompletionItems'> {
  return {
    provideInlineCompletionItems: async (document, position, context, token, next) => {
      if (switches.whyOff() !== undefined) return [];
      const startedMs = performance.now();
      const result = await next(document, position, context, token);
      if (token.isCancellationRequested) return result;
      status.answered(performance.now() - startedMs);
      const items = Array.isArray(result) ? result : (result?.items ?? []);
      if (items.length === 0 && context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke) {
        vscode.window.setStatusBarMessage('foretype: nothing to suggest here; "foretype: Why Nothing Here?" says more', 5_000);
      }
      return result;
    },
  };
}
