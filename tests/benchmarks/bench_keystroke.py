"""Times one keystroke beside transformers: `python -m tests.benchmarks.bench_keystroke`.

Types through a real file key by key, asking the engine after each. At every tenth key that the
network answers, transformers gets the same weights and the same prompt ids, greedily, for as many
new tokens as the engine made; one thread each. Prints both and the ratio.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from assistant.generate.engine import Engine
from assistant.generate.prompt import build_prompt
from assistant.request import Cancel, CompletionRequest
from assistant.settings import Settings
from model.folder import BUNDLED, load_folder
from tests.programs import ROOT

DEFAULT_FILE = ROOT / "lsp" / "documents.py"
RIVAL_EVERY = 10  # keys
Generate = Callable[[list[int], int], object]  # prompt ids, new tokens


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    folder = Path(options.model) if options.model else BUNDLED
    text = Path(options.file).read_text(encoding="utf-8")
    engine = Engine(Settings(model=str(folder)))
    engine.load()
    rival = _transformers(folder)
    model = load_folder(folder)
    tokenizer, settings = model.tokenizer(), engine.settings
    start = text.index("def ", len(text) // 3)
    rest = text[text.find("\n\n\n", start) :]
    ours_ms: list[float] = []
    network_ms: list[float] = []
    paired_ms: list[float] = []
    rival_ms: list[float] = []
    for n_typed in range(options.keys):
        offset = start + n_typed
        request = CompletionRequest(path=options.file, text=text[:offset] + rest, offset=offset)
        started = time.perf_counter()
        response = engine.respond(request, Cancel())
        took_ms = 1_000 * (time.perf_counter() - started)
        ours_ms.append(took_ms)
        if not response.completions or response.trace.source != "network":
            continue  # nothing to say, or still the suggestion of an earlier key
        network_ms.append(took_ms)
        if len(network_ms) % RIVAL_EVERY == 1:
            asked = build_prompt(
                tokenizer, model.info, request, max_new_tokens=settings.max_new_tokens
            )
            started = time.perf_counter()
            rival(asked.ids + tokenizer.encode_bytes(asked.tail), response.trace.new_tokens)
            rival_ms.append(1_000 * (time.perf_counter() - started))
            paired_ms.append(took_ms)
    _row("foretype, every key", ours_ms)
    _row("foretype, network's keys", network_ms)
    _row("foretype, paired keys", paired_ms)
    _row("transformers, paired keys", rival_ms)
    ratio = statistics.median(rival_ms) / statistics.median(paired_ms)
    print(f"transformers / foretype: {ratio:.1f} (medians of {len(paired_ms)} pairs)")
    return 0


def _transformers(folder: Path) -> Generate:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def generate(ids: list[int], n_new: int) -> object:
        return network.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=n_new,
            min_new_tokens=n_new,
            do_sample=False,
        )

    generate([1, 2, 3], 2)
    return generate


def _row(name: str, times_ms: Sequence[float]) -> None:
    p95 = statistics.quantiles(times_ms, n=20)[-1]
    print(f"{name:28} p50 {statistics.median(times_ms):8.1f} ms   p95 {p95:8.1f} ms")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench_keystroke", description="Time one keystroke.")
    parser.add_argument("--model", default="", help="a model folder; default: the bundled one")
    parser.add_argument("--file", default=str(DEFAULT_FILE), help="the file to type through")
    parser.add_argument("--keys", type=int, default=200, help="how many keys to type")
    return parser


if __name__ == "__main__":
    sys.exit(main())
