"""`foretype train score`: judge a model folder on held-out repositories; a table and a JSON."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assistant.generate.backend import LocalBackend, open_backend
from assistant.generate.engine import Engine
from assistant.settings import Settings
from assistant.snippets.search import SnippetSearch
from model.folder import BUNDLED, ModelFolder, load_folder
from training.cli import existing_folder
from training.evaluation import command
from training.evaluation.bits_per_byte import (
    Passage,
    bits_per_byte,
    folder_scorer,
    measure_cost,
    whole_file,
)
from training.evaluation.exact_line import Answer, engine_answer, network_answer
from training.evaluation.held_out import HeldOutFile, Task, held_out_files, sample_tasks
from training.evaluation.intervals import Interval, macro_mean

PROG = "foretype train score"
System = Callable[[Task], Answer]
_HEALED = "network, healed"
_ENGINE = "engine"
_SNIPPETS = "network, snippets"  # healed; only of a model that was trained on them


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How much to measure."""

    tasks: int  # cursors in each repository
    loss_bytes: int  # of text in each repository
    seed: int


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""
    args = _parser().parse_args(argv)
    plan = Plan(tasks=args.tasks, loss_bytes=args.loss_bytes, seed=args.seed)

    def make() -> command.Report:
        return evaluate(args.model or BUNDLED, args.repositories, plan, against=args.against)

    return command.report_on(PROG, make, table, args.json)


def _parser() -> argparse.ArgumentParser:
    parser = command.parser(PROG, __doc__)
    parser.add_argument("repositories", type=existing_folder, nargs="+", help="never trained on")
    parser.add_argument(
        "--tasks", type=command.count, default=200, help="cursors a repository (default: 200)"
    )
    parser.add_argument(
        "--loss-bytes",
        type=command.count,
        default=100_000,
        help="text a repository for bits/byte (default: 100000)",
    )
    parser.add_argument(
        "--against",
        type=existing_folder,
        metavar="MODEL",
        help="another model folder: compare with it at the same cursors",
    )
    return parser


def evaluate(
    model: Path, repositories: Sequence[Path], plan: Plan, *, against: Path | None = None
) -> dict[str, Any]:
    """Return the report: bits per byte and exact lines, by repository and over all.

    With another model to hold it `against`, by how much more of the same lines is exact, too.
    """
    folder = load_folder(model)
    files = {}
    for path in repositories:
        if found := held_out_files(path):
            files[found[0].repository] = found
    if not files:
        raise ValueError("the repositories hold no Python file to ask about")
    tasks = [
        task for found in files.values() for task in sample_tasks(found, plan.tasks, seed=plan.seed)
    ]
    answers = {
        name: [system(task) for task in _progress(tasks, name)]
        for name, system in _systems(str(model), files).items()
    }
    report = {
        "model": folder.info.name,
        "content_hash": folder.content_hash,
        "plan": dataclasses.asdict(plan),
        "repositories": list(files),
        "bits_per_byte": _losses(folder, files, plan),
        "rest_of_line": {name: _exactness(given) for name, given in answers.items()},
    }
    if _SNIPPETS in answers:  # paired: the same cursors with and without
        report["gain_of_snippets"] = _gain(answers[_HEALED], answers[_SNIPPETS])
    if against is not None:
        report["against"] = _compared(load_folder(against), answers, files, plan)
    return report


def _compared(
    other: ModelFolder,
    answers: dict[str, list[Answer]],
    files: dict[str, list[HeldOutFile]],
    plan: Plan,
) -> dict[str, Any]:
    """Ask another model at the same cursors; its figures, and the gain over it for each system."""
    systems = _systems(str(other.path), files)
    rows, gains = {}, {}
    for name in (_HEALED, _ENGINE):
        tasks = [answer.task for answer in answers[name]]
        given = [systems[name](task) for task in _progress(tasks, f"{other.info.name}: {name}")]
        rows[name], gains[name] = _exactness(given), _gain(given, answers[name])
    return {
        "model": other.info.name,
        "content_hash": other.content_hash,
        "bits_per_byte": _losses(other, files, plan),
        "rest_of_line": rows,
        "gain": gains,
    }


def _systems(model: str, files: dict[str, list[HeldOutFile]]) -> dict[str, System]:
    backend: LocalBackend = open_backend(model, threads=1)
    engine = Engine(Settings(model=model))
    engine.load()
    systems: dict[str, System] = {
        _HEALED: lambda task: network_answer(backend, task, heal=True),
        "network, not healed": lambda task: network_answer(backend, task, heal=False),
        _ENGINE: lambda task: engine_answer(engine, task),
    }
    if backend.info.snippet_tokens:
        sources = {
            name: SnippetSearch((file.path, file.text) for file in found)
            for name, found in files.items()
        }
        systems[_SNIPPETS] = lambda task: network_answer(
            backend, task, heal=True, neighbours=sources[task.file.repository]
        )
    return systems


