"""The card says what the run's files say, and that nothing was measured where that is so."""

from typing import Any

from tests.doubles import tiny_config
from training.pretrain.card import model_card
from training.pretrain.checkpoint import RunProgress
from training.recipe import FolderTable

TABLE = FolderTable(name="small", licence="MIT", languages=("python", "go"))
STAGE = {
    "shards": "rows", "block_size": 16, "n_step": 100, "rows_per_step": 8, "micro_rows": 8,
    "rate_factor": 1.0,
}  # fmt: skip
PLAN: dict[str, Any] = {
    "stages": [STAGE, STAGE | {"block_size": 32}],
    "warmup_tokens": 1, "warmdown_tokens": 1, "final_lr": 0.1, "final_momentum": 0.9,
}  # fmt: skip
PROGRESS = RunProgress(step=120, tokens=3_500_000, seconds=600.0, cpu_seconds=1_080.0, plan=PLAN)
INTERVAL = {"mean": 0.125, "low": 0.1, "high": 0.15}


def source(name: str, **changes: Any) -> dict[str, Any]:
    made = {
        "name": name, "commit": "0123456789abcdef", "licence": "MIT", "split": "train",
        "files": 7, "bytes": 81_999,
    }  # fmt: skip
    return made | changes


MANIFEST: dict[str, Any] = {
    "totals": {"train": {"bytes": 4_250_000, "files": 310}},
    "sources": [
        source("o/first"),
        source("o/second"),
        source("o/third", licence="Apache-2.0"),
        source("o/held", split="validation"),
        source("o/refused", files=0),
    ],
    "refused_by_name": ["o/judge"],
    "settings": {"overlap_words": 10},
    "evaluation": {"n_hits": 2},
}


def row(**changes: Any) -> dict[str, Any]:
    made = {
        "exact": INTERVAL, "exact_mid_token": 0.2, "exact_at_border": None,
        "shown": 0.75, "precision": 0.5,
    }  # fmt: skip
    return made | changes


REPORT: dict[str, Any] = {
    "repositories": ["o/judge", "p/other"],
    "plan": {"tasks": 200},
    "bits_per_byte": {
        "int8": {"mean": 0.91234, "o/judge": 0.9, "p/other": 0.92468},
        "fp32": {"mean": 0.9, "o/judge": 0.88, "p/other": 0.92},
    },
    "rest_of_line": {"network, healed": row(), "engine": row(precision=None)},
}


def test_operations_are_counted_by_stage() -> None:
    config = tiny_config()
    flops = 100 * 8 * 16 * config.flops_per_token(16) + 20 * 8 * 32 * config.flops_per_token(32)
    assert f", {flops:.2g} floating-point operations" in card()


def card(report: dict[str, Any] | None = None, notes: str = "") -> str:
    return model_card(TABLE, tiny_config(), PROGRESS, manifest=MANIFEST, report=report, notes=notes)


def test_head_names_model_licence_and_size() -> None:
    head = card().partition("## Training")[0]
    assert head.startswith("---\nlicense: mit\n")
    assert "# small\n" in head
    assert "(python, go)" in head
    assert f"{tiny_config().n_params / 1e6:.2f} million parameters" in head


def test_training_says_what_it_took() -> None:
    text = card().partition("## Training")[2].partition("##")[0]
    assert (
        "3.50 million tokens in 120 steps: 10 minutes of wall clock, 18 minutes of CPU time" in text
    )
    assert "4.2 MB of unique code in 310 files" in text


def test_corpus_lists_what_was_trained_on_and_nothing_else() -> None:
    text = card().partition("## Corpus")[2]
    assert "| o/first | 0123456789ab | MIT | 7 | 81 |" in text
    assert "o/held" not in text
    assert "o/refused" not in text
    assert "3 repositories under MIT (2), Apache-2.0 (1)" in text
    assert "held for evaluation: 1." in text
    assert "10 words with an infilling benchmark: 2." in text


def test_without_a_report_it_says_so() -> None:
    assert "## Evaluation\n\nNot measured yet." in card()


def test_report_becomes_tables() -> None:
    text = card(REPORT).partition("## Evaluation")[2].partition("## Corpus")[0]
    assert "o/judge, p/other" in text
    assert "200 cursors a repository" in text
    assert "| network, healed | 12.5% [10.0, 15.0] | 20.0% | - |" in text
    assert "shows something at 75.0% of the cursors; - of that" in text
    assert "| bits per byte | mean | judge | other |\n|---|---|---|---|" in text
    assert "| int8 | 0.912 | 0.900 | 0.925 |" in text


def test_the_model_that_it_was_held_against_is_named() -> None:
    other = {
        "model": "older",
        "content_hash": "ab" * 32,
        "bits_per_byte": {"int8": {"mean": 1.0}},
        "gain": {"network, healed": INTERVAL},
    }
    text = card(REPORT | {"against": other})
    assert "Held against older abababababab at the same cursors" in text
    assert "paired: network, healed: 12.5% [10.0, 15.0]." in text
    assert "int8: 1.000 there, 0.912 here." in text
    assert "Held against" not in card(REPORT)


def test_notes_stand_between_figures_and_corpus() -> None:
    text = card(notes="\n## Limits\n\nIt is small.\n")
    assert "Not measured yet.\n\n## Limits\n\nIt is small.\n\n## Corpus" in text
    assert text.endswith("|\n")
