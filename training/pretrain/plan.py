"""`foretype train plan RECIPE`: operations, hours and money of a run, before it is started.

Arithmetic on a recipe and a short table of hardware; the answer says which of its figures are
measured and which are assumed. With --measure some steps of the run are taken on made-up rows.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from model.config import ConfigError, ModelConfig
from training.cli import n_threads, report_mistakes
from training.data.progress import time_text
from training.data.shards import TokenIds
from training.pretrain.schedule import Stage, make_plan
from training.recipe import Recipe, load_recipe

_MEASURED_S = 5.0  # of each stage, after a step that pays for memory and compiling
_LOGIT_ROWS = 8_192  # that stand at once, as in `training.pretrain.loss`
NARROW = 1_024  # below this width products are too small to keep a large GPU busy
NARROW_SHARE = 0.7  # of the utilisation of wide networks; published small runs have 25-35%
# Operations of the run of nanochat that first reached GPT-2 for $73: 8 H100, 3.04 hours.
GPT2_FLOPS = 4.33e19
GPT2_COSTS = """\
For comparison, GPT-2 (1.56 billion parameters):
  2019            $43,000  32 TPU v3, 168 hours at $8 a chip
  July 2024          $672  llm.c: 8 H100, 24 hours at $28 (its discussion 677)
  February 2026       $73  nanochat: 8 H100, 3.04 hours at $24
  March 2026          $40  nanochat: 8 H100, 1.65 hours at $24
"""
# Prices and peaks as clouds and data sheets state them; single changes as their authors do.
STORY = f"""{GPT2_COSTS}
589 times cheaper from 2019 to February 2026 is
     2.7 x  a chip costs less an hour: $8 (TPU v3), $3 (H100)
     8.0 x  it does more: 123 TFLOPS in bf16 at best, 989
    27.5 x  the rest: chips kept busier, and far fewer operations needed

Single changes that others measured in that rest; they overlap, do not multiply them:
   25.00 x  fewer tokens to one loss at 124M parameters, 2024 to 2026 (modded-nanogpt README)
    1.73 x  fewer steps: Muon for AdamW, that not fully tuned (modded-nanogpt track 3)
    1.37 x  less time: better data, FineWeb-EDU to ClimbMix (nanochat LEADERBOARD)
    1.28 x  more tokens/s: fp8 for bf16, 8 billion parameters (torchtitan benchmarks)
    1.16 x  more tokens/s: compiled, the same network (torchtitan benchmarks)
    1.05 x  less time: batches of a million tokens (nanochat LEADERBOARD)

