// Where two texts differ, for whoever draws the difference. Knows no editor.

/** Whether a place is between the two halves of a character. */
function isInside(text: string, at: number): boolean {
  return /^[\uD800-\uDBFF][\uDC00-\uDFFF]/.test(text.slice(Math.max(0, at - 1), at + 1));
}

/** Where two texts begin and end to differ, in whole characters: first, last of `old`, last of `text`. */
export function difference(old: string, text: string): [number, number, number] {
  const shortest = Math.min(old.length, text.length);
  let first = 0;
  let tail = 0;
  while (first < shortest && old[first] === text[first]) first += 1;
  while (tail < shortest - first && old[old.length - 1 - tail] === text[text.length - 1 - tail]) tail += 1;
  if (isInside(old, first) || isInside(text, first)) first -= 1;
  if (isInside(old, old.length - tail) || isInside(text, text.length - tail)) tail -= 1;
  return [first, old.length - tail, text.length - tail];
}
