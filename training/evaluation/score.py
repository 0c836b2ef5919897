"""`foretype train score`: judge a model folder on held-out repositories; a table and a JSON."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assistant.generate.backend import LocalBackend, open_backend
from assistant.generate.engine import Engine
from assistant.settings import Settings
from assistant.snippets.search import SnippetSearch
from assistant.source.languages import LANGUAGES
from model.folder import BUNDLED, ModelFolder
from model.foreign import GgufModel, load_model
from training import cli
from training.cli import existing_folder, existing_model
from training.data.corpus import Document
from training.data.progress import say
from training.data.sources import refuse_namesakes
from training.evaluation.answers import Answer, Judged, ask_engine, ask_network, judge
from training.evaluation.bits_per_byte import (
    Passage,
    bits_per_byte,
    folder_scorer,
    measure_cost,
    whole_file,
)
from training.evaluation.held_out import Task, held_out_files, sample_tasks
from training.evaluation.intervals import Figure, format_interval, format_percent, macro_mean
from training.evaluation.replay.report_tables import format_table

NAME = "train score"
System = Callable[[Task], Answer]
_HEALED = "network, healed"
_ENGINE = "engine"
_SNIPPETS = "network, snippets"  # healed; only of a model that was trained on them


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""
    parser = cli.parser(NAME, __doc__)
    option = parser.add_argument
    option("repositories", type=existing_folder, nargs="+", help="never trained on")
    option("--tasks", type=cli.count, default=200, help="cursors a repository (default: 200)")
    help_ = "text a repository for bits/byte (default: 100000)"
    option("--loss-bytes", type=cli.count, default=100_000, help=help_)
    help_ = "another model: compare with it at the same cursors"
    option("--against", type=existing_model, metavar="MODEL", help=help_)

    def make(args: argparse.Namespace) -> cli.Report:
        plan = {"tasks": args.tasks, "loss_bytes": args.loss_bytes, "seed": args.seed}
        return evaluate(args.model or BUNDLED, args.repositories, against=args.against, **plan)

    return cli.report_on(NAME, parser, argv, make, table)


def evaluate(
    model: Path,
    repositories: Sequence[Path],
    *,
    tasks: int,
    loss_bytes: int,
    seed: int,
    against: Path | None = None,
) -> cli.Report:
    """Return the report: bits per byte and exact lines, by repository and over all.

    `tasks` cursors and `loss_bytes` of text are drawn from each repository. With another model to
    hold it `against`, the report says by how much more of the same lines is exact, too.
    """
    folder = load_model(model)
    known = folder.info.languages or LANGUAGES  # a model of others does not say
    by_path = [held_out_files(path, languages=known) for path in repositories]
    refuse_namesakes(found[0].source for found in by_path if found)
    files = {found[0].source: found for found in by_path if found}
    if not files:
        raise ValueError(f"the repositories hold no file to ask about in: {', '.join(known)}")
    drawn = [task for found in files.values() for task in sample_tasks(found, tasks, seed=seed)]
    documents = {
        name: _sample_documents(found, loss_bytes, seed=seed) for name, found in files.items()
    }
    own, answers = _measure(folder, drawn, files, documents)
    report = {
        **own,
        "plan": {"tasks": tasks, "loss_bytes": loss_bytes, "seed": seed},
        "repositories": list(files),
    }
    if _SNIPPETS in answers:  # paired: the same cursors with and without
        report["gain_of_snippets"] = _gain(drawn, answers[_HEALED], answers[_SNIPPETS])
    if against is not None:
        other = load_model(against)
        names = (_HEALED, _ENGINE)
        report["against"], before = _measure(other, drawn, files, documents, names=names)
        report["against"]["gain"] = {
            name: _gain(drawn, before[name], answers[name]) for name in names
        }
    return report


def _measure(
    folder: ModelFolder | GgufModel,
    tasks: Sequence[Task],
    files: dict[str, list[Document]],
    documents: dict[str, list[Passage]],
    *,
    names: Sequence[str] = (),
) -> tuple[cli.Report, dict[str, list[Judged]]]:
    """Return a model's figures and answers, by all of its systems or those of `names`."""
    answers = {}
    for name, system in _systems(str(folder.path), files).items():
        if not names or name in names:
            say(f"{folder.info.name}: {name}: {len(tasks)} cursors")
            answers[name] = [judge(system(task), task.truth) for task in tasks]
    losses: dict[str, Any] = {}
    for kind, bits in (("int8", 8), ("fp32", 32)):  # as served, and exact
        scorer = folder_scorer(folder, bits=bits)
        by_repository = {
            name: bits_per_byte(measure_cost(scorer, document) for document in chosen)
            for name, chosen in documents.items()
        }
        losses[kind] = {"mean": float(np.mean(list(by_repository.values()))), **by_repository}
    return {
        "model": folder.info.name,
        "content_hash": folder.content_hash,
        "bits_per_byte": losses,
        "rest_of_line": {name: _figures(tasks, given) for name, given in answers.items()},
    }, answers


