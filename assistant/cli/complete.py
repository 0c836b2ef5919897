"""`foretype complete FILE:LINE:COL`: print what an editor would suggest there.

And `foretype why`, with the same arguments: how it came about, or why there is nothing.
"""

import argparse
import dataclasses
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from assistant.cli.command import (
    CommandParser,
    UsageError,
    as_word,
    run_command,
    write,
    write_json,
)
from assistant.errors import AssistantError, ModelError
from assistant.logs import configure
from assistant.models.registry_file import repository_root
from assistant.path_patterns import file_names
from assistant.privacy.exclusion import is_excluded
from assistant.request import CompletionRequest
from assistant.settings import Settings, load_settings
from assistant.source.languages import PYTHON, language_of
from assistant.warm import MAX_FILE_BYTES
from model.files import UnreadableFileError, from_root, read_regular

if TYPE_CHECKING:
    from collections.abc import Callable

    from assistant.generate.engine import Engine
    from assistant.generate.response import Response
    from assistant.index.folder_index import FolderIndex

    EngineFor = Callable[[Settings, Path, FolderIndex | None], Engine]

SUGGESTED, NOTHING, BAD_INPUT, BAD_MODEL = 0, 1, 2, 3
MAX_N = 16
CLOSE_S = 2.0
DEADLINE_MS = 10_000  # nobody is typing: a busy machine should be slow here, not silent

_EPILOG = """\
LINE and COL count from 1, COL in characters: COL = length of the line + 1 is its end.
Plain output is the text of each suggestion, ended by a newline; --json also gives the range of the
file that it replaces, in the same counting, and the costs. Line ends are the file's own. Where
there is nothing to suggest, a line on standard error says why.

exit codes: 0 a suggestion was printed, 1 nothing to suggest, 2 bad usage or input,
            3 the model cannot be used, 130 interrupted
"""


def main(argv: Sequence[str], *, engine_for: "EngineFor | None" = None) -> int:
    """Run `foretype complete` or `why`, as `argv` begins, with its arguments; return the exit code.

    `engine_for` has engines that stay; without it one is made, and closed.
    """
    name, *given = argv

    def work() -> int:
        places = [word for word in given if word.startswith("-:")]  # argparse: they are options
        words = [word for word in given if not word.startswith("-:")]
        args = _parser(name).parse_args([*words, "--", *places] if places else words)
        return _run(args, given, name == "why", engine_for)

    return run_command(name, work, (ModelError, BAD_MODEL), (AssistantError, BAD_INPUT))


def _run(
    args: argparse.Namespace, given: list[str], explains: bool, engine_for: "EngineFor | None"
) -> int:
    if not 1 <= args.n <= MAX_N:
        raise UsageError(f"--n must be in 1..{MAX_N}, got {args.n}")
    asked = {"model": args.model, "deadline_ms": args.deadline_ms}
    settings = load_settings({name: value for name, value in asked.items() if value is not None})
    source, offset = _place(args)
    request = CompletionRequest(
        path=source.path,
        text=source.text,
        offset=offset,
        n=args.n,
        deadline_ms=DEADLINE_MS if args.deadline_ms is None else settings.deadline_ms,
    )
    with configure(settings.log_file, args.verbose):
        response = _complete(settings, request, engine_for)
    if explains:
        from assistant.generate.response import format_trace

        table, verbose = response.trace.table(), args.verbose > 0
        write_json(table) if args.json else write(format_trace(table, verbose=verbose) + "\n")
    elif args.json:
        write_json(_report(source, response))
    elif response.completions:
        shown = "".join(f"{item.text}\n" for item in response.completions)
        write(shown if sys.stdout.isatty() else source.restore(shown))  # a CR would be seen there
    else:
        again = " ".join(as_word(word) for word in given if word != "--warm")
        say = f"nothing to suggest: {response.trace.words()}"
        print(f'{say}; "foretype why {again}" says more', file=sys.stderr)
    return SUGGESTED if response.completions else NOTHING


def _complete(
    settings: Settings, request: CompletionRequest, engine_for: "EngineFor | None"
) -> "Response":
    file, inside, index = from_root(Path(request.path)), request.path, None
    root, names = repository_root(file), names_at(file)
    if settings.index and not any(is_excluded(name, settings.exclude) for name in names):
        from assistant.index.folder_index import find_index

        index, inside = find_index(file, settings.exclude) or (None, inside)
    asked = dataclasses.replace(
        request,
        path=inside,
        document=str(file),
        repository=root.name if root else "",
        names=names,
    )
    engine = (engine_for or open_engine)(settings, file, index)
    try:
        engine.load((language_of(inside) or PYTHON).name)
        return engine.respond(asked)
    finally:
        if engine_for is None:
            engine.close(CLOSE_S)


def names_at(file: Path) -> tuple[str, ...]:
    """Return what patterns may call a file."""
    return file_names(from_root(file), repository_root(file))


def open_engine(settings: Settings, file: Path, index: "FolderIndex | None") -> "Engine":
    """Return an engine for `file` that has not loaded its model; what is amiss, it says."""
    from assistant.counts import find_steps
    from assistant.generate.engine import Engine  # imports the runtime, not needed for bad input
    from assistant.models.selection import make_opener_for
    from assistant.remote.settings import open_configured

    def say(text: str) -> None:
        print(f"foretype: {text}", file=sys.stderr)

    remote = open_configured(Path, say, exclude=settings.exclude)  # documents are called by path
    open_model = make_opener_for(file, say)
    engine = Engine(settings, open_model, index=lambda _: index, remote=remote)
    engine.steps = find_steps()
    return engine