def _gain(without: Sequence[Answer], given: Sequence[Answer]) -> dict[str, float]:
    """Return by how much more is exact, over the same tasks, with its interval."""
    outcomes: dict[str, dict[str, list[float]]] = {}
    for before, after in zip(without, given, strict=True):
        file = before.task.file
        outcomes.setdefault(file.repository, {}).setdefault(file.path, []).append(
            float(after.is_exact) - float(before.is_exact)
        )
    return _interval(outcomes)


def _losses(folder: ModelFolder, files: dict[str, list[HeldOutFile]], plan: Plan) -> dict[str, Any]:
    """Return bits per byte by repository, as served (8-bit) and in fp32."""
    losses: dict[str, Any] = {}
    documents = {name: _sample_documents(found, plan) for name, found in files.items()}
    for kind, bits in (("int8", 8), ("fp32", 32)):
        scorer = folder_scorer(folder, bits=bits)
        by_repository = {
            name: bits_per_byte(measure_cost(scorer, document) for document in chosen)
            for name, chosen in documents.items()
        }
        losses[kind] = {"mean": float(np.mean(list(by_repository.values()))), **by_repository}
    return losses


def _sample_documents(files: Sequence[HeldOutFile], plan: Plan) -> list[Passage]:
    draws = np.random.Generator(np.random.Philox(key=[plan.seed, 1]))
    chosen, left = [], plan.loss_bytes
    for index in draws.permutation(len(files)):
        if left <= 0:
            break
        chosen.append(whole_file(files[index].path, files[index].text))
        left -= len(files[index].text.encode())
    return chosen


def _progress(tasks: Sequence[Task], name: str) -> Sequence[Task]:
    sys.stderr.write(f"{name}: {len(tasks)} cursors\n")
    return tasks


def _exactness(answers: Sequence[Answer]) -> dict[str, Any]:
    latencies = [answer.total_ms for answer in answers]
    shown = [answer for answer in answers if answer.is_shown]
    return {
        "tasks": len(answers),
        "exact": _interval(_by_file(answers)),
        "exact_mid_token": _mean([a.is_exact for a in answers if a.task.is_mid_token]),
        "exact_at_border": _mean([a.is_exact for a in answers if not a.task.is_mid_token]),
        "shown": _mean([answer.is_shown for answer in answers]),
        "precision": _mean([answer.is_right for answer in shown]),
        "p50_ms": float(np.percentile(latencies, 50)),
        "p95_ms": float(np.percentile(latencies, 95)),
    }


def _by_file(answers: Sequence[Answer]) -> dict[str, dict[str, list[float]]]:
    outcomes: dict[str, dict[str, list[float]]] = {}
    for answer in answers:
        file = answer.task.file
        outcomes.setdefault(file.repository, {}).setdefault(file.path, []).append(
            float(answer.is_exact)
        )
    return outcomes


def _interval(outcomes: dict[str, dict[str, list[float]]]) -> dict[str, float]:
    return dataclasses.asdict(macro_mean(outcomes))


def _mean(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def table(report: dict[str, Any]) -> str:
    """Return the report as text."""
    lines = [f"{report['model']} on {', '.join(report['repositories'])}", ""]
    for kind, losses in report["bits_per_byte"].items():
        lines.append(f"bits/byte {kind}: {losses['mean']:.4f}")
    head = ("rest of line", "exact [95%]", "mid-token", "border", "p50 ms", "p95 ms")
    lines += ["", "{:<22}{:<24}{:>10}{:>10}{:>9}{:>9}".format(*head)]
    for name, row in report["rest_of_line"].items():
        exact = str(Interval(**row["exact"]))
        mid, border = (_percent(row[key]) for key in ("exact_mid_token", "exact_at_border"))
        lines.append(
            f"{name:<22}{exact:<24}{mid:>10}{border:>10}{row['p50_ms']:>9.1f}{row['p95_ms']:>9.1f}"
        )
    if "gain_of_snippets" in report:
        gain = Interval(**report["gain_of_snippets"])
        lines.append(f"gain of snippets, paired: {gain}")
    engine = report["rest_of_line"][_ENGINE]
    lines.append(
        f"engine: shown {_percent(engine['shown'])}, of which right {_percent(engine['precision'])}"
    )
    if "against" in report:
        other = report["against"]
        lines.append(f"against {other['model']} at the same cursors, paired:")
        lines += [f"  {name}: {Interval(**gain)} more" for name, gain in other["gain"].items()]
        bits = other["bits_per_byte"]
        lines += [
            f"  bits/byte {kind}: {losses['mean']:.4f} there" for kind, losses in bits.items()
        ]
    return "\n".join(lines) + "\n"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"
