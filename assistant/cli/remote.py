"""`foretype egress`: what has been sent to a remote server, and what would be.

Exit codes: 0 done, 1 nothing would be sent there, 2 bad usage, input or settings.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assistant.cli.command import CommandParser, UsageError, run_command, write_json
from assistant.cli.complete import read_source, split_place
from assistant.cli.source_file import SourceFile
from assistant.errors import AssistantError
from assistant.privacy.exclusion import why_refused
from assistant.remote.errors import RemoteError
from assistant.remote.file_policy import Reach
from assistant.remote.formats import backend_of
from assistant.remote.ledger import Ledger, Tally, Totals
from assistant.remote.payload import Parcel, pack
from assistant.remote.request_guard import headers, is_single_line
from assistant.remote.settings import RemoteSettings, load_remote_settings, remote_settings_path
from assistant.request import CompletionRequest
from assistant.settings import Settings, load_settings
from model.paths import state_folder

DONE, NOTHING, BAD_INPUT = 0, 1, 2
DEFAULT_LIMIT = 20

_EPILOG = """\
The ledger has one entry for each request, written before the request leaves: time, server, model,
file, ranges of the file's UTF-8 bytes, size, what was replaced, outcome, latency and cost. It holds
no text. --dry-run sends nothing: its standard output is the request's body, byte for byte, and its
standard error what goes around that. A key is never shown.
"""


def main(argv: Sequence[str]) -> int:
    """Run `foretype egress` with its arguments; return the exit code."""
    mistakes = ((AssistantError, BAD_INPUT), (OSError, BAD_INPUT))
    return run_command("egress", lambda: _run(_parser().parse_args(argv)), *mistakes)


def _run(args: argparse.Namespace) -> int:
    if args.dry_run is not None:
        return _dry_run(args.dry_run)
    return _clear(args) if args.clear else _show(args)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="foretype egress",
        description="Show what has been sent to a remote server, or would be.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=DEFAULT_LIMIT,
        metavar="N",
        help="the last N requests, 0 for all (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="requests and totals as JSON")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--dry-run", metavar="FILE:LINE:COL", help="show exactly what would be sent there instead"
    )
    instead.add_argument("--clear", action="store_true", help="remove the ledger instead")
    parser.add_argument("--yes", action="store_true", help="with --clear: do not ask")
    return parser


def _show(args: argparse.Namespace) -> int:
    if args.limit < 0:
        raise UsageError(f"--limit must be 0 or more, got {args.limit}")
    ledger = _ledger()
    everything = Tally()
    rows = list(ledger.rows())
    for row in rows:
        everything.add(row)
    requests = joined(rows)[-args.limit :]
    totals = {"today": ledger.today(), "all": everything.totals}
    if args.json:
        sums = {name: asdict(total) for name, total in totals.items()}
        write_json({"requests": requests, "totals": sums})
    elif not requests:
        print("Nothing has been sent.")
    else:
        _table(requests)
        print()
        for name, total in totals.items():
            print(f"{name}: {_told(total)}")
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


def _told(total: Totals) -> str:
    outcomes = ", ".join(f"{count} {name}" for name, count in sorted(total.outcomes.items()))
    plural = "" if total.requests == 1 else "s"
    return (
        f"{total.requests} request{plural} ({outcomes or 'none ended'}), "
        f"{total.bytes_sent} bytes sent, "
        f"{total.bytes_received} received, {total.redactions} replaced, cost {total.cost:.4f}"
    )


def _clear(args: argparse.Namespace) -> int:
    ledger = _ledger()
    if not args.yes:
        if not sys.stdin.isatty():
            raise UsageError("--clear removes the ledger: say --yes too")
        if input(f"Remove {ledger.path} and its older files? [y/N] ").strip().lower() != "y":
            return NOTHING
    n_files = ledger.clear()
    print(f"{n_files} file{'' if n_files == 1 else 's'} removed.")
    return DONE


def _dry_run(place: str) -> int:
    settings, remote = load_settings(), load_remote_settings()
    if remote.mode == "off":
        raise UsageError(f"no server is named in {remote_settings_path()}: nothing would be sent")
    name, line, column = split_place(place)
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
    if sys.stdout.isatty():
        print(file=sys.stderr)  # the body has no line end, and gets none in a file
    return DONE


def _packed(request: CompletionRequest, settings: Settings, remote: RemoteSettings) -> Parcel:
    if not settings.allow_remote or settings.show == "off":
        raise RemoteError("the settings say allow_remote = false, or show = off")
    reason = why_refused(request, settings)
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
    return Ledger(state_folder(), clock=lambda: datetime.now(UTC))
