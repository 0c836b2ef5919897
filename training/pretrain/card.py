"""The model card: what a model folder says to people. Every figure comes from a file of the run.

Reads the corpus manifest, the train state's progress and the evaluation report; knows no tensor.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from model.config import ModelConfig, from_table
from training.evaluation.intervals import format_interval, format_percent
from training.pretrain.checkpoint import Progress
from training.pretrain.schedule import Schedule
from training.recipe import FolderTable

_HOW_MEASURED = (
    "Repositories that the corpus excludes by name: {repositories}. Rest of the line at cursors "
    "uniform over typed characters, the lines after it present, no other file readable; {tasks} "
    "cursors a repository, mean over repositories, 95% bootstrap interval over files."
)
_WHAT_IS_SHOWN = (
    "The engine shows something at {shown} of the cursors; {precision} of that is a right "
    "beginning of what the author wrote."
)
_HOW_COMPARED = (
    "Held against {name} {hash} at the same cursors, exact lines more, paired: {gains}. Bits per "
    "byte of the same text, int8: {old:.3f} there, {new:.3f} here."
)
_WHAT_IS_IN_IT = (
    "{repositories} repositories under {licences}, as their own licence files say. Refused by "
    "name, being held for evaluation: {refused}. Files left out because they share a run of "
    "{words} words with an infilling benchmark: {hits}."
)


def model_card(
    table: FolderTable,
    config: ModelConfig,
    progress: Progress,
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
    measured = _HOW_MEASURED.format(
        repositories=", ".join(report["repositories"]), tasks=report["plan"]["tasks"]
    )
    rows = [
        [name, format_interval(row["exact"])]
        + [format_percent(row[key]) for key in ("exact_mid_token", "exact_at_border")]
        for name, row in report["rest_of_line"].items()
    ]
    engine = report["rest_of_line"]["engine"]
    losses = report["bits_per_byte"]
    parts = [
        "## Evaluation",
        measured,
        _table(["", "exact line", "in mid-token", "at a token border"], rows),
        _WHAT_IS_SHOWN.format(
            **{key: format_percent(engine[key]) for key in ("shown", "precision")}
        ),
        _table(
            ["bits per byte", *(name.rpartition("/")[2] for name in losses["fp32"])],
            [[kind, *(f"{value:.3f}" for value in row.values())] for kind, row in losses.items()],
        ),
    ]
    if other := report.get("against"):
        gains = (f"{name}: {format_interval(gain)}" for name, gain in other["gain"].items())
        compared = _HOW_COMPARED.format(
            name=other["model"],
            hash=other["content_hash"][:12],
            old=other["bits_per_byte"]["int8"]["mean"],
            new=report["bits_per_byte"]["int8"]["mean"],
            gains="; ".join(gains),
        )
        parts.append(compared)
    return "\n\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def _corpus(manifest: Mapping[str, Any]) -> str:
    kept = [
        source for source in manifest["sources"] if source["split"] == "train" and source["files"]
    ]
    licences = Counter(str(source["licence"]) for source in kept)
    said = _WHAT_IS_IN_IT.format(
        repositories=len(kept),
        licences=", ".join(f"{name} ({count})" for name, count in licences.most_common()),
        refused=len(manifest["refused_by_name"]),
        words=manifest["settings"]["overlap_words"],
        hits=manifest["evaluation"]["n_hits"],
    )
    rows = []
    for source in kept:
        size = [str(source["files"]), str(source["bytes"] // 1000)]
        rows.append([source["name"], source["commit"][:12], source["licence"], *size])
    table = _table(["repository", "commit", "licence", "files", "kB"], rows)
    return f"## Corpus\n\n{said}\n\n{table}"
