"""What a person who types notices while models are exchanged, and what memory ten exchanges leave.

    python -m tests.benchmarks.bench_swap [--model FOLDER] [--keys 300]

The real server on standard streams; its own model, and a second one of the same size (or FOLDER)
that a repository has chosen. The rival is the same server in the same run, asked in the same way
while nothing is exchanged. The server waits for no quiet moment here: each exchange happens under
full load, which is the worst case; a person's pauses hide it.
"""

import argparse
import dataclasses
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.models.registry import ModelEntry, Registry, repository_id
from assistant.models.selection import prepare
from model.folder import BUNDLED, load_folder, save_folder
from tests.benchmarks.bench_server import own_memory_mb
from tests.e2e.raw_client import ROOT, Client, ServerProcess
from tests.repositories import new_repository

N_SWAPS = 10
PATIENCE_S = 300.0
SETTLED_S = 2.0  # by then the server has freed what it can
NAME = "second-model-1"
SERVER = [sys.executable, "-m", "tests.e2e.swapping_server", "0", "0"]
OPTIONS = {"show": "eager", "deadline_ms": 5_000, "index": False, "statistics": False}
DEFAULT_FILE = ROOT / "lsp" / "documents.py"


@dataclasses.dataclass(kw_only=True, slots=True)
class Phase:
    """What was measured in one phase."""

    times_ms: list[float] = dataclasses.field(default_factory=list)
    models: list[str] = dataclasses.field(default_factory=list)
    n_unanswered: int = 0


class Typist:
    """Types through a file, one edit and one request for each key."""

    def __init__(self, client: Client, uri: str, text: str) -> None:
        self.client, self.uri, self.text = client, uri, text
        self.at = 0
        self.version = 1

    def type_key(self, phase: Phase) -> None:
        at = self.at % (len(self.text) - 1)
        line = self.text.count("\n", 0, at)
        column = at - (self.text.rfind("\n", 0, at) + 1)
        place = {"line": line, "character": column}
        change: dict[str, Any] = {"range": {"start": place, "end": place}, "text": self.text[at]}
        if not at:
            change = {"text": self.text[at]}
        self.at += 1
        self.version += 1
        is_line_end = self.text[at] == "\n"
        after = (line + 1, 0) if is_line_end else (line, column + 1)
        started = time.perf_counter()
        self.client.change(self.uri, self.version, change)
        result = self.client.result(self.client.ask_inline(self.uri, *after), PATIENCE_S)
        phase.times_ms.append(1_000 * (time.perf_counter() - started))
        phase.n_unanswered += result is None
        phase.models.append(self.command("why")["model"])

    def command(self, name: str) -> Any:
        params = {"command": f"foretype.{name}"}
        return self.client.result(self.client.ask("workspace/executeCommand", params), PATIENCE_S)


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        os.environ["XDG_DATA_HOME"] = str(place / "data")
        repository = new_repository(place / "repository", {"a.py": "\n"})
        identity = repository_id(repository)
        registry = Registry()
        _add_second(registry, place, options.model, identity)
        text = Path(options.file).read_text(encoding="utf-8")
        with ServerProcess(command=SERVER) as server:
            return _measure(server, registry, repository, text, options.keys)


def _measure(
    server: ServerProcess, registry: Registry, repository: Path, text: str, n_keys: int
) -> int:
    """Type in turns: a stretch in which nothing happens, and one that begins with an exchange."""
    folders = [{"uri": repository.as_uri(), "name": "repository"}]
    server.client.initialize(
        "utf-32", rootUri=None, workspaceFolders=folders, initializationOptions=OPTIONS
    )
    typist = Typist(server.client, (repository / "a.py").as_uri(), text)
    server.client.open(typist.uri, "")
    while typist.command("status")["engine"] != "ready":
        time.sleep(0.05)
    identity = repository_id(repository)
    warm, still, exchanging = Phase(), Phase(), Phase()
    _type(typist, warm, n_keys // N_SWAPS)
    for name in (NAME, "base"):  # the first exchange imports what later ones have
        registry.use(name, identity)
        _type(typist, warm, n_keys // N_SWAPS)
    before_mb = _settled_memory_mb(server.process.pid)
    for number in range(N_SWAPS):
        _type(typist, still, n_keys // N_SWAPS)
        registry.use("base" if number % 2 else NAME, identity)
        _type(typist, exchanging, n_keys // N_SWAPS)
    after_mb = _settled_memory_mb(server.process.pid)
    _tell(still, exchanging, before_mb, after_mb)
    server.finish()
    return 0


def _type(typist: Typist, phase: Phase, n_keys: int) -> None:
    for _ in range(n_keys):
        typist.type_key(phase)


def _tell(still: Phase, exchanging: Phase, before_mb: float, after_mb: float) -> None:
    for name, phase in (("no exchange", still), ("exchanging", exchanging)):
        n_asked = len(phase.times_ms)
        print(
            f"{name:12} {n_asked:5} asked {phase.n_unanswered:3} unanswered"
            f"  p50 {_quantile(phase, 0.50):7.1f} ms  p95 {_quantile(phase, 0.95):7.1f} ms"
            f"  max {max(phase.times_ms):7.1f} ms"
        )
    for name, share in (("p50", 0.50), ("p95", 0.95)):
        print(f"ratio {name}    {_quantile(exchanging, share) / _quantile(still, share):5.2f}")
    both = [*still.models, *exchanging.models]
    shares = {name: both.count(name) for name in dict.fromkeys(both)}
    print(f"exchanges    {N_SWAPS}; answered by {shares}")
    print(f"own memory   {before_mb:.1f} MB before, {after_mb:.1f} MB after")


def _quantile(phase: Phase, share: float) -> float:
    return statistics.quantiles(phase.times_ms, n=100)[round(100 * share) - 1]


def _add_second(registry: Registry, place: Path, named: str, identity: str) -> None:
    """Add the second model: a copy of the named one, or our own with its weights a little off."""
    source = load_folder(Path(named) if named else BUNDLED)
    tensors = source.tensors()
    if not named:
        tensors["model.norm.weight"] = tensors["model.norm.weight"] * 1.01
    tokenizer = (source.path / "tokenizer.json").read_text(encoding="utf-8")
    save_folder(
        place / "second", config=source.config, tensors=tensors, tokenizer_json=tokenizer,
        info=source.info, card="# second\n",
    )  # fmt: skip
    entry = ModelEntry(
        name=NAME, repository=identity, root="", parent=source.content_hash, data_hash="",
        content_hash=load_folder(place / "second").content_hash, trained_to="", kind="full",
        created="",
    )  # fmt: skip
    prepare(registry, registry.add(place / "second", entry))


def _settled_memory_mb(pid: int) -> float:
    time.sleep(SETTLED_S)
    return own_memory_mb(pid)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench_swap", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="", help="the second model's folder")
    parser.add_argument("--file", default=str(DEFAULT_FILE), help="the file to type through")
    parser.add_argument("--keys", type=int, default=300, help="how many keys in each phase")
    return parser


if __name__ == "__main__":
    sys.exit(main())
