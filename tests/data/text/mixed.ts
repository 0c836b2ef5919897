import { a } from "./a";

export class Box<T> {
  // it's a comment with (one bracket
  open(key: string): T | null {
    const text = `line {
    still text`;
    if (key) {
      return this.items[key];
    }
    return null;
  }
}
