"""The model card: what a model folder says to people. Every figure comes from a file of the run.

Reads the corpus manifest, the train state's progress and the evaluation report; knows no tensor.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from model.config import ModelConfig, from_table
from training.evaluation.intervals import format_interval, format_percent
from training.pretrain.checkpoint import RunProgress
from training.pretrain.schedule import Schedule
from training.recipe import FolderTable


def model_card(
    table: FolderTable,
    config: ModelConfig,
    progress: RunProgress,
    *,
    manifest: Mapping[str, Any],
    report: Mapping[str, Any] | None,
    notes: str,
) -> str:
    """Return the card in Markdown; without a `report` it says that nothing was measured."""
    flops = from_table(Schedule, progress.plan).flops(config, progress.step)
    taught = f" It was taught by the model {progress.teacher[:12]}." if progress.teacher else ""
    totals = manifest["totals"]["train"]
    head = f"""\
---
license: {table.licence.lower()}
library_name: transformers
tags:
- code
- fill-in-the-middle
---

# {table.name}

A network of {config.n_params / 1e6:.2f} million parameters that completes the line being typed \
({", ".join(table.languages)}). {config.n_layer} layers of width {config.n_embd}, \
{config.n_head} query and {config.n_kv_head} key/value heads, a vocabulary of {config.vocab_size}, \
a context of {config.block_size} tokens; suffix-first infilling. It is meant for foretype; \
transformers loads it too.

## Training

{progress.tokens / 1e6:.2f} million tokens in {progress.step} steps: \
{progress.seconds / 60:.0f} minutes of wall clock, {progress.cpu_seconds / 60:.0f} minutes of CPU \
time, {flops:.2g} floating-point operations. The corpus holds {totals["bytes"] / 1e6:.1f} MB of \
unique code in {totals["files"]} files after filtering.{taught}"""
    sections = [head, _evaluation(report), notes.strip(), _corpus(manifest)]
    return "\n\n".join(section for section in sections if section) + "\n"


def _evaluation(report: Mapping[str, Any] | None) -> str:
    if report is None:
        return "## Evaluation\n\nNot measured yet."
    rows = [
        [name, format_interval(row["exact"])]
        + [format_percent(row[key]) for key in ("exact_mid_token", "exact_at_border")]
        for name, row in report["rest_of_line"].items()
    ]
    engine, losses = report["rest_of_line"]["engine"], report["bits_per_byte"]
    corpora = [name.rpartition("/")[2] for name in losses["fp32"]]
    measured = (
        f"Repositories that the corpus excludes by name: {', '.join(report['repositories'])}. Rest "
        "of the line at cursors uniform over typed characters, the lines after it present, no "
        f"other file readable; {report['plan']['tasks']} cursors a repository, mean over "
        "repositories, 95% bootstrap interval over files."
    )
    shown = (
        f"The engine shows something at {format_percent(engine['shown'])} of the cursors; "
        f"{format_percent(engine['precision'])} of that is a right beginning of what the author "
        "wrote."
    )
    parts = [
        "## Evaluation",
        measured,
        _table(["", "exact line", "in mid-token", "at a token border"], rows),
        shown,
        _table(
            ["bits per byte", *corpora],
            [[kind, *(f"{value:.3f}" for value in row.values())] for kind, row in losses.items()],
        ),
    ]
    if other := report.get("against"):
        gains = (f"{name}: {format_interval(gain)}" for name, gain in other["gain"].items())
        old, new = (each["bits_per_byte"]["int8"]["mean"] for each in (other, report))
        parts.append(
            f"Held against {other['model']} {other['content_hash'][:12]} at the same cursors, "
            f"exact lines more, paired: {'; '.join(gains)}. Bits per byte of the same text, int8: "
            f"{old:.3f} there, {new:.3f} here."
        )
    return "\n\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def _corpus(manifest: Mapping[str, Any]) -> str:
    kept = [
        source for source in manifest["sources"] if source["split"] == "train" and source["files"]
    ]
    licences = Counter(str(source["licence"]) for source in kept)
    named = ", ".join(f"{name} ({count})" for name, count in licences.most_common())
    said = (
        f"{len(kept)} repositories under {named}, as their own licence files say. Refused by name, "
        f"being held for evaluation: {len(manifest['refused_by_name'])}. Files left out because "
        f"they share a run of {manifest['settings']['overlap_words']} words with an infilling "
        f"benchmark: {manifest['evaluation']['n_hits']}."
    )
    rows = []
    for source in kept:
        size = [str(source["files"]), str(source["bytes"] // 1000)]
        rows.append([source["name"], source["commit"][:12], source["licence"], *size])
    table = _table(["repository", "commit", "licence", "files", "kB"], rows)
    return f"## Corpus\n\n{said}\n\n{table}"
