"""The texts of a run: enough of them, clean, and found again."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest

from assistant.models.registry import Registry
from model.config import from_table
from model.folder import load_folder
from model.tokenizer import Tokenizer
from tests.histories import add_commits, module, small_request
from training.data import collect
from training.data.collect import Kept
from training.errors import TuneError
from training.finetune import texts
from training.finetune.plan import TunePlan, make_plan
from training.finetune.request import TuneRequest


@pytest.fixture
def request_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TuneRequest:
    monkeypatch.setattr(texts, "MIN_TOKENS", 1_000)
    return small_request(tmp_path)


def tokenizer(request: TuneRequest) -> Tokenizer:
    return load_folder(request.base).tokenizer()


def plan_of(request: TuneRequest) -> TunePlan:
    return make_plan(request, Registry())


def test_tree_of_the_trained_commit_is_gathered(request_for: TuneRequest) -> None:
    plan = plan_of(request_for)
    found = texts.gather(plan, tokenizer(request_for))
    names = {text.path for text in found.own}
    assert names == {f"pkg/part_{number}.py" for number in range(plan.split.n_trained + 1)}
    summary = found.summary
    assert (summary["n_files"], summary["n_seen"]) == (len(names),) * 2
    assert summary["n_bytes"] == sum(text.n_bytes for text in found.own)
    assert not {text.path for text in found.general} & {t.path for t in found.held_out}


def test_texts_are_found_again_as_written(request_for: TuneRequest) -> None:
    found = texts.gather(plan_of(request_for), tokenizer(request_for))
    odd = Kept(source=texts.GENERAL, path="ü.py", text="\u2028 = 'ü'\r\n")
    found = dataclasses.replace(found, held_out=(*found.held_out, odd))
    table = json.loads(json.dumps(dataclasses.asdict(found)))
    assert from_table(texts.TuneTexts, table) == found


def test_too_little_code_is_refused(
    request_for: TuneRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "MIN_TOKENS", 10**6)
    with pytest.raises(TuneError, match="1000000 are needed"):
        texts.gather(plan_of(request_for), tokenizer(request_for))


def test_secret_that_is_not_replaced_stops_the_run(
    request_for: TuneRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "ghp_" + "a1B2c3D4e5F6" * 3
    code = module(1) + f'TOKEN = "{key}"\n'
    add_commits(request_for.repository, [{"pkg/leak.py": code}] * 50)

    monkeypatch.setattr(collect, "redact", lambda text: (text, Counter()))
    with pytest.raises(TuneError, match=r"secrets are left in pkg/leak\.py"):
        texts.gather(plan_of(request_for), tokenizer(request_for))


def test_summary_is_one_line(request_for: TuneRequest) -> None:
    summary = texts.gather(plan_of(request_for), tokenizer(request_for)).summary
    assert texts.describe_code(summary).startswith("41 files, ")
