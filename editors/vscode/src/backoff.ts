// When to start the server again after it ended by itself, and when to stop trying.

const FIRST_MS = 1_000;
const MAX_RESTARTS = 5; // within the window; then the user is asked
const WINDOW_MS = 3 * 60_000;

/** Counts the ends of one program. */
export class Backoff {
  private ends: number[] = [];

  /** The wait before the next start, or undefined if it has ended too often. */
  next(nowMs: number): number | undefined {
    this.ends = this.ends.filter((endedMs) => nowMs - endedMs < WINDOW_MS);
    if (this.ends.length >= MAX_RESTARTS) return undefined;
    this.ends.push(nowMs);
    return FIRST_MS * 2 ** (this.ends.length - 1);
  }

  /** Forget the past: the user has stepped in. */
  reset(): void {
    this.ends = [];
  }
}
