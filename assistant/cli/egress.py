"""`foretype egress`: what has been sent to a remote server, and what would be.

Exit codes: 0 done, 1 nothing would be sent there, 2 bad usage, input or settings.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from assistant.cli.command import CommandParser, UsageError, run_command, write_json
from assistant.cli.complete import SourceFile, names_at, split_place
from assistant.errors import AssistantError, RemoteError, withheld
from assistant.privacy.exclusion import why_refused
from assistant.remote.formats import FORMATS
from assistant.remote.ledger import Ledger, Row
from assistant.remote.payload import (
    FilePolicy,
    Payload,
    build_headers,
    build_payload,
    is_single_line,
)
from assistant.remote.settings import RemoteSettings, load_remote_settings, remote_settings_path
from assistant.request import CompletionRequest
from assistant.settings import load_settings
from model.paths import state_folder

DONE, NOTHING, BAD_INPUT = 0, 1, 2
DEFAULT_LIMIT = 20

_HEADS = ("time", "server", "file", "bytes of the file", "sent", "replaced", "outcome", "ms")
_EPILOG = """\
The ledger has one entry for each request, written before the request leaves: time, server, model,
file, ranges of the file's UTF-8 bytes, size, what was replaced, outcome, latency and tokens. It
holds no text. --dry-run sends nothing: its standard output is the request's body, byte for byte,
and its standard error what goes around that. A key is never shown.
"""


def main(argv: Sequence[str]) -> int:
    """Run `foretype egress` with its arguments; return the exit code."""

    def work() -> int:
        args = _parser().parse_args(argv)
        if args.dry_run is not None:
            return _dry_run(args.dry_run)
        return _show(args.limit, as_json=args.json)

    return run_command("egress", work, (AssistantError, BAD_INPUT), (OSError, BAD_INPUT))


def _parser() -> argparse.ArgumentParser:
    text = "Show what has been sent to a remote server, or would be."
    parser = CommandParser(prog="foretype egress", description=text, epilog=_EPILOG)
    text = "the last N requests, 0 for all (default: %(default)s)"
    parser.add_argument("--limit", type=int, default=DEFAULT_LIMIT, metavar="N", help=text)
    parser.add_argument("--json", action="store_true", help="requests and totals as JSON")
    text = "show exactly what would be sent there instead"
    parser.add_argument("--dry-run", metavar="FILE:LINE:COL", help=text)
    return parser


def _show(limit: int, *, as_json: bool) -> int:
    if limit < 0:
        raise UsageError(f"--limit must be 0 or more, got {limit}")
    ledger = Ledger(state_folder())
    requests = ledger.rows()[-limit:]
    totals = {"all": ledger.sums(), "today": ledger.today()}
    if as_json:
        write_json({"requests": requests, "totals": totals})
    elif not requests:
        print("Nothing has been sent.")
    else:
        lines = [_HEADS, *map(_format_request, requests)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = (text.ljust(width) for text, width in zip(line, widths, strict=True))
            print("  ".join(cells).strip())
        print()
        for name, total in totals.items():
            outcomes = ", ".join(
                f"{n} {outcome}" for outcome, n in sorted(total["outcomes"].items())
            )
            print(
                f"{name}: {total['requests']} request{'s' * (total['requests'] != 1)} "
                f"({outcomes or 'none ended'}), {total['bytes_sent']} bytes sent, "
                f"{total['bytes_received']} received, {total['redactions']} replaced, "
                f"{total['prompt_tokens']} tokens read and {total['new_tokens']} written"
            )
    return DONE


def _format_request(row: Row) -> tuple[str, ...]:
    cells = (
        str(row["time"])[:19],
        f"{row['host']} {row['model']}".strip(),
        str(row["file"]),
        ",".join(f"{start}-{end}" for start, end in row["ranges"]),
        str(row["bytes_sent"]),
        str(row["replaced"]),
        str(row["outcome"]),
        f"{row['latency_ms'] or 0:.0f}",
    )
    # Safe in a terminal, whatever a file is called.
    return tuple("".join(char if char.isprintable() else "?" for char in cell) for cell in cells)


def _dry_run(cursor: str) -> int:
    remote = load_remote_settings()
    if remote.mode == "off":
        raise UsageError(f"no server is named in {remote_settings_path()}: nothing would be sent")
    name, line, column = split_place(cursor)
    source = SourceFile.read(name)
    request = CompletionRequest(
        path=source.path,
        text=source.text,
        offset=source.offset(line, column),
        names=names_at(Path(source.path)),
    )
    try:
        payload = _build(request, remote)
    except RemoteError as error:
        print(f"nothing would be sent: {error}", file=sys.stderr)
        return NOTHING
    _explain(remote, payload)
    sys.stdout.buffer.write(payload.body)
    sys.stdout.buffer.flush()
    if sys.stdout.isatty():
        print(file=sys.stderr)  # the body has no line end, and gets none in a file
    return DONE


def _build(request: CompletionRequest, remote: RemoteSettings) -> Payload:
    settings = load_settings()
    if not settings.allow_remote or settings.show == "off":
        raise withheld("the settings say allow_remote = false, or show = off")
    reason = why_refused(request, settings)
    if reason is not None:
        raise withheld(reason)
    files = FilePolicy(
        settings=remote, locate=lambda path: Path(path).absolute(), exclude=settings.exclude
    )
    files.check(request)
    single_line = is_single_line(request, blocks=settings.multi_line == "auto")
    return build_payload(request, remote, single_line=single_line)


def _explain(remote: RemoteSettings, payload: Payload) -> None:
    """Say on standard error what goes around the body."""
    key = "(the key)" if remote.key_env or remote.key_keyring else ""
    headers = build_headers(remote, key) | {"content-length": str(len(payload.body))}
    lines = [f"POST {remote.address}{FORMATS[remote.provider].path}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    ranges = ", ".join(f"{start}-{end}" for start, end in payload.ranges)
    replaced = ", ".join(f"{n} {kind}" for kind, n in sorted(payload.redactions.items()))
    lines += [f"(bytes {ranges} of the file; replaced: {replaced or 'nothing'})"]
    if not remote.is_consented:
        lines += [f'(not sent before remote.toml says: send_code_to = "{remote.host}")']
    print("\n".join(lines), file=sys.stderr, flush=True)