def _systems(model: str, files: dict[str, list[Document]]) -> dict[str, System]:
    backend: LocalBackend = open_backend(model, threads=1)
    engine = Engine(Settings(model=model))
    engine.load()
    systems: dict[str, System] = {
        _HEALED: lambda task: ask_network(backend, task),
        _ENGINE: lambda task: ask_engine(engine, task),
    }
    if backend.info.snippet_tokens:
        sources = {
            name: SnippetSearch((file.path, file.text) for file in found)
            for name, found in files.items()
        }
        systems[_SNIPPETS] = lambda task: ask_network(
            backend, task, neighbours=sources[task.file.source]
        )
    return systems


def _sample_documents(files: Sequence[Document], n_bytes: int, *, seed: int) -> list[Passage]:
    draws = np.random.Generator(np.random.Philox(key=[seed, 1]))
    chosen: list[Passage] = []
    for index in draws.permutation(len(files)):
        if n_bytes <= 0:
            break
        chosen.append(whole_file(files[index].path, files[index].text))
        n_bytes -= len(files[index].text.encode())
    return chosen


def _figures(tasks: Sequence[Task], answers: Sequence[Judged]) -> cli.Report:
    pairs = list(zip(tasks, answers, strict=True))
    p50, p95 = np.percentile([judged.answer.ms for judged in answers], [50, 95])
    return {
        "tasks": len(answers),
        "exact": _interval(tasks, [float(judged.is_exact) for judged in answers]),
        "exact_mid_token": _mean(its.is_exact for task, its in pairs if task.is_mid_token),
        "exact_at_border": _mean(its.is_exact for task, its in pairs if not task.is_mid_token),
        "shown": _mean(judged.is_offered for judged in answers),
        "precision": _mean(judged.is_right for judged in answers if judged.is_offered),
        "p50_ms": float(p50),
        "p95_ms": float(p95),
    }


def _gain(tasks: Sequence[Task], before: Sequence[Judged], after: Sequence[Judged]) -> Figure:
    """Return by how much more is exact, over the same tasks, with its interval."""
    pairs = zip(before, after, strict=True)
    return _interval(tasks, [float(new.is_exact) - float(old.is_exact) for old, new in pairs])


def _interval(tasks: Sequence[Task], values: Sequence[float]) -> Figure:
    """Return the mean over repositories, with its range over files."""
    pairs = zip(tasks, values, strict=True)
    rows = ((task.file.source, task.file.path, value) for task, value in pairs)
    return macro_mean(rows)


def _mean(values: Iterable[bool]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None


def table(report: dict[str, Any]) -> str:
    """Return the report as text."""
    lines = [f"{report['model']} on {', '.join(report['repositories'])}", ""]
    for kind, losses in report["bits_per_byte"].items():
        lines.append(f"bits/byte {kind}: {losses['mean']:.4f}")
    rows = []
    for name, row in report["rest_of_line"].items():
        shares = [format_percent(row[key]) for key in ("exact_mid_token", "exact_at_border")]
        times = [f"{row[key]:.1f}" for key in ("p50_ms", "p95_ms")]
        rows.append([name, format_interval(row["exact"]), *shares, *times])
    head = ("", "exact [95%]", "mid-token", "border", "p50 ms", "p95 ms")
    lines += format_table("rest of line", head, rows)
    if "gain_of_snippets" in report:
        lines.append(f"gain of snippets, paired: {format_interval(report['gain_of_snippets'])}")
    engine = report["rest_of_line"][_ENGINE]
    shown, right = (format_percent(engine[key]) for key in ("shown", "precision"))
    lines.append(f"engine: shown {shown}, of which right {right}")
    if other := report.get("against"):
        lines.append(f"against {other['model']} at the same cursors, paired:")
        lines += [f"  {name}: {format_interval(gain)} more" for name, gain in other["gain"].items()]
        bits = other["bits_per_byte"].items()
        lines += [f"  bits/byte {kind}: {losses['mean']:.4f} there" for kind, losses in bits]
    return "\n".join(lines) + "\n"
