"""The model card: what a model folder says to people. Every figure comes from a file of the run.

Reads the corpus manifest, the train state's progress and the evaluation report; knows no tensor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from model.config import ModelConfig
from training.evaluation.intervals import Interval
from training.pretrain.checkpoint import Progress
from training.pretrain.recipe import FolderTable
from training.pretrain.schedule import schedule_of

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
    sections = [
        _head(table, config),
        _training(config, progress, manifest),
        _evaluation(report),
        notes.strip(),
        _corpus(manifest),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(table: FolderTable, config: ModelConfig) -> str:
    languages = ", ".join(table.languages)
    return (
        f"---\nlicense: {table.licence.lower()}\nlibrary_name: transformers\ntags:\n- code\n"
        f"- fill-in-the-middle\n---\n\n# {table.name}\n\n"
        f"A network of {config.n_params / 1e6:.2f} million parameters that completes the line "
        f"being typed ({languages}). {config.n_layer} layers of width {config.n_embd}, "
        f"{config.n_head} query and {config.n_kv_head} key/value heads, a vocabulary of "
        f"{config.vocab_size}, a context of {config.block_size} tokens; suffix-first infilling. "
        "It is meant for foretype; transformers loads it too."
    )


def _training(config: ModelConfig, progress: Progress, manifest: Mapping[str, Any]) -> str:
    totals = manifest["totals"]["train"]
    flops = schedule_of(progress.plan).flops(config, progress.step)
    return (
        "## Training\n\n"
        f"{progress.tokens / 1e6:.2f} million tokens in {progress.step} steps: "
        f"{progress.seconds / 60:.0f} minutes of wall clock, {progress.cpu_seconds / 60:.0f} "
        f"minutes of CPU time, {flops:.2g} floating-point operations. The corpus holds "
        f"{totals['bytes'] / 1e6:.1f} MB of unique Python in {totals['files']} files after "
        "filtering."
    )


def _evaluation(report: Mapping[str, Any] | None) -> str:
    if report is None:
        return "## Evaluation\n\nNot measured yet."
    losses = report["bits_per_byte"]
    lines = [
        "## Evaluation",
        "",
        _HOW_MEASURED.format(
            repositories=", ".join(report["repositories"]), tasks=report["plan"]["tasks"]
        ),
        "",
        "| | exact line | in mid-token | at a token border |",
        "|---|---|---|---|",
    ]
    for name, row in report["rest_of_line"].items():
        mid, border = (_percent(row[key]) for key in ("exact_mid_token", "exact_at_border"))
        lines.append(f"| {name} | {Interval(**row['exact'])} | {mid} | {border} |")
    engine = report["rest_of_line"]["engine"]
    lines += [
        "",
        _WHAT_IS_SHOWN.format(
            shown=_percent(engine["shown"]), precision=_percent(engine["precision"])
        ),
        "",
        "| bits per byte | " + " | ".join(_short(name) for name in losses["fp32"]) + " |",
        "|---" * (len(losses["fp32"]) + 1) + "|",
    ]
    for kind, values in losses.items():
        lines.append(
            f"| {kind} | " + " | ".join(f"{value:.3f}" for value in values.values()) + " |"
        )
    return "\n".join([*lines, *_comparison(report)])


def _comparison(report: Mapping[str, Any]) -> list[str]:
    """Return the lines about the model that this one was held against, if there was one."""
    other = report.get("against")
    if other is None:
        return []
    old, new = (its["bits_per_byte"]["int8"]["mean"] for its in (other, report))
    gains = "; ".join(f"{name}: {Interval(**gain)}" for name, gain in other["gain"].items())
    return [
        "",
        _HOW_COMPARED.format(
            name=other["model"], hash=other["content_hash"][:12], old=old, new=new, gains=gains
        ),
    ]


def _corpus(manifest: Mapping[str, Any]) -> str:
    kept = [
        source for source in manifest["sources"] if source["split"] == "train" and source["files"]
    ]
    licences = Counter(str(source["licence"]) for source in kept)
    lines = [
        "## Corpus",
        "",
        _WHAT_IS_IN_IT.format(
            repositories=len(kept),
            licences=_listed(licences.items()),
            refused=len(manifest["refused_by_name"]),
            words=manifest["settings"]["overlap_words"],
            hits=manifest["evaluation"]["n_hits"],
        ),
        "",
        "| repository | commit | licence | files | kB |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {source['name']} | {source['commit'][:12]} | {source['licence']} | {source['files']} | "
        f"{source['bytes'] // 1000} |"
        for source in kept
    ]
    return "\n".join(lines)


def _listed(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(
        f"{name} ({count})" for name, count in sorted(counts, key=lambda pair: -pair[1])
    )


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"
