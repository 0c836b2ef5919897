"""Times drafting beside plain decoding: `python -m tests.benchmarks.bench_draft`.

Cursors in this repository's own files, the file under test not in the memory. At each, the network
writes its line plainly, then again with the memory's best candidates as a draft of so many tokens
(the tree has to be run first, and that is counted). Least time of several rounds, one thread; the
lines are compared, and with 8-bit weights the share that differs is printed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from assistant.index.builder import build_from_texts
from assistant.index.folder_index import FolderIndex
from assistant.rank import ranking as judge
from assistant.rank.candidates import Cursor, propose
from assistant.rank.ranker import bundled
from model.candidate_tree import build_tree, score_tree
from model.decode import Logits, choices, decode, heal
from model.folder import BUNDLED, load_folder
from model.healing import TokenTable, split
from model.prefix_cache import PrefixCache
from model.runtime import Runtime, open_runtime

ROOT = Path(__file__).resolve().parents[2]
MAX_NEW_TOKENS = 24
PREFIX_CHARS = 1_200
DRAFTS = ((1, 4), (1, 8), (2, 12), (4, 20))  # (candidates, nodes of the tree)


def never() -> bool:
    return False


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    folder = load_folder(options.model or BUNDLED)
    tokenizer = folder.tokenizer()
    table = TokenTable(tokenizer)
    files = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for package in ("model", "assistant", "lsp", "training")
        for path in sorted((ROOT / package).rglob("*.py"))
    }
    runtime = open_runtime(folder, max_len=folder.info.block_size + 128, bits=options.bits)
    drafted: dict[tuple[int, int], list[tuple[float, bool, int]]] = {draft: [] for draft in DRAFTS}
    plain_ms: list[float] = []
    with tempfile.TemporaryDirectory() as place:
        build_from_texts(Path(place), files.items())
        memory = FolderIndex(Path(place))
        for path, text, offset in _cursors(files, options.cursors):
            stable, tail = split(tokenizer, text[max(0, offset - PREFIX_CHARS) : offset])
            ids = tokenizer.encode(f"{path}\n{stable}")[-350:]
            line_end = text.find("\n", offset)
            cursor = Cursor.of(path, text[:offset] + text[line_end:], offset)
            texts = judge.shortlist(propose(cursor, memory), bundled()).texts
            transcript, root = _read(runtime, ids)
            started = time.perf_counter()
            plain = _write(transcript, root, table, tail)
            plain_ms.append(1_000 * (time.perf_counter() - started))
            for n_texts, n_nodes in DRAFTS:
                transcript, root = _read(runtime, ids)
                started = time.perf_counter()
                branches = build_tree(tokenizer, tail, texts[:n_texts], max_nodes=n_nodes)
                score_tree(transcript, root, table, tail, branches)
                own = _write(transcript, root, table, tail)
                took = 1_000 * (time.perf_counter() - started)
                drafted[n_texts, n_nodes].append((took, own == plain, transcript.n_foreseen))
    _report(plain_ms, drafted, options.bits)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--bits", type=int, choices=(8, 32), default=8)
    parser.add_argument("--cursors", type=int, default=200)
    return parser


def _cursors(files: dict[str, str], n: int) -> list[tuple[str, str, int]]:
    dice = np.random.default_rng(0)
    paths = [path for path, text in files.items() if len(text) > 500]
    found: list[tuple[str, str, int]] = []
    while len(found) < n:
        path = paths[int(dice.integers(len(paths)))]
        offset = int(dice.integers(300, len(files[path]) - 2))
        if files[path][offset : offset + 2].strip():
            found.append((path, files[path], offset))
    return found


def _read(runtime: Runtime, ids: Sequence[int]) -> tuple[PrefixCache, Logits]:
    """Run the prompt, in a transcript that remembers nothing of what was written before."""
    runtime.rewind(0)
    transcript = PrefixCache(runtime)
    logits, _ = transcript.replace(ids, chunk_tokens=128, should_stop=never)
    assert logits is not None
    return transcript, logits.copy()


def _write(transcript: PrefixCache, root: Logits, table: TokenTable, tail: bytes) -> list[int]:
    healed = heal(transcript, root, table, tail, never)
    assert healed is not None
    first = choices(healed.logits, table, healed.rest, 1)[0]
    ids = []
    for token in decode(transcript, table, first, max_new_tokens=MAX_NEW_TOKENS, should_stop=never):
        ids.append(token.id)
        if b"\n" in token.text:
            break
    return ids


def _report(
    plain_ms: list[float], drafted: dict[tuple[int, int], list[tuple[float, bool, int]]], bits: int
) -> None:
    plain = float(np.mean(plain_ms))
    out = [f"{len(plain_ms)} lines, {bits} bits, plain: {plain:.1f} ms a line", ""]
    out.append("candidates  nodes  ms a line  speed-up  tokens foreseen  lines that differ")
    for (n_texts, n_nodes), its in drafted.items():
        mean = float(np.mean([took for took, _, _ in its]))
        foreseen = float(np.mean([n for _, _, n in its]))
        differ = sum(not same for _, same, _ in its)
        out.append(
            f"{n_texts:>10}{n_nodes:>7}{mean:>11.1f}{plain / mean:>9.2f}x{foreseen:>17.1f}"
            f"{differ:>12} ({100 * differ / len(its):.1f}%)"
        )
    sys.stdout.write("\n".join(out) + "\n")


if __name__ == "__main__":
    sys.exit(main())
