"""A document's own model in the engine: who answers, what is kept, on what a request ends."""

import dataclasses
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from assistant.errors import ModelError
from assistant.generate.backend import LocalBackend
from assistant.generate.engine import Engine
from assistant.request import CompletionRequest
from assistant.settings import Settings
from tests.scripted import ScriptedRuntime, scripted_backend, scripted_info, small_tokenizer

TOKENIZER = small_tokenizer()
INFO = scripted_info()
BASE_SCRIPT = "self.names = {}\n"
OWN_SCRIPT = "self.count = 0\n"
WAIT_S = 20.0


class Held(ScriptedRuntime):
    """Waits in its first call until it is told to go on."""

    def __init__(self, script: str) -> None:
        super().__init__(TOKENIZER, script)
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def append(self, ids: Sequence[int], *, all_logits: bool = False) -> NDArray[np.float32]:
        self.entered.set()
        assert self.go_on.wait(WAIT_S)
        return super().append(ids, all_logits=all_logits)


def backend(script: str, label: str) -> LocalBackend:
    made = scripted_backend(script)
    made.label = label
    return made


def request(path: str = "own/a.py") -> CompletionRequest:
    return CompletionRequest(path=path, text="self.", offset=5, deadline_ms=60_000)


class Opener:
    """Opens a model that says its language; one for Go when it is told to."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.opened: list[str] = []
        self.entered, self.go_on = threading.Event(), threading.Event()

    def __call__(self, settings: Settings, language: str) -> LocalBackend:
        self.opened.append(language)
        if language != "python":
            self.entered.set()
            assert self.go_on.wait(WAIT_S)
            if self.fault:
                raise ModelError(self.fault)
        return backend(f"self.{language}\n", language)


@pytest.fixture
def engine() -> Engine:
    engine = Engine(Settings(index=False, show="eager"), lambda *_: backend(BASE_SCRIPT, "base"))
    engine.load()
    return engine


def answer(engine: Engine, path: str = "own/a.py") -> tuple[str, str]:
    response = engine.respond(request(path))
    completions = response.completions
    return completions[0].text if completions else "", response.trace.model


def test_document_s_own_model_answers_for_it_alone(engine: Engine) -> None:
    own = backend(OWN_SCRIPT, "own-1")
    engine.tuned_for = lambda path: own if path.startswith("own/") else None
    assert answer(engine) == ("count = 0", "own-1")
    assert answer(engine, "other/a.py") == ("names = {}", "base")
    assert engine.base_name == "base"


def test_kept_answer_is_never_another_model_s(engine: Engine) -> None:
    first, second = backend(OWN_SCRIPT, "own-1"), backend("self.third\n", "own-2")
    serving: list[LocalBackend | None] = [None]
    engine.tuned_for = lambda _: serving[0]
    said = []
    for serving[0] in (None, first, second, first, None):
        said.append(answer(engine))
    assert said == [
        ("names = {}", "base"),
        ("count = 0", "own-1"),
        ("third", "own-2"),
        ("count = 0", "own-1"),
        ("names = {}", "base"),
    ]
    again = engine.respond(request("own/a.py"))
    assert again.trace.source == "cache"  # what it said itself is still known


def test_request_under_way_ends_on_the_old_model(engine: Engine) -> None:
    runtime = Held(OWN_SCRIPT)
    old = LocalBackend(runtime, TOKENIZER, INFO)
    engine.tuned_for = lambda _: old
    said: list[str] = []
    asking = threading.Thread(target=lambda: said.append(answer(engine)[0]))
    asking.start()
    assert runtime.entered.wait(WAIT_S)
    engine.tuned_for = lambda _: None
    runtime.go_on.set()
    asking.join(WAIT_S)
    assert said == ["count = 0"]
    assert answer(engine) == ("names = {}", "base")


def test_own_model_answers_where_the_base_does_not_load() -> None:
    engine = Engine(Settings(index=False, show="eager"))
    assert engine.base_name == ""
    own = backend(OWN_SCRIPT, "own-1")
    engine.tuned_for = lambda _: own
    assert answer(engine) == ("count = 0", "own-1")


@pytest.mark.usefixtures("two_bundled")
def test_model_of_another_language_is_loaded_on_first_use_while_others_are_answered() -> None:
    opener = Opener()
    engine = Engine(Settings(index=False, show="eager"), opener)
    engine.load()
    assert answer(engine) == ("python", "python")
    assert opener.opened == ["python"]  # nobody has asked for more
    assert answer(engine, "a.go") == ("", "")
    assert opener.entered.wait(WAIT_S)
    assert answer(engine, "b.py") == ("python", "python")
    assert answer(engine, "b.rs") == ("", "")  # by the same model, which is on its way
    opener.go_on.set()
    engine.close(WAIT_S)
    assert answer(engine, "a.go") == ("go", "go")
    assert answer(engine, "b.rs") == ("go", "go")
    assert engine.base_name == "python, go"
    assert opener.opened == ["python", "go"]


@pytest.mark.usefixtures("two_bundled")
def test_model_of_another_language_that_does_not_load_is_told_once() -> None:
    opener = Opener("its weights are damaged")
    opener.go_on.set()
    engine = Engine(Settings(index=False, show="eager"), opener)
    engine.load()
    assert answer(engine, "a.go") == ("", "")
    engine.close(WAIT_S)
    with pytest.raises(ModelError, match="damaged"):
        answer(engine, "a.go")
    assert answer(engine, "a.go") == ("", "")
    assert answer(engine) == ("python", "python")
    assert opener.opened == ["python", "go"]


@pytest.mark.usefixtures("two_bundled")
def test_own_model_answers_in_its_languages_only() -> None:
    opener = Opener()
    opener.go_on.set()
    engine = Engine(Settings(index=False, show="eager"), opener)
    engine.tuned_for = lambda _: backend(OWN_SCRIPT, "own-1")
    engine.load("go")
    assert answer(engine, "a.go") == ("go", "go")
    assert answer(engine) == ("count = 0", "own-1")
    assert opener.opened == ["go"]


def test_own_model_of_which_nobody_says_the_languages_answers_in_all(engine: Engine) -> None:
    own = backend(OWN_SCRIPT, "own-1")
    own.info = dataclasses.replace(INFO, languages=())
    engine.tuned_for = lambda _: own
    assert answer(engine, "a.go") == ("count = 0", "own-1")


@pytest.mark.usefixtures("two_bundled")
def test_model_that_settings_name_serves_every_language() -> None:
    opener = Opener()
    engine = Engine(Settings(model="/mine", index=False, show="eager"), opener)
    engine.load()
    assert answer(engine, "a.go") == ("python", "python")
    assert opener.opened == ["python"]
