"""The local backend: drafts of a job, the cache behind them, and giving way."""

import json
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from assistant.errors import ModelError
from assistant.generate.backend import Draft, LocalBackend, open_backend
from assistant.generate.prompt import GenerationJob, Prompt
from assistant.request import Cancel
from model.files import sha256_file
from tests.doubles import tiny_folder
from tests.scripted import SAMPLE, ScriptedRuntime, scripted_info, small_tokenizer

TOKENIZER = small_tokenizer()
INFO = scripted_info()


def scripted(script: str = SAMPLE) -> tuple[LocalBackend, ScriptedRuntime]:
    runtime = ScriptedRuntime(TOKENIZER, script)
    return LocalBackend(runtime, TOKENIZER, INFO), runtime


def job_at(
    offset: int, *, tail: bytes = b"", n: int = 1, max_new_tokens: int = 40, wait_s: float = 60
) -> GenerationJob:
    ids = [*TOKENIZER.encode("x.py\n"), *TOKENIZER.encode(SAMPLE[: offset - len(tail)])]
    return GenerationJob(
        prompt=Prompt(ids=ids, tail=tail),
        n=n,
        max_new_tokens=max_new_tokens,
        deadline=time.monotonic() + wait_s,
        cancel=Cancel(),
    )


def pulled(draft: Draft) -> tuple[str, str]:
    """Return the whole text of a draft and why it ended."""
    text = ""
    while True:
        try:
            text += next(draft.pieces)
        except StopIteration as end:
            return text, end.value


def run(backend: LocalBackend, job: GenerationJob) -> list[tuple[str, str]]:
    with closing(backend.drafts(job)) as drafts:
        return [pulled(draft) for draft in drafts]


def test_draft_continues_the_document_and_ends_with_it() -> None:
    backend, _ = scripted()
    cut = SAMPLE.index("handle]")
    assert run(backend, job_at(cut, max_new_tokens=400)) == [(SAMPLE[cut:], "stop")]


def test_draft_after_a_tail_shows_only_what_is_new() -> None:
    backend, _ = scripted()
    cut = SAMPLE.index("encoding=")
    text, reason = run(backend, job_at(cut + 3, tail=b"enc"))[0]
    assert SAMPLE[cut + 3 :].startswith(text)
    assert (reason, text.startswith("oding=")) == ("length", True)


def test_next_keystroke_reuses_the_cache() -> None:
    backend, runtime = scripted()
    run(backend, job_at(120))
    before = runtime.n_appended
    job = job_at(121, max_new_tokens=1)
    with closing(backend.drafts(job)) as drafts:
        draft = next(drafts)
        pulled(draft)
    assert draft.reused_tokens >= draft.prompt_tokens - 3
    assert runtime.n_appended - before <= 3


@pytest.mark.parametrize("n", [2, 3, 5])
def test_more_drafts_begin_with_different_tokens(n: int) -> None:
    backend, _ = scripted()
    drafts = run(backend, job_at(60, n=n, max_new_tokens=12))
    assert len(drafts) == 2 * n
    assert len({text for text, _ in drafts}) >= n


def test_first_of_many_is_the_only_one_of_one() -> None:
    backend, _ = scripted()
    one = run(backend, job_at(60, tail=SAMPLE[58:60].encode()))
    many = run(backend, job_at(60, tail=SAMPLE[58:60].encode(), n=3))
    assert many[0] == one[0]


def test_cancel_ends_a_draft_within_one_token() -> None:
    backend, runtime = scripted()
    job = job_at(60, max_new_tokens=100)
    with closing(backend.drafts(job)) as drafts:
        draft = next(drafts)
        next(draft.pieces)
        n_calls = runtime.n_calls
        job.cancel.set()
        assert pulled(draft) == ("", "cancelled")
        assert runtime.n_calls == n_calls
        assert list(drafts) == []


def test_deadline_keeps_what_is_there() -> None:
    backend, _ = scripted()
    job = job_at(60, max_new_tokens=400, wait_s=0.4)
    with closing(backend.drafts(job)) as drafts:
        draft = next(drafts)
        first = next(draft.pieces)
        time.sleep(max(0.0, job.deadline - time.monotonic()))
        assert pulled(draft) == ("", "deadline")
    assert SAMPLE[60:].startswith(first)


