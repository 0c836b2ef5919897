"""The last steps: what was found better is listed with its card; twice is the same as once."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from assistant.models.registry import Registry
from model.folder import copy_folder, load_folder, save_folder
from tests.doubles import random_tensors, tiny_config, tiny_folder, tiny_info, tiny_tokenizer_json
from tests.histories import SCORES
from training.finetune import finish
from training.finetune.card import CardData, card
from training.finetune.finish import Judges, verdict_of
from training.finetune.gather import Account, Gathered
from training.finetune.history_split import HistorySplit
from training.finetune.judging.judging import Trial
from training.finetune.judging.progress import OnProgress
from training.finetune.judging.verdict import Verdict
from training.finetune.plan import ModelRef, Options, TunePlan
from training.finetune.rows import Mixture
from training.finetune.run import Trained
from training.finetune.state import TuneState

BASE = ModelRef(path="/models/base", content_hash="cd" * 32)
STORY = CardData(
    plan=TunePlan(
        name="project-20261122-1",
        repository_id="ab" * 16,
        root="/home/me/project",
        split=HistorySplit(
            trained_to="a" * 40, developed_to="b" * 40, judged_to="c" * 40,
            n_trained=40, n_development=3, n_judged=7,
        ),
        base=BASE,
        start=BASE,
        serving=BASE,
        options=Options(),
    ),
    account=Account(
        n_seen=50, n_files=41, n_bytes=9_000, n_tokens=3_000, n_fresh=41,
        refused={"generated": 9}, scrubbed={}, data_hash="ef" * 32,
        general="the standard library", n_general_bytes=3_000, general_hash="01" * 32,
    ),
    trained=Trained(bits=(1.2, 1.0), tokens=4_096, seconds=60.0, cpu_seconds=120.0),
    candidate={"epoch": 1, "share": 0.7},
    refit={},
    verdict={"promoted": True, "reasons": ["better"], "scores": SCORES},
    lora_rank=0,
)  # fmt: skip


@pytest.fixture
def state(tmp_path: Path) -> TuneState:
    """A tuning whose refit is done."""
    state = TuneState(tmp_path / "s")
    save_folder(
        state.path("refitted"), config=tiny_config(), tensors=random_tensors(tiny_config()),
        tokenizer_json=tiny_tokenizer_json(), info=tiny_info(), card="not judged",
    )  # fmt: skip
    return state


def test_promoted_model_serves_with_its_card(state: TuneState) -> None:
    judged = load_folder(state.path("refitted"))
    kept = finish.keep(state, STORY, Registry())
    place = Registry().chosen(STORY.plan.repository_id)
    assert place is not None
    folder = load_folder(place)
    assert folder.content_hash == judged.content_hash
    assert (place / "README.md").read_text() == card(STORY)
    assert kept.entry is not None
    assert kept.is_used
    assert (kept.entry.name, kept.entry.scores) == (STORY.plan.name, SCORES)
    assert (kept.entry.parent, kept.entry.kind) == (BASE.content_hash, "full")


def test_night_is_held_against_what_serves_and_the_general_model(state: TuneState) -> None:
    served = ModelRef(path="/models/last-night", content_hash="ef" * 32)
    plan = dataclasses.replace(STORY.plan, start=served, serving=served)
    gathered = Gathered(mixture=Mixture(fresh=(), general=()), held_out=(), account=STORY.account)
    given: list[Trial] = []

    def judge(trial: Trial, progress: OnProgress | None) -> Verdict:
        given.append(trial)
        return Verdict(promoted=False, reasons=("worse",), scores={}, report={})

    judges = Judges(refit=lambda state, plan: {}, judge=judge)
    assert verdict_of(state, plan, gathered, judges)["reasons"] == ("worse",)
    assert verdict_of(state, plan, gathered, judges)["reasons"] == ["worse"]  # found again
    [trial] = given
    assert (trial.base, trial.general_base) == (Path(served.path), Path(BASE.path))
    assert trial.tuned == state.path("refitted")


def test_ranker_goes_with_the_model(state: TuneState) -> None:
    copy_folder(state.path("refitted"), state.path("refitted"), ranker={"n": [1]})
    finish.keep(state, STORY, Registry())
    place = Registry().chosen(STORY.plan.repository_id)
    assert place is not None
    assert load_folder(place).ranker == {"n": [1]}


def test_second_time_after_a_crash_lists_nothing_twice(state: TuneState) -> None:
    first = finish.keep(state, STORY, Registry())
    again = finish.keep(state, STORY, Registry())  # killed before the result was written
    assert again.entry == first.entry
    assert len(Registry().entries()) == 1


def test_model_of_the_same_name_is_left_alone(state: TuneState, tmp_path: Path) -> None:
    other = tiny_folder(tmp_path, seed=9)
    first = finish.keep(state, STORY, Registry())
    assert first.entry is not None
    shutil.rmtree(state.path("refitted"))
    shutil.copytree(other, state.path("refitted"))
    second = finish.keep(state, STORY, Registry())
    assert second.entry is not None
    assert second.entry.name != first.entry.name


def test_refused_model_is_not_listed(state: TuneState) -> None:
    story = dataclasses.replace(STORY, verdict={**STORY.verdict, "promoted": False})
    assert finish.keep(state, story, Registry()).entry is None
    assert Registry().entries() == []


def test_card_says_what_was_seen_and_found() -> None:
    text = card(STORY)
    for part in (
        "Commit " + "a" * 40, "41 of 50 tracked files", "Left out: 9 generated.",
        "replaced: nothing", "epoch 1, 0.7 of the way", "1.2000, 1.0000", "- better",
        "| bits_tuned | 1.0000 |",
    ):  # fmt: skip
        assert part in text, part
    assert "adapters" not in text


def test_card_of_adapters_and_of_a_night() -> None:
    plan = dataclasses.replace(STORY.plan, since="d" * 40)
    text = card(dataclasses.replace(STORY, plan=plan, lora_rank=8))
    assert "adapters of rank 8, merged" in text
    assert "41 files that changed since " + "d" * 40 in text


def test_model_that_was_refused_leaves_no_graph_in_the_cache(
    state: TuneState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETYPE_CACHE", str(tmp_path / "cache"))
    content_hash = load_folder(state.path("refitted")).content_hash
    graphs = tmp_path / "cache" / "graphs"
    for name in (f"{content_hash[:32]}-v1-8", f"{content_hash[:32]}-v1-32", "other-v1-8"):
        (graphs / name).mkdir(parents=True)
        (graphs / name / "weights.bin").write_bytes(b"private")
    refused = dataclasses.replace(STORY, verdict={"promoted": False, "reasons": ["worse"]})
    assert finish.keep(state, refused, Registry()).entry is None
    assert [path.name for path in graphs.iterdir()] == ["other-v1-8"]
