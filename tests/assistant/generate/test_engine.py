"""The engine end to end over a scripted network: order of stages, cache, cancel, deadline, log."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from assistant.errors import ModelError
from assistant.generate.backend import LocalBackend
from assistant.generate.engine import Engine
from assistant.request import Cancel, Completion, CompletionRequest
from assistant.settings import Settings
from tests.scripted import SAMPLE, ScriptedRuntime, scripted_backend, scripted_info, small_tokenizer

TOKENIZER = small_tokenizer()
INFO = scripted_info()


class Slow(ScriptedRuntime):
    """Takes a while for each call, and says when it is in one."""

    def __init__(self, seconds: float) -> None:
        super().__init__(TOKENIZER, SAMPLE)
        self.seconds = seconds
        self.started = threading.Event()

    def append(self, ids: Sequence[int], *, all_logits: bool = False) -> NDArray[np.float32]:
        self.started.set()
        time.sleep(self.seconds)
        return super().append(ids, all_logits=all_logits)


def engine_over(runtime: ScriptedRuntime, **settings: object) -> Engine:
    asked = Settings(**settings)  # type: ignore[arg-type]
    engine = Engine(asked, lambda *_: LocalBackend(runtime, TOKENIZER, INFO))
    engine.load()
    return engine


def scripted(**settings: object) -> tuple[Engine, ScriptedRuntime]:
    runtime = ScriptedRuntime(TOKENIZER, SAMPLE)
    return engine_over(runtime, **settings), runtime


def at(marker: str, n_typed: int = 0, **changes: object) -> CompletionRequest:
    """Ask behind `marker` and `n_typed` more characters; the rest of that line is not there yet."""
    offset = SAMPLE.index(marker) + len(marker) + n_typed
    rest = SAMPLE.index("\n", offset)
    request = CompletionRequest(
        path="pkg/sample.py",
        text=SAMPLE[:offset] + SAMPLE[rest:],
        offset=offset,
        deadline_ms=60_000,
    )
    return replace(request, **changes)  # type: ignore[arg-type]


def texts(completions: Sequence[Completion]) -> list[str]:
    return [item.text for item in completions]


def test_rest_of_the_line_is_suggested() -> None:
    engine, _ = scripted()
    request = at("self.na")
    response = engine.respond(request)
    (completion,), trace = response.completions, response.trace
    assert (completion.text, completion.source, completion.finish_reason) == (
        "mes = {}",
        "network",
        "stop",
    )
    assert (completion.start, completion.end) == (request.offset, request.offset)
    assert trace.prompt_tokens > 50
    assert trace.new_tokens >= 4
    assert 0 < trace.first_token_ms <= trace.total_ms


def test_empty_block_is_filled_over_several_lines() -> None:
    engine, _ = scripted()
    head = "def __init__(self, start=0):"
    offset = SAMPLE.index(head) + len(head)
    request = CompletionRequest(
        path="pkg/sample.py", text=SAMPLE[:offset] + "\n", offset=offset, deadline_ms=60_000
    )
    body = "\n        self.count = start\n        self.names = {}"
    assert texts(engine.complete(request)) == [body]
    single, _ = scripted(multi_line="never")
    assert texts(single.complete(request)) == []


def test_one_line_of_a_block_is_what_index_and_network_rank_first() -> None:
    head = "        if name not in self.names:\n            "
    offset = SAMPLE.index(head) + len(head)
    text = SAMPLE[:offset] + SAMPLE[SAMPLE.index("\n        self.names[name] +=") :]
    request = CompletionRequest(path="a.py", text=text, offset=offset, deadline_ms=60_000)
    engine, _ = scripted()
    assert texts(engine.complete(request)) == ["self.names[name] = 0"]
    assert "ranking" in engine.last_trace().stage_ms


@pytest.mark.parametrize("marker", ["self.names[name]", "return [line", "with open(pa"])
def test_typed_through_text_is_the_fresh_text(marker: str) -> None:
    engine, runtime = scripted()
    first = texts(engine.complete(at(marker)))[0]
    n_calls = runtime.n_calls
    for n_typed in range(1, len(first) - 1):
        fresh, _ = scripted()
        through = engine.complete(at(marker, n_typed))
        rest = first[n_typed:]  # one character alone is never new, and no reason to take it away
        wanted = texts(fresh.complete(at(marker, n_typed))) if len(rest.strip()) > 1 else [rest]
        assert texts(through) == wanted
        assert {item.source for item in through} <= {"cache"}
    assert runtime.n_calls == n_calls


def test_keystroke_that_disagrees_reuses_the_prompt() -> None:
    engine, runtime = scripted()
    engine.complete(at("self.na"))
    before = runtime.n_appended
    request = at("self.na")
    typed = replace(
        request,
        text=request.text[: request.offset] + "X" + request.text[request.offset :],
        offset=request.offset + 1,
    )
    engine.complete(typed)
    n_judged = 40  # proposals, and what the script makes of an unknown word; the prompt is longer
    assert runtime.n_appended - before <= n_judged


def test_reused_cache_gives_the_text_of_a_fresh_one() -> None:
    used, _ = scripted()
    for offset in range(40, len(SAMPLE) - 40, 23):
        request = CompletionRequest(
            path="pkg/sample.py", text=SAMPLE, offset=offset, deadline_ms=60_000
        )
        fresh, _ = scripted()
        assert texts(used.complete(request)) == texts(fresh.complete(request))


def test_several_suggestions_are_distinct_and_include_the_only_one() -> None:
    engine, _ = scripted()
    many = texts(engine.complete(at("self.na", n=3)))
    one = texts(scripted()[0].complete(at("self.na")))
    assert len(many) == len(set(many))
    assert one[0] in many
    assert 1 < len(many) <= 3


def test_before_loading_the_index_answers_alone() -> None:
    engine = Engine(Settings(show="eager"), lambda *_: scripted_backend())
    assert not engine.base_name
    early = engine.respond(at("self.na"))
    assert (early.completions[0].source, early.trace.prompt_tokens) == ("index", 0)
    engine.load()
    assert engine.base_name
    (late,) = engine.complete(at("self.na"))
    assert (late.text, late.source) == ("mes = {}", "network")


def test_before_loading_nothing_is_suggested_without_an_index() -> None:
    engine = Engine(Settings(index=False), lambda *_: scripted_backend())
    response = engine.respond(at("self.na"))
    assert (response.completions, response.trace.outcome) == ([], "model not loaded")


def test_model_is_opened_once() -> None:
    opened = []

    def open_model(settings: Settings, language: str) -> LocalBackend:
        opened.append((settings, language))
        return scripted_backend()

    engine = Engine(Settings(threads=2), open_model)
    engine.load()
    engine.load()
    assert opened == [(Settings(threads=2), "python")]


def test_engine_without_a_model_says_so() -> None:
    engine = Engine(Settings(model="/no/such/folder"))
    with pytest.raises(ModelError, match="no model folder at /no/such/folder"):
        engine.load()
    assert not engine.base_name


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "deploy/.env.py"},
        {"path": "keys/server.pem", "language": "python"},
        {"path": "notes.txt"},
        {"path": "vendored/lib.py"},
    ],
)
def test_refused_requests_never_reach_the_network(changes: dict[str, str]) -> None:
    engine, runtime = scripted(exclude=("vendored/*",))
    assert engine.complete(at("self.na", **changes)) == []
    assert runtime.n_calls == 0


def test_switched_off_suggests_nothing() -> None:
    engine, runtime = scripted(enabled=False)
    assert (engine.complete(at("self.na")), runtime.n_calls) == ([], 0)


def test_cancelled_before_it_starts() -> None:
    engine, runtime = scripted()
    cancel = Cancel()
    cancel.set()
    assert (engine.complete(at("self.na"), cancel), runtime.n_calls) == ([], 0)


def test_cancel_is_obeyed_within_one_token_and_nothing_is_kept() -> None:
    runtime = Slow(0.05)
    engine = engine_over(runtime)
    cancel, answers = Cancel(), []
    worker = threading.Thread(
        target=lambda: answers.append(engine.complete(at("self.names[na"), cancel))
    )
    worker.start()
    assert runtime.started.wait(30)
    cancel.set()
    worker.join(30)
    assert answers == [[]]
    assert runtime.n_calls <= 2
    assert texts(engine.complete(at("self.names[na"))) != []


def test_newer_request_waits_no_longer_than_one_token_for_a_cancelled_one() -> None:
    runtime = Slow(0.05)
    engine = engine_over(runtime)
    cancel = Cancel()
    older = threading.Thread(target=lambda: engine.complete(at("def read_l"), cancel))
    older.start()
    assert runtime.started.wait(30)
    cancel.set()
    assert texts(engine.complete(at("self.na"))) == ["mes = {}"]
    older.join(30)


@pytest.mark.slow
def test_deadline_gives_what_is_there_and_does_not_keep_it() -> None:
    engine = engine_over(Slow(0.15))
    request = at('    """', deadline_ms=700)
    partial = engine.complete(request)
    assert [item.finish_reason for item in partial] == ["deadline"]
    whole = 'Return the lines of a file."""'
    assert whole.startswith(partial[0].text)
    assert 0 < len(partial[0].text) < len(whole)
    assert texts(engine.complete(replace(request, deadline_ms=60_000))) == [whole]


