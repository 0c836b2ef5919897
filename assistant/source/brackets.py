"""Brackets, strings and comments in a piece of source text, by lexical rules alone.

Needs no grammar and no complete code, so it serves half-typed lines and unknown languages. It does
not know regular expression literals, template placeholders or raw strings with custom delimiters.
"""

import functools
import re
from typing import NamedTuple

from assistant.source.languages import Language

PAIRS = {"(": ")", "[": "]", "{": "}"}
CLOSERS = frozenset(PAIRS.values())
AUTO_CLOSED = CLOSERS | frozenset("\"'`>;,: ")  # what an editor, or a writer ahead, leaves behind
LINE_COMMENT = "\n"  # the `quote` of a state inside a comment that ends with the line

_CHAR_LITERAL = re.compile(r"'(?:\\[^'\n]{1,10}|[^\\'\n])'")
_PLAIN_QUOTES = ('"', "'", "`")


class Mark(NamedTuple):
    """One bracket and where it stands in the scanned text."""

    at: int  # its index in the text
    char: str


class Scan(NamedTuple):
    """What is left open after a text, and what in it closed something opened before it."""

    openers: tuple[Mark, ...] = ()  # not closed within the text, outermost first
    extra: tuple[Mark, ...] = ()  # closers without an opener in the text, in order
    quote: str = ""  # the delimiter that would end the string or comment open at the end, or ""
    quote_at: int = 0  # where that string or comment begins; 0 if it was open at the start
    unquoted_at: int | None = None  # index after which the string open at the start was closed
    n_crossed: int = 0  # closers that closed an opener across others, which were still open


@functools.cache
def _tokens(language: Language | None) -> re.Pattern[str]:
    """Return a pattern for everything that may change the scanner's state in code."""
    words = list(language.quotes if language else _PLAIN_QUOTES)
    if language:
        words.append(language.comment)
        if language.block_comment:
            words.append(language.block_comment[0])
        if language.char_literals:
            words.append("'")
    alternatives = sorted(map(re.escape, words), key=len, reverse=True)
    return re.compile("|".join([*alternatives, r"[()\[\]{}]"]))


@functools.cache
def _string_end(quote: str) -> re.Pattern[str]:
    """Return a pattern for what ends, or is escaped in, a string opened by `quote`."""
    return re.compile(rf"\\.|{re.escape(quote)}|\n", re.DOTALL)


def _close(text: str, position: int, quote: str, *, multi_line: bool) -> tuple[int, bool]:
    """Return (index after the end of the string, whether it was closed by its delimiter)."""
    if quote in ("*/", LINE_COMMENT):
        found = text.find(quote, position)
        return (len(text), False) if found < 0 else (found + len(quote), True)
    for match in _string_end(quote).finditer(text, position):
        if match.group() == quote:
            return match.end(), True
        if match.group() == "\n" and not multi_line:
            return match.start(), False
    return len(text), False


class _Scanner:
    """The state of one scan; kept apart from `Scan` because that is what callers may see."""

    def __init__(self, before: Scan, text: str, language: Language | None) -> None:
        self.text = text
        self.language = language
        self.openers = list(before.openers)
        self.extra = list(before.extra)
        self.n_open = dict.fromkeys(CLOSERS, 0)  # spares a long search for what is not there
        for mark in self.openers:
            self.n_open[PAIRS[mark.char]] += 1
        self.quote = ""
        self.quote_at = 0
        self.n_crossed = before.n_crossed

    def bracket(self, mark: Mark) -> None:
        """Push an opener, or pop what a closer closes."""
        if mark.char in PAIRS:
            self.openers.append(mark)
            self.n_open[PAIRS[mark.char]] += 1
            return
        if not self.n_open[mark.char]:
            self.extra.append(mark)
            return
        self.n_crossed += PAIRS[self.openers[-1].char] != mark.char
        closed = ""
        while closed != mark.char:  # openers above the matching one were never closed
            closed = PAIRS[self.openers.pop().char]
            self.n_open[closed] -= 1

    def skip(self, word: str, start: int, end: int) -> int:
        """Return the position after the string or comment that `word` opens at `start`."""
        language = self.language
        if language and word == language.comment:
            quote = LINE_COMMENT
        elif language and language.block_comment and word == language.block_comment[0]:
            quote = language.block_comment[1]
        elif language and language.char_literals and word == "'":
            literal = _CHAR_LITERAL.match(self.text, start)
            return literal.end() if literal else end  # else a lifetime or a digit separator
        else:
            quote = word
        after, closed = _close(self.text, end, quote, multi_line=spans_lines(quote, language))
        if closed:
            return after
        if after == len(self.text):
            self.quote, self.quote_at = quote, start
            return after
        return end  # a lone apostrophe: what follows is not a string


def spans_lines(quote: str, language: Language | None) -> bool:
    """Return whether a string or comment that ends with `quote` may span lines."""
    if quote in ("*/", "`"):
        return True
    return language is not None and quote in language.multi_line_quotes


def scan(text: str, language: Language | None, quote: str = "") -> Scan:
    """Scan `text`, which begins inside the string or comment that `quote` ends ("" = in code)."""
    return scan_on(Scan(quote=quote), text, language)


def scan_on(before: Scan, text: str, language: Language | None) -> Scan:
    """Go on from `before` with the `text` behind it; marks of `before` keep their places."""
    scanner = _Scanner(before, text, language)
    position = 0
    unquoted_at = None
    if quote := before.quote:
        position, closed = _close(text, 0, quote, multi_line=spans_lines(quote, language))
        if not closed and position == len(text):
            return Scan(before.openers, before.extra, quote)
        unquoted_at = position if closed else None
    pattern = _tokens(language)
    while match := pattern.search(text, position):
        word = match.group()
        if word in PAIRS or word in CLOSERS:
            scanner.bracket(Mark(match.start(), word))
            position = match.end()
        else:
            position = scanner.skip(word, match.start(), match.end())
    return Scan(
        openers=tuple(scanner.openers),
        extra=tuple(scanner.extra),
        quote=scanner.quote,
        quote_at=scanner.quote_at,
        unquoted_at=unquoted_at,
        n_crossed=scanner.n_crossed,
    )
