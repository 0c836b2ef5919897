"""Times the runtimes against each other: `python -m tests.benchmarks.bench_runtime --preset s`.

Every engine runs the same weights on the same ids in a process of its own, in turns, one thread
each: random weights of a preset, or with `--model FOLDER` a trained model on real code. Rivals:
torch eager, and llama.cpp if an interpreter that has `llama_cpp` is named by
`--llama-python` (this one by default). Prints a table of best times (in brackets: the median over
rounds of each round's median), in how many places each engine's likeliest token is that of 32-bit
ONNX, then ratios to the default runtime. `--clock cpu` counts processor time, for busy machines.
"""

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.programs import ROOT

CONTEXT_TOKENS = 448  # with what is decoded, within what the bundled model was trained on
DECODED_TOKENS = 32
MAX_LEN = 512
PROMPT = ROOT / "docs" / "samples" / "inventory" / "store.py"
OURS = ("onnx-8", "onnx-32", "torch")
RIVALS = ("llama-q8_0", "llama-f16")
Append = Callable[
    [Sequence[int], int, bool], NDArray[np.float32]
]  # ids, length to rewind to, all logits


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """What one process measured; each time is [least, median] in milliseconds."""

    decode: tuple[float, float]  # a token
    prefill: tuple[float, float]
    append_1: tuple[float, float]
    append_8: tuple[float, float]
    append_16: tuple[float, float]
    own_mib: float  # anonymous memory of the process
    likeliest: list[int]  # the id that the network expects after each token of the context


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    if options.engine:
        done = measure(options.engine, Path(options.folder), options.clock)
        print(json.dumps(dataclasses.asdict(done)))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = _folder(Path(scratch), options)
        rounds: dict[str, list[Round]] = {engine: [] for engine in (*OURS, *RIVALS)}
        for _ in range(options.rounds):
            for engine, done in rounds.items():
                python = options.llama_python if engine in RIVALS else sys.executable
                done += filter(None, [_in_child(python, engine, folder, options.clock)])
    _print_table(
        options.model or options.preset, {engine: done for engine, done in rounds.items() if done}
    )
    return 0


def measure(engine: str, folder: Path, clock: str) -> Round:
    """Run one engine in this process."""
    ids = json.loads((folder.parent / "ids.json").read_text())
    now = time.process_time if clock == "cpu" else time.perf_counter
    append = _llama(engine, folder) if engine in RIVALS else _runtime(engine, folder)

    def decode() -> None:
        for i in range(DECODED_TOKENS):
            append([ids[i]], CONTEXT_TOKENS + i, False)

    def timed(n_tokens: int, repeats: int = 15) -> tuple[float, float]:
        return _time(lambda: append(ids[:n_tokens], CONTEXT_TOKENS, True), repeats, now)

    likeliest = np.argmax(append(ids, 0, True), axis=-1).tolist()
    prefill = _time(lambda: append(ids, 0, False), 5, now)
    least, median = _time(decode, 5, now)
    return Round(
        decode=(least / DECODED_TOKENS, median / DECODED_TOKENS),
        prefill=prefill,
        append_1=timed(1),
        append_8=timed(8),
        append_16=timed(16),
        own_mib=_own_mib(),
        likeliest=likeliest,
    )


def _runtime(engine: str, folder: Path) -> Append:
    from model.folder import load_folder
    from model.runtime import Runtime, open_runtime

    loaded = load_folder(folder)
    if engine == "torch":
        from model.runtime_torch import TorchRuntime

        runtime: Runtime = TorchRuntime(loaded, max_len=MAX_LEN)
    else:
        bits = int(engine.removeprefix("onnx-"))
        runtime = open_runtime(loaded, max_len=MAX_LEN, bits=bits)

    def append(ids: Sequence[int], length: int, all_logits: bool) -> NDArray[np.float32]:
        runtime.rewind(length)
        return runtime.append(ids, all_logits=all_logits)

    return append


def _llama(engine: str, folder: Path) -> Append:
    from tests.benchmarks.llama_rival import open_llama

    return open_llama(folder, engine.removeprefix("llama-"), MAX_LEN)


def _time(
    work: Callable[[], object], repeats: int, now: Callable[[], float]
) -> tuple[float, float]:
    """Return (least, median) milliseconds of a call, after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        started = now()
        work()
        times.append((now() - started) * 1000)
    return min(times), statistics.median(times)


def _own_mib() -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def _in_child(python: str, engine: str, folder: Path, clock: str) -> Round | None:
    command = [python, "-m", "tests.benchmarks.bench_runtime", "--engine", engine]
    command += ["--clock", clock, "--folder", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "FORETYPE_CACHE": str(folder.parent / "c")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode().strip().splitlines()[-1]
        print(f"{engine} left out: {reason}", file=sys.stderr)
        return None
    return Round(**json.loads(done.stdout.splitlines()[-1]))


def _folder(scratch: Path, options: argparse.Namespace) -> Path:
    """Return a copy of the model that is asked for, beside the ids that it will be run on."""
    if options.model:
        from model.folder import load_folder

        folder = scratch / "model"
        shutil.copytree(options.model, folder)
        ids = load_folder(folder).tokenizer().encode(PROMPT.read_text())[:CONTEXT_TOKENS]
    else:
        from model.config import PRESETS
        from tests.doubles import tiny_folder

        folder = tiny_folder(scratch, name=options.preset, config=PRESETS[options.preset])
        ids = np.random.default_rng(7).integers(0, 256, CONTEXT_TOKENS).tolist()
    assert len(ids) == CONTEXT_TOKENS
    (scratch / "ids.json").write_text(json.dumps(ids))
    return folder


def _print_table(name: str, rounds: dict[str, list[Round]]) -> None:
    def least(engine: str, name: str) -> float:
        return float(min(getattr(done, name)[0] for done in rounds[engine]))

    def cell(engine: str, name: str) -> str:
        median = statistics.median(getattr(done, name)[1] for done in rounds[engine])
        return f"{least(engine, name):9.2f} ({median:8.2f})"

    def agreement(engine: str) -> str:
        pairs = zip(rounds[engine][0].likeliest, rounds["onnx-32"][0].likeliest, strict=True)
        return f"{sum(left == right for left, right in pairs):12d}/{CONTEXT_TOKENS}"

    names = ("decode", "prefill", "append_1", "append_8", "append_16")
    print(f"{name}, ms: least (median); append-n gives n logits; {CONTEXT_TOKENS} tokens")
    print(
        f"{'engine':12}"
        + "".join(f"{name:>21}" for name in names)
        + "    tokens/s   own MiB     agreement"
    )
    for engine, done in rounds.items():
        times = "".join(f"{cell(engine, name):>21}" for name in names)
        print(
            f"{engine:12}{times}{1000 / least(engine, 'decode'):12.0f}{done[0].own_mib:10.0f}"
            f"{agreement(engine)}"
        )
    print("\ntimes as long as onnx-8 takes")
    for engine in rounds:
        ratios = [least(engine, name) / least("onnx-8", name) for name in names]
        print(f"{engine:12}" + "".join(f"{ratio:21.2f}" for ratio in ratios))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="s")
    parser.add_argument("--model", default="", help="a model folder, in place of a preset")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--llama-python", default=sys.executable)
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
