"""The texts of a run: enough of them, clean, and by night only what has changed."""

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from assistant.models.registry import Registry
from model.folder import load_folder
from model.tokenizer import Tokenizer
from tests.histories import add_commits, module, small_request
from training.data.scrub import Scrubbed
from training.finetune import gather, texts
from training.finetune.errors import TuneError
from training.finetune.gather import NothingToDoError
from training.finetune.history_split import split_history
from training.finetune.plan import TunePlan
from training.finetune.prepare import Request, make_plan


@pytest.fixture
def request_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    monkeypatch.setattr(gather, "MIN_TOKENS", 1_000)
    return small_request(tmp_path)


def tokenizer(request: Request) -> Tokenizer:
    return load_folder(request.base).tokenizer()


def plan_of(request: Request, *, since: str = "") -> TunePlan:
    plan = make_plan(request, Registry())
    options = dataclasses.replace(plan.options, is_nightly=bool(since))
    return dataclasses.replace(plan, since=since, options=options)


def test_tree_of_the_trained_commit_is_gathered(request_for: Request) -> None:
    plan = plan_of(request_for)
    found = gather.gather(plan, tokenizer(request_for))
    names = {text.path for text in found.mixture.fresh}
    assert names == {f"pkg/part_{number}.py" for number in range(plan.split.n_trained + 1)}
    account = found.account
    assert (account.n_files, account.n_seen, account.n_fresh) == (len(names),) * 3
    assert account.n_bytes == sum(text.n_bytes for text in found.mixture.fresh)
    assert not {text.path for text in found.mixture.general} & {t.path for t in found.held_out}


def test_texts_are_found_again(request_for: Request, tmp_path: Path) -> None:
    found = gather.gather(plan_of(request_for), tokenizer(request_for))
    gather.save(tmp_path, found)
    assert gather.load(tmp_path, dataclasses.asdict(found.account)) == found


def test_night_learns_what_changed(request_for: Request) -> None:
    since = split_history(request_for.repository).trained_to
    changed = {"pkg/part_3.py": module(777, 12)}
    more = [changed | {f"pkg/new_{n}.py": module(500 + n, 9)} for n in range(40)]
    add_commits(request_for.repository, more)
    found = gather.gather(plan_of(request_for, since=since), tokenizer(request_for))
    fresh = {text.path for text in found.mixture.fresh}
    unchanged = {text.path for text in found.mixture.unchanged}
    assert "pkg/part_3.py" in fresh
    assert "pkg/new_0.py" in fresh
    assert "pkg/part_4.py" in unchanged
    assert not fresh & unchanged


def test_night_without_change_has_nothing_to_do(request_for: Request) -> None:
    since = split_history(request_for.repository).trained_to
    with pytest.raises(NothingToDoError, match="0 tokens of code have changed"):
        gather.gather(plan_of(request_for, since=since), tokenizer(request_for))


def test_too_little_code_is_refused(request_for: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "MIN_TOKENS", 10**6)
    with pytest.raises(TuneError, match="1000000 are needed"):
        gather.gather(plan_of(request_for), tokenizer(request_for))


def test_secret_that_is_not_replaced_stops_the_run(
    request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "ghp_" + "a1B2c3D4e5F6" * 3
    code = module(1) + f'TOKEN = "{key}"\n'
    add_commits(request_for.repository, [{"pkg/leak.py": code}] * 50)

    def overlook(text: str) -> Scrubbed:
        return Scrubbed(text=text, counts=Counter(), n_lines=0)

    monkeypatch.setattr(texts, "scrub", overlook)
    with pytest.raises(TuneError, match=r"secrets are left in pkg/leak\.py"):
        gather.gather(plan_of(request_for), tokenizer(request_for))


def test_account_is_said_in_a_line(request_for: Request) -> None:
    account = gather.gather(plan_of(request_for), tokenizer(request_for)).account
    assert account.line().startswith("41 files, ")