def test_a_trace_says_that_the_time_was_up() -> None:
    engine = engine_over(Slow(0.2), index=False)  # no call is done within the deadline
    response = engine.respond(at("self.na", deadline_ms=1))
    assert (response.completions, response.trace.outcome) == ([], "out of time")
    assert "had not answered when its time was up" in response.trace.words()


def test_log_line_has_costs_and_no_text(caplog: pytest.LogCaptureFixture) -> None:
    engine, _ = scripted()
    with caplog.at_level(logging.INFO, logger="assistant.generate.engine"):
        engine.complete(at("self.na"))
    (line,) = [record.getMessage() for record in caplog.records]
    for part in ("source=network", "n=1", "prompt_tokens=", "total_ms=", "finish_reason=stop"):
        assert part in line
    assert not any(word in line for word in ("sample.py", "pkg", "mes", "self"))


def test_requests_from_many_threads_are_answered_as_from_one() -> None:
    engine, _ = scripted()
    requests = [at("self.na"), at("return [line"), at("with open(pa"), at("self.names[na")] * 3
    expected = [texts(scripted()[0].complete(request)) for request in requests]
    found: dict[int, list[str]] = {}

    def work(index: int) -> None:
        found[index] = texts(engine.complete(requests[index]))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [found[index] for index in range(len(requests))] == expected
