"""The folder of a tuning: one writer, whole steps, and only its owner's."""

import dataclasses
import os
from pathlib import Path

import pytest

from tests.histories import made_plan
from training.errors import TuneError
from training.finetune.plan import TuneState, owner_only
from training.finetune.request import TuneOptions

PLAN = made_plan()


def test_plan_is_read_as_written(tmp_path: Path) -> None:
    with TuneState(tmp_path / "s") as state:
        assert state.plan() is None
        state.begin(PLAN)
        assert state.plan() == PLAN


def test_plan_of_another_version_is_no_plan(tmp_path: Path) -> None:
    with TuneState(tmp_path / "s") as state:
        state.write_table("plan", {"repository": "x"})
        assert state.plan() is None
        (tmp_path / "s" / "plan.json").write_text("[]")
        assert state.plan() is None
        (tmp_path / "s" / "plan.json").write_text("{")
        assert state.plan() is None


def test_second_writer_is_refused(tmp_path: Path) -> None:
    with TuneState(tmp_path / "s"):
        with pytest.raises(TuneError, match="another `foretype tune` works"):
            TuneState(tmp_path / "s")
    TuneState(tmp_path / "s").__exit__()


@pytest.mark.skipif(os.name == "nt", reason="permissions of another kind")
def test_folder_is_its_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir(mode=0o755)
    with TuneState(tmp_path / "s") as state:
        state.begin(PLAN)
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "s" / "plan.json").stat().st_mode & 0o777 == 0o600


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    (tmp_path / "s" / "rows.part").mkdir(parents=True)
    (tmp_path / "s" / "epoch-1.part").write_text("half")
    with TuneState(tmp_path / "s"):
        assert [path.name for path in (tmp_path / "s").iterdir()] == ["lock"]


def test_new_plan_forgets_the_old_steps(tmp_path: Path) -> None:
    with TuneState(tmp_path / "s") as state:
        state.begin(PLAN)
        state.write_table("texts", {"n": 1})
        (state.folder / "rows").mkdir()
        state.begin(dataclasses.replace(PLAN, options=TuneOptions(n_epochs=1)))
        assert state.table("texts") is None
        assert not (state.folder / "rows").exists()


def test_kept_steps_survive(tmp_path: Path) -> None:
    with TuneState(tmp_path / "s") as state:
        state.begin(PLAN)
        state.write_table("result", {"n": 1})
        state.write_table("texts", {"n": 1})
        state.clear(keep=("plan", "result"))
        assert (state.plan(), state.table("result"), state.table("texts")) == (PLAN, {"n": 1}, None)


def test_step_is_done_once(tmp_path: Path) -> None:
    with TuneState(tmp_path / "s") as state:
        assert state.do_once("candidate", lambda: {"n": 1}) == {"n": 1}
        assert state.do_once("candidate", lambda: {"n": 2}) == {"n": 1}


@pytest.mark.skipif(os.name == "nt", reason="permissions of another kind")
def test_what_is_written_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with owner_only():
            (tmp_path / "a").write_text("x")
        (tmp_path / "b").write_text("x")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"] == [0o600, 0o644]