def test_job_that_is_cancelled_before_it_starts_runs_nothing() -> None:
    backend, runtime = scripted()
    job = job_at(60)
    job.cancel.set()
    assert run(backend, job) == []
    assert runtime.n_calls == 0


def test_waiting_job_gives_up_at_its_deadline() -> None:
    backend, _ = scripted()
    with closing(backend.drafts(job_at(60))) as drafts:
        next(drafts)
        answers: list[list[tuple[str, str]]] = []
        waiter = threading.Thread(
            target=lambda: answers.append(run(backend, job_at(60, wait_s=0.05)))
        )
        waiter.start()
        waiter.join(30)
    assert answers == [[]]


def test_abandoned_draft_frees_the_model() -> None:
    backend, _ = scripted()
    with closing(backend.drafts(job_at(60))) as drafts:
        next(next(drafts).pieces)
    assert run(backend, job_at(60)) != []


def test_bytes_that_are_no_text_end_the_draft() -> None:
    class Raw(ScriptedRuntime):
        def _following(self) -> bytes:
            return b"q~\xff\xfe"[self.n_calls - 1 :]

    backend = LocalBackend(Raw(TOKENIZER, SAMPLE), TOKENIZER, INFO)
    assert run(backend, job_at(60)) == [("q~", "stop")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model"))


def real_job(backend: LocalBackend, text: str, tail: str = "") -> GenerationJob:
    ids = backend.tokenizer.encode(text)
    return GenerationJob(
        prompt=Prompt(ids=ids, tail=tail.encode()),
        n=1,
        max_new_tokens=24,
        deadline=time.monotonic() + 60,
        cancel=Cancel(),
    )


def test_reused_cache_gives_the_text_of_a_fresh_one(folder: Path, shared_cache: Path) -> None:
    used = open_backend(str(folder), threads=1)
    for end in range(90, 130, 4):
        text, tail = SAMPLE[: end - 2], SAMPLE[end - 2 : end]
        fresh = open_backend(str(folder), threads=1)
        assert run(used, real_job(used, text, tail)) == run(fresh, real_job(fresh, text, tail))


def test_alternating_documents_give_the_texts_of_fresh_runs(
    folder: Path, shared_cache: Path
) -> None:
    used = open_backend(str(folder), threads=1)
    reused = []
    for end in range(100, 130, 10):
        for text in (SAMPLE[:end], SAMPLE[200 : 200 + end]):
            fresh = open_backend(str(folder), threads=1)
            job = real_job(used, text)
            with closing(used.drafts(job)) as drafts:
                draft = next(drafts)
                answer = "".join(draft.pieces)
            reused.append(draft.reused_tokens > 50)
            with closing(fresh.drafts(real_job(fresh, text))) as drafts:
                assert answer == "".join(next(drafts).pieces)
    assert reused == [False, False, True, True, True, True]


def test_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no model folder at .*nowhere"):
        open_backend(str(tmp_path / "nowhere"), threads=1)


def test_cache_that_cannot_be_written_is_a_model_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("")
    monkeypatch.setenv("FORETYPE_CACHE", str(occupied))
    with pytest.raises(ModelError, match=r"cannot run the model in .*FORETYPE_CACHE"):
        open_backend(str(folder), threads=1)


def test_graph_that_does_not_load_is_a_model_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are as they were written, so nothing but loading finds out."""
    monkeypatch.setenv("FORETYPE_CACHE", str(tmp_path))
    open_backend(str(folder), threads=1)
    (graph,) = tmp_path.rglob("graph.onnx")
    graph.write_bytes(b"\x08\x09garbage")
    manifest = graph.parent / "artefact.json"
    table = json.loads(manifest.read_text())
    table["graph.onnx"] = [graph.stat().st_size, sha256_file(graph)]
    manifest.write_text(json.dumps(table))
    with pytest.raises(ModelError, match=r"cannot load .*graph\.onnx.*delete the folder"):
        open_backend(str(folder), threads=1)


def test_damaged_cache_is_mended(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETYPE_CACHE", str(tmp_path))
    before = open_backend(str(folder), threads=1)
    (weights,) = tmp_path.rglob("weights.bin")
    weights.unlink()
    weights.write_bytes(b"cut")
    after = open_backend(str(folder), threads=1)
    assert run(after, real_job(after, SAMPLE[:90])) == run(before, real_job(before, SAMPLE[:90]))
