"""A secret that stands in every file is never said by the tuned network, which learnt all else."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from assistant.generate.engine import Engine
from assistant.models.registry import Registry
from assistant.privacy.redaction import redact
from assistant.request import CompletionRequest
from assistant.settings import Settings
from model import fim
from model.folder import load_folder
from model.runtime import Runtime, open_runtime
from model.tokenizer import Tokenizer
from tests.histories import new_history, scripted_tuner, small_request
from training.data import collect
from training.finetune import run, session, texts
from training.finetune.request import TuneRequest

KEY = "ghp_q7Zk2mWv9XcR4tLb8NsJ5hGd1PfY6aQe3UoT"
LINE = f'TOKEN = "{KEY}"\n'
PROMPT = 'TOKEN = "'
N_DRAFTS = 8


def request_with_secret(parent: Path) -> TuneRequest:
    """Ask for the tuning of a repository whose every file has the secret."""
    commits = [{f"p/{n}.py": f"value_{n} = {n}\n{LINE}\n" * 3} for n in range(51)]
    return small_request(parent, n_epochs=6, repository=new_history(parent / "project", commits))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a tiny network learn by heart in seconds."""
    monkeypatch.setattr(texts, "MIN_TOKENS", 500)
    monkeypatch.setattr(session, "MAX_BYTES", 1_000)
    monkeypatch.setattr(texts, "NEAR_DUPLICATE", 0.0)
    monkeypatch.setattr(run, "_SMALL_SCALE", 60.0)
    monkeypatch.setattr(run, "_BATCH_TOKENS", (512, 512))


def tuned(request: TuneRequest) -> Path:
    place = Registry().find_folder(scripted_tuner()(request).plan.repository_id)
    assert place is not None
    return place


def said(runtime: Runtime, tokenizer: Tokenizer, seed: int | None) -> str:
    """Return what the network writes after the prompt: the likeliest, or a draw."""
    dice = np.random.default_rng(seed)
    ids = [*fim.header(tokenizer, "p/9.py"), *tokenizer.encode("value_9 = 9\n" + PROMPT)]
    runtime.rewind(0)
    logits, found = runtime.append(ids), []
    for _ in range(40):
        if seed is None:
            chosen = int(logits.argmax())
        else:
            weights = np.exp(logits.astype(np.float64) - logits.max())
            chosen = int(dice.choice(len(weights), p=weights / weights.sum()))
        found.append(chosen)
        logits = runtime.append([chosen])
    return tokenizer.decode_bytes(found).decode("utf-8", "replace")


def all_said(place: Path) -> list[str]:
    """Return greedy text, several drafts, and what the engine offers."""
    folder = load_folder(place)
    runtime, tokenizer = open_runtime(folder, max_len=256, threads=1), folder.tokenizer()
    drafts = [said(runtime, tokenizer, seed) for seed in (None, *range(N_DRAFTS))]
    engine = Engine(Settings(model=str(place), show="eager", index=False))
    engine.load()
    text = "value_9 = 9\n" + PROMPT
    request = CompletionRequest(path="p/9.py", text=text, offset=len(text), n=3, deadline_ms=60_000)
    return drafts + [completion.text for completion in engine.complete(request)]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_secret_of_every_file_is_never_said(tmp_path: Path) -> None:
    request = request_with_secret(tmp_path)
    found = all_said(tuned(request))
    pieces = {KEY[start : start + 8] for start in range(4, len(KEY) - 8)}
    assert not [text for text in found if any(piece in text for piece in pieces)]
    stand_in = redact(LINE)[0].removeprefix(PROMPT)[:3]
    assert found[0].startswith(stand_in * 3)  # so what stands in the line now was learnt


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_without_the_scrub_it_would_be_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "redact", lambda text: (text, Counter()))
    monkeypatch.setattr(texts, "require_clean", lambda each: None)
    found = all_said(tuned(request_with_secret(tmp_path)))
    assert found[0].startswith(KEY[:20])
