"""What a system offers, how it is judged, and what typing with its help saves."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from assistant.generate.backend import LocalBackend
from assistant.generate.engine import Engine
from assistant.request import Completion
from assistant.settings import Settings
from assistant.snippets.search import SnippetSearch
from model.tokenizer import Tokenizer
from tests.scripted import SAMPLE, ScriptedRuntime, scripted_backend, scripted_info, small_tokenizer
from tests.training.evaluation.replay.scripted_systems import answer
from training.data.corpus import Document
from training.evaluation.answers import (
    Answer,
    Judged,
    Keystrokes,
    ask_engine,
    ask_network,
    is_right,
    judge,
    make_request,
    read_rest_of_line,
    type_line,
)
from training.evaluation.held_out import Task


@pytest.mark.parametrize(
    ("text", "truth", "expected"),
    [
        ("foo()", "foo()", True),
        ("fo", "foo()", True),
        ("f", "foo()", False),  # one character saves no key
        (")", ")", True),  # but it may be all there is
        ("foo() ", "foo()", False),
        ("fob", "foo()", False),
        ("", "foo()", False),
        ("foo", "", False),  # the end of a line: nothing is right
    ],
)
def test_right_is_a_beginning_worth_taking(text: str, truth: str, expected: bool) -> None:
    assert is_right(text, truth) is expected


def test_judged_answer_has_all_measures() -> None:
    judged = judge(Answer(text="kit", probability=0.5, ms=1.0, cpu_ms=1.0), "kitten")
    assert (judged.is_exact, judged.is_right, judged.is_offered) == (False, True, True)
    nothing = judge(Answer(text="", probability=0.0, ms=1.0, cpu_ms=1.0), "kitten")
    assert (nothing.is_right, nothing.is_offered) == (False, False)


LINE = "return total"


def answers(say: Callable[[int], str], probability: float = 0.5) -> list[Answer]:
    return [answer(say(place), probability) for place in range(len(LINE))]


def test_whole_line_is_taken_with_one_key() -> None:
    told = answers(lambda place: LINE[place:])
    assert type_line(LINE, told, 0.0) == Keystrokes(n_chars=12, n_saved=11, n_wrong=0)


def test_nothing_offered_nothing_saved() -> None:
    told = answers(lambda place: "")
    assert type_line(LINE, told, 0.0) == Keystrokes(n_chars=12, n_saved=0, n_wrong=0)


def test_right_beginning_is_taken_and_typing_goes_on_behind_it() -> None:
    told = answers(lambda place: {2: "turn", 7: "total"}.get(place, ""))
    # "re" typed, "turn" taken, " " typed, "total" taken: 3 + 4 saved
    assert type_line(LINE, told, 0.0) == Keystrokes(n_chars=12, n_saved=7, n_wrong=0)


def test_one_character_is_never_taken_but_at_the_end() -> None:
    told = answers(lambda place: LINE[place])
    # The last one is all of the rest: it costs the key that it saves.
    assert type_line(LINE, told, 0.0) == Keystrokes(n_chars=12, n_saved=0, n_wrong=11)


def test_wrong_suggestion_that_stays_appears_once() -> None:
    told = answers(lambda place: "return toast"[place:] if place < 9 else "")
    # It stands from the first character to "return to", and goes when "t" is typed.
    assert type_line(LINE, told, 0.0) == Keystrokes(n_chars=12, n_saved=0, n_wrong=1)


def test_another_wrong_suggestion_appears_anew() -> None:
    told = answers(lambda place: "x" * (place + 2))
    assert type_line(LINE, told, 0.0).n_wrong == 12


def test_what_is_not_sure_enough_is_not_shown() -> None:
    told = answers(lambda place: LINE[place:], probability=0.4)
    assert type_line(LINE, told, 0.5).n_saved == 0
    assert type_line(LINE, told, 0.4).saved == 11 / 12


FILE = Document(source="o/n", path="lib/counter.py", text=SAMPLE)


def task_at(before: str) -> Task:
    """The cursor stands behind the first place of `before`; the rest of its line is the truth."""
    offset = SAMPLE.index(before) + len(before)
    return Task(file=FILE, offset=offset, truth=SAMPLE[offset:].partition("\n")[0])


def ask(asked: LocalBackend, task: Task) -> Judged:
    return judge(ask_network(asked, task), task.truth)


class ListeningRuntime(ScriptedRuntime):
    """A runtime that keeps all it was given."""

    def __init__(self, tokenizer: Tokenizer, script: str) -> None:
        super().__init__(tokenizer, script)
        self.heard: list[int] = []

    def append(self, ids: Sequence[int], *, all_logits: bool = False) -> NDArray[np.float32]:
        self.heard += ids
        return super().append(ids, all_logits=all_logits)


@pytest.mark.parametrize("before", ["def read_li", "self.names[name] +=", "        self.count"])
def test_network_that_knows_the_file_is_exact(before: str) -> None:
    task = task_at(before)
    found = ask(scripted_backend(SAMPLE), task)
    assert found.answer.text == task.truth.rstrip()
    assert (found.is_exact, found.is_offered, found.is_right) == (True, True, True)
    assert found.answer.ms > 0


@pytest.mark.parametrize("snippet_tokens", [0, 100])
def test_network_trained_on_snippets_is_shown_other_files(snippet_tokens: int) -> None:
    text = "from lib.store import ParcelStore\n\nstore = ParcelStore(1)\n"
    file = Document(source="o/n", path="lib/main.py", text=text)
    other = "class ParcelStore:\n    def put_parcel(self, parcel):\n        pass\n"
    neighbours = SnippetSearch([("lib/store.py", other), ("lib/main.py", text)])
    tokenizer = small_tokenizer()
    runtime = ListeningRuntime(tokenizer, text)
    info = dataclasses.replace(scripted_info(), snippet_tokens=snippet_tokens)
    asked = LocalBackend(runtime, tokenizer, info)
    offset = text.index("(1)")
    answer = ask_network(asked, Task(file=file, offset=offset, truth="(1)"), neighbours=neighbours)
    assert answer.text == "(1)"
    seen = tokenizer.decode_bytes(runtime.heard).decode()
    assert ("put_parcel(self, parcel)" in seen) == (snippet_tokens > 0)


@pytest.mark.parametrize("layout", ["spm", "psm"])
def test_network_is_asked_in_the_layout_it_was_trained_in(layout: str) -> None:
    tokenizer = small_tokenizer()
    runtime = ListeningRuntime(tokenizer, SAMPLE)
    asked = LocalBackend(
        runtime, tokenizer, dataclasses.replace(scripted_info(), fim_layout=layout)
    )
    ask_network(asked, task_at("def read_li"))
    prefix, suffix = (
        runtime.heard.index(tokenizer.special_id(f"<|fim_{part}|>"))
        for part in ("prefix", "suffix")
    )
    assert (suffix == prefix + 1) == (layout == "spm")


def test_network_that_knows_another_line_is_not() -> None:
    task = task_at("\n        self.names[name] ")
    found = ask(scripted_backend(SAMPLE.replace("+= value", "-= 1")), task)
    assert (found.answer.text, found.is_exact, found.is_right) == ("-= 1", False, False)


def test_right_beginning_is_right_and_not_exact() -> None:
    task = task_at("\n        self.names[name] ")
    found = ask(scripted_backend(SAMPLE.replace("+= value", "+= v")), task)
    assert (found.answer.text, found.is_exact, found.is_right) == ("+= v", False, True)


def test_network_that_ends_at_once_offers_nothing() -> None:
    task = task_at("        return self.names[name]")
    empty = Task(file=FILE, offset=task.offset, truth="x")
    found = ask(scripted_backend(SAMPLE[: task.offset] + "\n"), empty)
    assert (found.answer.text, found.is_offered, found.is_right) == ("", False, False)


def test_engine_without_a_model_and_memory_offers_nothing() -> None:
    engine = Engine(Settings(index=False))
    task = task_at("def read_li")
    found = judge(ask_engine(engine, task), task.truth)
    assert (found.answer.text, found.is_exact, found.is_offered) == ("", False, False)


def test_engine_shows_what_its_network_knows() -> None:
    engine = Engine(Settings(index=False, show="eager"), lambda *_: scripted_backend(SAMPLE))
    engine.load()
    task = task_at("\n        self.names[name] ")
    found = judge(ask_engine(engine, task), task.truth)
    assert (found.answer.text, found.is_exact, found.is_right) == ("+= value", True, True)


def test_request_is_what_an_editor_would_send() -> None:
    task = task_at("def read_li")
    request = make_request(task)
    assert request.text[: request.offset].endswith("def read_li")
    assert request.text[request.offset :].startswith('\n    """Return the lines')
    assert (request.path, request.language) == ("lib/counter.py", None)


@pytest.mark.parametrize(
    ("start", "end", "text", "expected"),
    [
        (8, 8, "alpha)", "alpha)"),
        (4, 8, "callalpha)", "alpha)"),  # what is replaced before the cursor is no answer
        (8, 9, "alpha) ", "alpha)"),  # takes the closing bracket in
        (8, 8, "alpha)\n    more()", "alpha)"),  # only the cursor's line is judged
    ],
)
def test_rest_of_the_line_after_acceptance(start: int, end: int, text: str, expected: str) -> None:
    line = "x = call" + ("" if end == 8 else ")")
    task = Task(file=Document(source="r", path="a.py", text=line), offset=8, truth="")
    completion = Completion(
        text=text, start=start, end=end, source="network", finish_reason="stop", logprob=0.0,
        )  # fmt: skip
    assert read_rest_of_line(task, completion) == expected


def test_network_is_told_the_repositorys_name_as_by_an_editor() -> None:
    assert make_request(task_at("def ")).repository == "n"
