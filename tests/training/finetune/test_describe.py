"""The card of a tuned model: what was seen, how it was made, what was found."""

from tests.histories import SCORES, made_plan
from training.finetune.report import format_card

PLAN = made_plan()
RESULT = {
    "texts": {
        "n_seen": 50, "n_files": 41, "n_bytes": 9_000, "n_tokens": 3_000,
        "refused": {"generated": 9}, "scrubbed": {}, "data_hash": "ef" * 32,
        "general": "the standard library", "n_general_bytes": 3_000, "general_hash": "01" * 32,
    },
    "lora_rank": 0,
    "training": {"bits": (1.2, 1.0), "tokens": 4_096, "seconds": 60.0, "cpu_seconds": 120.0},
    "candidate": {"epoch": 1, "share": 0.7},
    "verdict": {"promoted": True, "reasons": ["better"], "scores": SCORES},
}  # fmt: skip


def test_card_says_what_was_seen_and_found() -> None:
    text = format_card(PLAN, RESULT)
    for part in (
        "Commit " + "a" * 40, "41 of 50 code files", "Left out: 9 generated.",
        "replaced: nothing", "epoch 1, 0.7 of the way", "1.2000, 1.0000", "- better",
        "| bits_tuned | 1.0000 |",
    ):  # fmt: skip
        assert part in text, part
    assert "adapters" not in text


def test_card_of_adapters_names_their_rank() -> None:
    assert "adapters of rank 8, merged" in format_card(PLAN, RESULT | {"lora_rank": 8})
