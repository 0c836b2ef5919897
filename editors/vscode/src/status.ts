// The status bar item: what the server does, and how fast it answered last.

import * as vscode from 'vscode';
import type { Details } from './told';

/** What there is to tell. */
export type State =
  | { readonly kind: 'missing' | 'loading' }
  | { readonly kind: 'ready'; readonly details: Details }
  | { readonly kind: 'off'; readonly why: string }
  | { readonly kind: 'failed'; readonly why: string };

const ICONS = { missing: 'cloud-download', loading: 'loading~spin', ready: 'pencil', off: 'circle-slash', failed: 'error' } as const;
const TEXTS = { missing: 'server not installed', loading: 'loading the model', ready: 'ready' } as const;

const INSTALLED = 'foretype.isInstalled'; // then the walkthrough does not ask for it

/** Owns the item. */
export class Status implements vscode.Disposable {
  private readonly item: vscode.StatusBarItem;
  private state: State = { kind: 'loading' };
  private latencyMs: number | undefined;

  constructor() {
    this.item = vscode.window.createStatusBarItem('foretype.status', vscode.StatusBarAlignment.Right, 100);
    this.item.name = 'foretype';
    this.item.command = 'foretype.menu';
    this.draw();
    this.item.show();
  }

  get kind(): State['kind'] {
    return this.state.kind;
  }

  /** The state in words, with what is known of a server that is ready. */
  get text(): string {
    const { state } = this;
    if (state.kind === 'ready') return [TEXTS.ready, ...state.details.lines].join(', ');
    return 'why' in state ? state.why : TEXTS[state.kind];
  }

  set(state: State): void {
    const { kind } = state;
    if (kind === 'ready' || kind === 'missing') void vscode.commands.executeCommand('setContext', INSTALLED, kind === 'ready');
    this.state = state;
    this.draw();
  }

  answered(latencyMs: number): void {
    this.latencyMs = latencyMs;
    this.draw();
  }

  dispose(): void {
    this.item.dispose();
  }

  private draw(): void {
    const { state, latencyMs } = this;
    const isReady = state.kind === 'ready';
    const speed = isReady && latencyMs !== undefined ? ` ${Math.round(latencyMs)} ms` : '';
    const text = 'why' in state ? state.why : TEXTS[state.kind];
    const { lines, isDegraded } = state.kind === 'ready' ? state.details : { lines: [], isDegraded: false };
    this.item.text = `$(${isDegraded ? 'warning' : ICONS[state.kind]}) foretype${speed}`;
    this.item.accessibilityInformation = { label: `foretype, ${this.text}` };
    this.item.backgroundColor = state.kind === 'failed' ? new vscode.ThemeColor('statusBarItem.errorBackground') : undefined;
    this.item.tooltip = [`foretype: ${text}`, ...lines].join('\n');
  }
}