def _parser(name: str) -> argparse.ArgumentParser:
    text = "Suggest the code at a cursor, as the editor would show it."
    if name == "why":
        text = "Say how the suggestion at a cursor came about, or why there is none."
    parser = CommandParser(prog=f"foretype {name}", description=text, epilog=_EPILOG)
    add = parser.add_argument
    add("place", metavar="FILE:LINE:COL", help="a cursor; FILE - is standard input")
    add("--path", default="", help="the file's name, where FILE is -")
    add("--json", action="store_true", help="print ranges and costs as JSON")
    add("--n", type=int, default=1, help=f"suggestions wanted, up to {MAX_N}")
    add("--model", metavar="FOLDER", help="a model folder")
    add("--deadline-ms", type=int, metavar="MS", help=f"time to answer in (default: {DEADLINE_MS})")
    if name == "complete":
        text = "let a process answer that stays for ten idle minutes: the next time is fast"
        add("--warm", action="store_true", help=text)
    add("-v", "--verbose", action="count", default=0, help="say more (-vv: all)")
    return parser


class SourceFile(NamedTuple):
    """A file as the command line meets it: with LF line ends only, and the line end it had.

    Lines and columns count from 1, columns in characters, as editors show them.
    """

    path: str
    text: str
    eol: str

    @classmethod
    def read(cls, name: str) -> "SourceFile":
        """Read a file; UsageError says what is wrong with it."""
        try:
            return cls.from_bytes(name, read_regular(Path(name), MAX_FILE_BYTES))
        except UnreadableFileError as error:
            raise UsageError(str(error)) from error

    @classmethod
    def from_bytes(cls, path: str, data: bytes) -> "SourceFile":
        """Decode UTF-8; UsageError for anything else. A byte order mark is dropped."""
        if b"\0" in data:
            raise UsageError(f"{path}: is a binary file (it contains a NUL byte)")
        try:
            raw = data.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            byte = data[error.start]
            raise UsageError(
                f"{path}: is not UTF-8 text (byte {byte:#04x} at offset {error.start})"
            ) from None
        text = raw.replace("\r\n", "\n").replace("\r", "\n")
        line = io.StringIO(raw, newline="").readline()
        return cls(path=path, text=text, eol=line[len(line.rstrip("\r\n")) :] or "\n")

    def offset(self, line: int, column: int) -> int:
        """Return the offset of a 1-based position; UsageError gives the valid range."""
        lines = self.text.split("\n")
        if not 1 <= line <= len(lines):
            raise UsageError(f"{self.path}: line {line} is outside the file (1..{len(lines)})")
        length = len(lines[line - 1])
        if not 1 <= column <= length + 1:
            raise UsageError(
                f"{self.path}: column {column} is outside line {line} (1..{length + 1})"
            )
        return sum(len(text) + 1 for text in lines[: line - 1]) + column - 1

    def position(self, offset: int) -> tuple[int, int]:
        """Return the 1-based line and column of an offset."""
        line_start = self.text.rfind("\n", 0, offset) + 1
        return self.text.count("\n", 0, offset) + 1, offset - line_start + 1

    def restore(self, text: str) -> str:
        """Return `text` with the file's own line ends."""
        return text.replace("\n", self.eol)


def split_place(place: str) -> tuple[str, int, int]:
    """Cut FILE:LINE:COL at its last two colons; the file's name may hold more of them."""
    name, *numbers = place.rsplit(":", 2)
    if len(numbers) != 2 or not name:
        raise UsageError(f"FILE:LINE:COL is needed, got {place!r}")
    for what, text in zip(("LINE", "COL"), numbers, strict=True):
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise UsageError(f"{what} must be a whole number from 1 on, got {text!r} in {place!r}")
    return name, int(numbers[0]), int(numbers[1])


def _place(args: argparse.Namespace) -> tuple[SourceFile, int]:
    """Return the file that the arguments name and the offset of the cursor in it."""
    name, line, column = split_place(args.place)
    if name == "-":
        if not args.path:
            raise UsageError("text from standard input needs --path to tell the language")
        data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise UsageError(f"standard input is larger than {MAX_FILE_BYTES} bytes")
        source = SourceFile.from_bytes(args.path, data)
    else:
        if args.path:
            raise UsageError("--path is only for text from standard input (FILE -)")
        source = SourceFile.read(name)
    return source, source.offset(line, column)


def _report(source: SourceFile, response: "Response") -> dict[str, Any]:
    suggestions = []
    costs = ("prompt_tokens", "new_tokens", "reused_tokens", "first_token_ms", "total_ms")
    cost = {name: round(getattr(response.trace, name), 3) for name in costs}
    for item in response.completions:
        table = dataclasses.asdict(item) | cost | {"text": source.restore(item.text)}
        ends = {name: source.position(table.pop(name)) for name in ("start", "end")}
        table["range"] = {name: {"line": at[0], "column": at[1]} for name, at in ends.items()}
        for name in ("logprob", "probability"):
            table[name] = round(table[name], 3)
        suggestions.append(table)
    return {"path": source.path, "suggestions": suggestions}
