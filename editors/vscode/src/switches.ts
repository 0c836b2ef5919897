// Whether to suggest here and now: the global switch, this language, a pause.

import * as vscode from 'vscode';
import { isEnabled } from './names';

const SECTION = 'foretype';
export const SWITCHED_OFF = 'switched off'; // by the user, for good

/** Read and change the switches; a pause ends with the window. */
export class Switches implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  private pauseTimer: NodeJS.Timeout | undefined;
  private pausedUntilMs = 0;
  readonly onChange = this.changed.event;

  /** Why there are no suggestions, or undefined if there are. */
  whyOff(): string | undefined {
    const seen = vscode.workspace.getConfiguration(SECTION).inspect<boolean>('enabled');
    if (!isEnabled(seen?.globalValue)) return SWITCHED_OFF;
    if (!isEnabled(seen?.globalValue, seen?.workspaceValue, seen?.workspaceFolderValue)) return 'switched off by the workspace';
    if (Date.now() < this.pausedUntilMs) {
      const time = new Date(this.pausedUntilMs).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
      return `snoozing until ${time}`;
    }
    return undefined;
  }

  async toggle(): Promise<void> {
    if (this.pausedUntilMs !== 0) {
      this.pause(0);
      return;
    }
    const configuration = vscode.workspace.getConfiguration(SECTION);
    const isOn = isEnabled(configuration.inspect<boolean>('enabled')?.globalValue);
    await configuration.update('enabled', !isOn, vscode.ConfigurationTarget.Global);
  }

  async toggleLanguage(language: string): Promise<boolean> {
    const configuration = vscode.workspace.getConfiguration(SECTION);
    const languages = this.languages();
    const isOn = languages.includes(language);
    const changed = isOn ? languages.filter((other) => other !== language) : [...languages, language];
    await configuration.update('languages', changed, vscode.ConfigurationTarget.Global);
    return !isOn;
  }

  /** The user's languages, less those that the workspace leaves out. */
  languages(): string[] {
    const seen = vscode.workspace.getConfiguration(SECTION).inspect<string[]>('languages');
    const users = seen?.globalValue ?? seen?.defaultValue ?? [];
    const workspace = seen?.workspaceFolderValue ?? seen?.workspaceValue;
    return workspace === undefined ? users : users.filter((language) => workspace.includes(language));
  }

  pause(minutes: number): void {
    clearTimeout(this.pauseTimer);
    this.pausedUntilMs = minutes === 0 ? 0 : Date.now() + minutes * 60_000;
    if (minutes !== 0) this.pauseTimer = setTimeout(() => this.pause(0), minutes * 60_000);
    this.changed.fire();
  }

  dispose(): void {
    clearTimeout(this.pauseTimer);
    this.changed.dispose();
  }
}