At our own scale, to be run by you: docs/why-cheaper.md
"""


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
HARDWARE: tuple[Hardware, ...] = (
    Hardware("2 server cores of 2017, fp32", 90e9, 0.08, _2017),
    Hardware("2 Zen 5 cores, bf16", 330e9, 0.10, _ZEN5),
    Hardware("1 H100", 0.4 * 989e12, 3.0, _H100, is_gpu=True),
    Hardware("8 H100", 8 * 0.4 * 989e12, 24.0, _8_H100, is_gpu=True),
)


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="foretype train plan",
        description="Say what a training run will take, before it is started.",
    )
    text = "a TOML file, or the name of a bundled recipe"
    parser.add_argument("recipe", type=Path, nargs="?", help=text)
    text = "tell instead why a network as good as GPT-2 became 600 times cheaper"
    parser.add_argument("--story", action="store_true", help=text)
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE")
    parser.add_argument(
        "--gflops", type=float, help="what your machine does; a run's log.jsonl has it"
    )
    text = "take steps of each stage here for seconds and tell this machine's time"
    parser.add_argument("--measure", action="store_true", help=text)
    parser.add_argument("--price", type=float, default=0.0, help="of your machine, dollars an hour")
    return report_mistakes("train plan", lambda: _run(parser.parse_args(argv)))


def _run(args: argparse.Namespace) -> None:
    if args.story:
        sys.stdout.write(STORY)
        return
    if args.recipe is None:
        raise ConfigError("name a recipe, or ask for --story")
    recipe, machines = load_recipe(args.recipe, overrides=args.set), HARDWARE
    if args.gflops is not None:
        if args.gflops <= 0 or args.price < 0:
            raise ConfigError("--gflops must be positive and --price not negative")
        yours = Hardware("your machine", args.gflops * 1e9, args.price, "given")
        machines = (yours, *machines)
    if args.measure:
        sys.stderr.write("measuring: steps of each stage, for some seconds\n")
        flops = measure(recipe)
        machines = (Hardware("this machine", flops, args.price, "measured just now"), *machines)
    sys.stdout.write(report(recipe, machines))


def hours(flops: float, machine: Hardware, config: ModelConfig) -> float:
    """Return how long a machine takes; narrow networks leave a GPU partly idle."""
    share = NARROW_SHARE if machine.is_gpu and config.n_embd < NARROW else 1.0
    return flops / (machine.flops * share) / 3600


class Memory(NamedTuple):
    """Bytes that a training step holds on each GPU: `kept`, and one after the other the rest."""

    kept: float  # weights, gradients, optimizers
    layers: float
    loss: float
    update: float  # Muon's of the most matrices of one shape

    @property
    def most(self) -> float:
        """What it holds at its peak."""
        return self.kept + max(self.layers + self.loss, self.update)


def memory(recipe: Recipe, n_device: int) -> Memory:
    """Count what a step in bf16 holds on each of so many GPUs (see `layer_numbers`).

    Twice a layer stands for what is gathered ahead.
    """
    config, train = recipe.network.config(), recipe.train
    n_tensor = train.tensor_parallel if n_device > 1 else 1
    is_sharded = n_device > 1 and (train.shard or n_tensor > 1)
    head = config.vocab_size * config.n_embd
    matrices, layers = config.n_params_matrix - head, config.n_layer
    n_state = 1 if train.optimiser == "muon" else 2  # of each number in a matrix; 2 of others
    copies = 2 + (train.average_tokens > 0)  # weights and gradients
    numbers = config.n_params * (copies + 2) - matrices * (2 - n_state)
    tokens = max(stage.micro_rows * stage.block_size for stage in make_plan(recipe).stages)
    kept = layer_numbers(config, n_tensor)
    made = kept + layers * config.n_embd if train.recompute else kept * layers
    if is_sharded:  # gathered in bf16; gradients in bf16, and in fp32 while they are exchanged
        passing = 2 * matrices / layers / n_tensor * (2 + 2 + 4) + head * (4 + 4)
    else:  # copies in bf16
        passing = 2 * matrices / (layers if train.recompute else 1)
    logits = min(tokens, _LOGIT_ROWS) * config.vocab_size
    n_share = n_device if is_sharded else 1
    stacked = 2 * layers * config.n_embd * config.n_inner * (train.optimiser == "muon")
    return Memory(
        kept=4 * numbers / n_share,
        layers=2 * tokens * made + passing,
        loss=2 * (3 * tokens * config.n_embd + 2 * logits) + head * (4 + 2),
        update=4 * 4 * stacked / n_share,
    )


def layer_numbers(config: ModelConfig, n_tensor: int = 1) -> float:
    """Return how many numbers of a token a layer keeps for its backward pass, as torch saves them.

    Those of the width are in each process of a tensor group, the others in one.
    """
    heads = (config.n_head + config.n_kv_head) * config.head_dim
    return 10 * config.n_embd + (6 * heads + 4 * config.n_inner) / n_tensor


def measure(recipe: Recipe) -> float:
    """Return the operations a second that this machine sustains in the steps of a recipe."""
    from training.pretrain.command import use_threads  # torch is wanted here alone
    from training.pretrain.trainer import Trainer

    trainer = Trainer(recipe, lambda stage: _made_up_rows(recipe, stage))
    use_threads(trainer, n_threads(), is_given=False)
    plan, config, seconds, step = trainer.plan, trainer.network.config, 0.0, 0
    for stage in plan.stages:
        trainer.progress = dataclasses.replace(trainer.progress, step=step)
        trainer.step()  # compiles, and pays for memory
        n_step, started = 0, time.perf_counter()
        while n_step < stage.n_step - 1 and time.perf_counter() - started < _MEASURED_S:
            trainer.step()
            n_step += 1
        seconds += (time.perf_counter() - started) / max(1, n_step) * stage.n_step
        step += stage.n_step
    return plan.flops(config) / seconds


def _made_up_rows(recipe: Recipe, stage: Stage) -> TokenIds:
    """Return as many rows of random ids as a measurement reads."""
    n_ids, shape = recipe.network.config().vocab_size, (stage.rows_per_step, stage.block_size + 1)
    return np.random.default_rng(0).integers(n_ids, size=shape, dtype=np.uint32)


def report(recipe: Recipe, machines: tuple[Hardware, ...] = HARDWARE) -> str:
    """Return the plan of a run as text."""
    plan, config = make_plan(recipe), recipe.network.config()
    flops = plan.flops(config)
    size, tokens = _count(config.n_params), _count(plan.tokens)
    ratio = plan.tokens / config.n_params
    lines = [
        f"{recipe.folder.name}: {size} parameters, {tokens} tokens ({ratio:.1f} a parameter)",
        *(
            f"  stage {number}: {_count(stage.tokens)} tokens in {stage.n_step:,} steps of "
            f"{stage.rows_per_step} rows of {stage.block_size} tokens ({stage.shards})"
            for number, stage in enumerate(plan.stages, 1)
        ),
        f"{flops:.2g} floating-point operations in all, {flops / GPT2_FLOPS:.2g} of a GPT-2",
        "",
        f"{'on':<28}{'sustained':>16}{'time':>14}{'cost':>12}",
    ]
    for machine in machines:
        time_h = hours(flops, machine, config)
        sustained = f"{flops / (time_h * 3600) / 1e9:,.0f} GFLOPS"
        cost = dollars_text(time_h * machine.dollars_per_hour)
        lines.append(f"{machine.name:<28}{sustained:>16}{time_text(time_h * 3600):>14}{cost:>12}")
    lines += ["", *(f"{machine.name}: {machine.source}" for machine in machines)]
    lines += ["", *(_memory_line(recipe, n_device) for n_device in (1, 8))]
    if recipe.train.teacher:
        lines.append("not counted: what its teacher answers")
    return "\n".join([*lines, "", GPT2_COSTS])


def _memory_line(recipe: Recipe, n_device: int) -> str:
    held = memory(recipe, n_device)
    kept, layers, loss, update = (f"{part / 1e9:.1f}" for part in held)
    return (
        f"memory a GPU, of {n_device}: {held.most / 1e9:.1f} GB (weights and optimizers {kept}; "
        f"then layers {layers} and loss {loss}, or update {update}); counted, not measured"
    )


def _count(number: float) -> str:
    for limit, unit in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if number >= limit:
            return f"{number / limit:.3g} {unit}"
    return f"{number:.0f}"


def dollars_text(amount: float) -> str:
    """Return an amount as people write it."""
    if amount < 0.01:
        return "under $0.01"
    return f"${amount:,.0f}" if amount >= 10 else f"${amount:.2f}"
