"""Times local answers with a dead remote beside none: `python -m tests.benchmarks.bench_remote`.

Four engines type through the same file by turns, each key in another order: one without a remote,
two whose server takes connections and never answers (as a fallback, and in a race), one whose
server refuses them. All keys of which the local answer is shown count; every one of them is unsure
enough to ask the server.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence

from assistant.generate.engine import Engine
from assistant.remote.policy import Remote
from assistant.remote.settings import RemoteSettings
from assistant.request import Cancel, CompletionRequest
from assistant.settings import Settings
from tests.programs import ROOT
from tests.remote_server import remote_server

DEFAULT_FILE = "lsp/documents.py"
OFF, SILENT, RACE, REFUSED = "no remote", "silent server", "silent server, race", "refusing server"


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as state, remote_server(["hang"]) as silent:
        os.environ["XDG_STATE_HOME"] = state
        with remote_server(["hang"]) as gone:
            pass  # its port refuses from here on
        engines = {
            OFF: _engine(None),
            SILENT: _engine(silent.url),
            RACE: _engine(silent.url, mode="race"),
            REFUSED: _engine(gone.url),
        }
        times = _typed(engines, options)
        for engine in engines.values():
            if engine.remote is not None:
                engine.remote.close()
        print(f"requests that reached the silent server: {len(silent.received)}")
    for name, own in times.items():
        p95 = statistics.quantiles(own, n=20)[-1]
        print(f"{name:20} p50 {statistics.median(own):7.2f} ms   p95 {p95:7.2f} ms   n {len(own)}")
    for name in (SILENT, RACE, REFUSED):
        pairs = list(zip(times[name], times[OFF], strict=True))
        ratio = statistics.median(on / off for on, off in pairs)
        extra = statistics.median(on - off for on, off in pairs)
        print(f"{name} / {OFF}: {ratio:.3f}, {extra:+.3f} ms (medians of {len(pairs)} pairs)")
    return 0


def _engine(url: str | None, mode: str = "fallback") -> Engine:
    remote = None
    if url is not None:
        settings = RemoteSettings(
            mode=mode,
            provider="openai",
            url=url,
            model="m",
            send_code_to="127.0.0.1",
            min_confidence=1.0,
            requests_per_minute=600,
        )
        remote = Remote(settings, ROOT.joinpath)
    engine = Engine(Settings(show="eager"), remote=remote)
    engine.load()
    return engine


def _typed(engines: dict[str, Engine], options: argparse.Namespace) -> dict[str, list[float]]:
    text = (ROOT / options.file).read_text(encoding="utf-8")
    start = text.index("def ", len(text) // 3)
    rest = text[text.find("\n\n\n", start) :]
    times: dict[str, list[float]] = {name: [] for name in engines}
    names = list(engines)
    for n_typed in range(options.keys):
        offset = start + n_typed
        request = CompletionRequest(path=options.file, text=text[:offset] + rest, offset=offset)
        took: dict[str, float] = {}
        for name in names[n_typed % 4 :] + names[: n_typed % 4]:
            started = time.perf_counter()
            answer = engines[name].complete(request, Cancel())
            if answer:
                took[name] = 1_000 * (time.perf_counter() - started)
        if len(took) == len(engines):
            for name, own in took.items():
                times[name].append(own)
    return times


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench_remote", description="Time a dead remote.")
    parser.add_argument("--file", default=DEFAULT_FILE, help="the file to type through")
    parser.add_argument("--keys", type=int, default=300, help="how many keys to type")
    return parser


if __name__ == "__main__":
    sys.exit(main())
