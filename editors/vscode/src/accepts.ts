// Tells what became of the newest suggestion, from the edits that follow: no proposed API needed.
//
// VS Code runs an item's command after a full accept; word by word and line by line it only edits.

/** A suggestion as it was handed to the editor; offsets count UTF-16 units in the document. */
export interface Offer {
  readonly uri: string;
  readonly start: number; // where its text begins
  readonly cursor: number; // what lies between start and here was typed already
  readonly text: string;
}

/** One edit of a document. */
export interface Edit {
  readonly uri: string;
  readonly offset: number;
  readonly removed: number;
  readonly text: string;
}

export type Outcome = 'typed' | 'partly' | 'whole' | 'left';

/** Follows one offer at a time. */
export class Watch {
  private offer: Offer | undefined;
  private reached = 0; // characters of its text that the document holds

  offered(offer: Offer): void {
    this.offer = offer;
    this.reached = offer.cursor - offer.start;
  }

  /** What this edit does with the offer; undefined if it is not about it. */
  edited(edit: Edit): Outcome | undefined {
    const offer = this.offer;
    if (offer === undefined || edit.uri !== offer.uri) return undefined;
    const end = edit.offset + edit.removed;
    const at = offer.start + this.reached;
    const isOver = edit.offset >= offer.start && edit.offset <= at && end >= at;
    const held = edit.offset - offer.start; // an accept may rewrite what was typed
    if (!isOver || !offer.text.startsWith(edit.text, held) || held + edit.text.length <= this.reached) {
      this.offer = undefined;
      return 'left';
    }
    const added = held + edit.text.length - this.reached;
    this.reached += added;
    if (this.reached === offer.text.length) {
      this.offer = undefined;
      return added === 1 ? 'typed' : 'whole';
    }
    return added === 1 ? 'typed' : 'partly';
  }
}
