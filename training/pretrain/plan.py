"""`foretype train plan RECIPE`: operations, hours and money of a run, before it is started.

Arithmetic on a recipe and a short table of hardware; nothing is measured here, and the answer says
which of its figures are measured elsewhere and which are assumed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

from model.config import ConfigError, ModelConfig
from training.cli import report_mistakes
from training.data.progress import time_text
from training.pretrain.recipe import Recipe, load_recipe
from training.pretrain.schedule import Schedule, make_plan

NARROW = 1_024  # below this width products are too small to keep a large GPU busy
NARROW_SHARE = 0.7  # of the utilisation of wide networks; published small runs have 25-35%
# Operations of the run of nanochat that first reached GPT-2 for $73: 8 H100, 3.04 hours.
GPT2_FLOPS = 4.33e19
GPT2_STORY = (
    "For comparison, GPT-2 (1.56 billion parameters): about $43,000 in 2019 (32 TPU v3, 168 hours "
    "at $8 a chip);\n$73 in February 2026 (nanochat: 8 H100, 3.04 hours at $24), about $40 a month "
    "later (1.65 hours)."
)


class Hardware(NamedTuple):
    """A machine: what it does of this work, and what an hour of it costs."""

    name: str
    flops: float  # sustained in a training step
    dollars_per_hour: float
    source: str
    is_gpu: bool = False


_2017 = "measured: 45 to 47 GFLOPS a core (docs/experiments.md); price assumed"
_ZEN5 = "assumed: 40% of a measured matmul peak of 830 GFLOPS; price assumed"
_H100 = "assumed: 40% of the data sheet's bf16 peak, $3 an hour; not run here"
_8_H100 = "the same, times 8: exchange of gradients not counted; not run here"
HARDWARE = (
    Hardware("2 server cores of 2017, fp32", 90e9, 0.08, _2017),
    Hardware("2 Zen 5 cores, bf16", 330e9, 0.10, _ZEN5),
    Hardware("1 H100", 0.4 * 989e12, 3.0, _H100, is_gpu=True),
    Hardware("8 H100", 8 * 0.4 * 989e12, 24.0, _8_H100, is_gpu=True),
)


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""
    return report_mistakes("train plan", lambda: _run(_parser().parse_args(argv)))


def _run(args: argparse.Namespace) -> None:
    sys.stdout.write(report(load_recipe(args.recipe, overrides=args.set), _machines(args)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="foretype train plan",
        description="Say what a training run will take, before it is started.",
    )
    parser.add_argument("recipe", type=Path, help="a TOML file, or the name of a bundled recipe")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE")
    parser.add_argument(
        "--gflops", type=float, help="what your machine does; a run's log.jsonl has it"
    )
    parser.add_argument("--price", type=float, default=0.0, help="of your machine, dollars an hour")
    return parser


def _machines(args: argparse.Namespace) -> tuple[Hardware, ...]:
    if args.gflops is None:
        return HARDWARE
    if args.gflops <= 0 or args.price < 0:
        raise ConfigError("--gflops must be positive and --price not negative")
    return (Hardware("your machine", args.gflops * 1e9, args.price, "given"), *HARDWARE)


def hours(flops: float, machine: Hardware, config: ModelConfig) -> float:
    """Return how long a machine takes; narrow networks leave a GPU partly idle."""
    share = NARROW_SHARE if machine.is_gpu and config.n_embd < NARROW else 1.0
    return flops / (machine.flops * share) / 3600


def report(recipe: Recipe, machines: tuple[Hardware, ...] = HARDWARE) -> str:
    """Return the plan of a run as text."""
    plan, config = make_plan(recipe), recipe.network.config()
    flops = plan.flops(config)
    size, tokens = _count(config.n_params), _count(plan.tokens)
    ratio = plan.tokens / config.n_params
    lines = [
        f"{recipe.folder.name}: {size} parameters, {tokens} tokens ({ratio:.1f} a parameter)",
        *_stage_lines(plan),
        f"{flops:.2g} floating-point operations in all, {flops / GPT2_FLOPS:.2g} of a GPT-2",
        "",
        f"{'on':<28}{'sustained':>16}{'time':>12}{'cost':>12}",
    ]
    for machine in machines:
        time_h = hours(flops, machine, config)
        sustained = f"{flops / (time_h * 3600) / 1e9:,.0f} GFLOPS"
        cost = _dollars(time_h * machine.dollars_per_hour)
        lines.append(f"{machine.name:<28}{sustained:>16}{time_text(time_h * 3600):>12}{cost:>12}")
    lines += ["", *(f"{machine.name}: {machine.source}" for machine in machines), "", GPT2_STORY]
    return "\n".join(lines) + "\n"


def _stage_lines(plan: Schedule) -> list[str]:
    return [
        f"  stage {number}: {_count(stage.tokens)} tokens in {stage.n_step:,} steps of "
        f"{stage.rows_per_step} rows of {stage.block_size} tokens ({stage.shards})"
        for number, stage in enumerate(plan.stages, 1)
    ]


def _count(number: float) -> str:
    for limit, unit in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if number >= limit:
            return f"{number / limit:.3g} {unit}"
    return f"{number:.0f}"


def _dollars(amount: float) -> str:
    if amount < 0.01:
        return "under $0.01"
    return f"${amount:,.0f}" if amount >= 10 else f"${amount:.2f}"
