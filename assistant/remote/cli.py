"""`foretype egress`: what has been sent to a remote server, and what would be.

Exit codes: 0 done, 1 nothing would be sent there, 2 bad usage, input or settings.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from assistant.cli import UsageError, read_source, split_place
from assistant.completion import CompletionRequest
from assistant.config import Settings, load_settings
from assistant.errors import AssistantError
from assistant.refusal import refusal
from assistant.remote.clerk import headers, is_single_line
from assistant.remote.errors import RemoteError
from assistant.remote.formats import backend_of
from assistant.remote.ledger import Ledger, Tally, Totals, state_dir
from assistant.remote.outgoing import Parcel, pack
from assistant.remote.reach import Reach
from assistant.remote.settings import RemoteSettings, load_remote_settings, remote_settings_path
from assistant.source_file import SourceFile
from model.files import write_atomically

DONE, NOTHING, BAD_INPUT = 0, 1, 2
DEFAULT_LIMIT = 20

_EPILOG = """\
The ledger has one entry for each request, written before the request leaves: time, server, model,
file, ranges of the file's UTF-8 bytes, size, what was replaced, outcome, latency and cost. It holds
no text. `preview` sends nothing; its standard output is the request's body, byte for byte.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def main(argv: Sequence[str]) -> int:
    """Run `foretype egress` with its arguments; return the exit code."""
    try:
        args = _parser().parse_args(argv or ["list"])
        return int(args.run(args))
    except BrokenPipeError:
        return DONE
    except (AssistantError, OSError) as error:
        print(f"foretype egress: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="foretype egress",
        description="Show what has been sent to a remote server, or would be.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    listing = commands.add_parser("list", help="the last requests (default)")
    listing.add_argument(
        "--limit", type=int, default=DEFAULT_LIMIT, help="how many (default: %(default)s)"
    )
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    listing.set_defaults(run=_list)
    totals = commands.add_parser("totals", help="sums over all and over today (UTC)")
    totals.add_argument("--json", action="store_true", help="as JSON")
    totals.set_defaults(run=_totals)
    export = commands.add_parser("export", help="write the whole ledger as JSON lines")
    export.add_argument("file", metavar="FILE", help="a file, or - for standard output")
    export.set_defaults(run=_export)
    clear = commands.add_parser("clear", help="remove the ledger")
    clear.add_argument("--yes", action="store_true", help="do not ask")
    clear.set_defaults(run=_clear)
    preview = commands.add_parser("preview", help="show exactly what would be sent; send nothing")
    preview.add_argument("place", metavar="FILE:LINE:COL", help="where the cursor is, from 1 on")
    preview.set_defaults(run=_preview)
    return parser


def _list(args: argparse.Namespace) -> int:
    if args.limit < 1:
        raise UsageError(f"--limit must be at least 1, got {args.limit}")
    requests = joined(_ledger().rows())[-args.limit :]
    if args.json:
        print("".join(json.dumps(row) + "\n" for row in requests), end="")
    elif not requests:
        print("nothing has been sent")
    else:
        _table(requests)
    return DONE


def joined(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each request; one without an outcome has `outcome` "unknown"."""
    requests: dict[str, dict[str, Any]] = {}
    for row in rows:
        key, kind = str(row.get("id")), row.get("event")
        told = {name: value for name, value in row.items() if name not in ("v", "event")}
        if kind == "sent":
            requests[key] = told | {"outcome": "unknown"}
        elif kind == "ended" and key in requests:
            requests[key] |= told
    return list(requests.values())


def _table(requests: Sequence[Mapping[str, Any]]) -> None:
    heads = ("time", "server", "file", "bytes of the file", "sent", "replaced", "outcome", "ms")
    lines = [heads]
    for row in requests:
        ranges = ",".join(f"{start}-{end}" for start, end in row.get("ranges", ()))
        lines.append(
            (
                str(row.get("time", ""))[:19],
                f"{row.get('host')} {row.get('model')}".strip(),
                _shown(str(row.get("file", ""))),
                ranges,
                str(row.get("bytes_sent", 0)),
                str(sum(row.get("redactions", {}).values())),
                str(row.get("outcome")),
                f"{row.get('latency_ms', 0):.0f}",
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    for line in lines:
        print(
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).strip()
        )


def _shown(path: str) -> str:
    """Return a path that is safe in a terminal."""
    return "".join(char if char.isprintable() else "?" for char in path)


def _totals(args: argparse.Namespace) -> int:
    ledger = _ledger()
    everything = Tally()
    for row in ledger.rows():
        everything.add(row)
    sums = {"all": everything.totals, "today": ledger.today()}
    if args.json:
        print(json.dumps({name: asdict(total) for name, total in sums.items()}, indent=2))
    else:
        for name, total in sums.items():
            print(f"{name}: {_told(total)}")
    return DONE


def _told(total: Totals) -> str:
    outcomes = ", ".join(f"{count} {name}" for name, count in sorted(total.outcomes.items()))
    return (
        f"{total.requests} requests ({outcomes or 'none ended'}), {total.bytes_sent} bytes sent, "
        f"{total.bytes_received} received, {total.redactions} replaced, cost {total.cost:.4f}"
    )


def _export(args: argparse.Namespace) -> int:
    data = "".join(json.dumps(row) + "\n" for row in joined(_ledger().rows())).encode()
    if args.file == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        write_atomically(Path(args.file).absolute(), data)
    return DONE


def _clear(args: argparse.Namespace) -> int:
    ledger = _ledger()
    if not args.yes:
        if not sys.stdin.isatty():
            raise UsageError("clear removes the ledger: say --yes")
        if input(f"Remove {ledger.path} and its older files? [y/N] ").strip().lower() != "y":
            return NOTHING
    print(f"{ledger.clear()} files removed")
    return DONE


def _preview(args: argparse.Namespace) -> int:
    settings, remote = load_settings(), load_remote_settings()
    if remote.mode == "off":
        raise UsageError(f"no server is named in {remote_settings_path()}: nothing would be sent")
    name, line, column = split_place(args.place)
    source = SourceFile.from_bytes(name, read_source(name))
    request = CompletionRequest(
        path=source.path, text=source.text, offset=source.offset(line, column)
    )
    try:
        parcel = _packed(request, settings, remote)
    except RemoteError as error:
        print(f"nothing would be sent: {error}", file=sys.stderr)
        return NOTHING
    _explain(remote, parcel)
    sys.stdout.buffer.write(parcel.body)
    sys.stdout.buffer.flush()
    return DONE


def _packed(request: CompletionRequest, settings: Settings, remote: RemoteSettings) -> Parcel:
    reason = refusal(request, settings)
    if reason is not None:
        raise RemoteError(reason)
    reach = Reach(remote, lambda path: Path(path).absolute(), exclude=settings.exclude)
    reach.check(request.path)
    single_line = is_single_line(request, blocks=settings.multi_line == "auto")
    return pack(request, remote, backend_of(remote), single_line=single_line)


def _explain(remote: RemoteSettings, parcel: Parcel) -> None:
    """Say on standard error what goes around the body."""
    backend = backend_of(remote)
    has_key = remote.key_env or remote.key_keyring
    lines = [f"POST {remote.address}{backend.path}"]
    lines += [f"{name}: {value}" for name, value in headers(backend, "").items()]
    lines += ["authorization: Bearer (the key)"] if has_key else []
    lines += [f"content-length: {len(parcel.body)}"]
    ranges = ", ".join(f"{start}-{end}" for start, end in parcel.ranges)
    replaced = ", ".join(f"{n} {kind}" for kind, n in sorted(parcel.redactions.items()))
    lines += [f"(bytes {ranges} of the file; replaced: {replaced or 'nothing'})"]
    if not remote.is_consented:
        lines += [f'(not sent before remote.toml says: send_code_to = "{remote.host}")']
    print("\n".join(lines), file=sys.stderr, flush=True)


def _ledger() -> Ledger:
    return Ledger(state_dir(), clock=lambda: datetime.now(UTC))
