"""Loaded models: each once, a few at most, the old one until the new one is there."""

import gc
import weakref
from collections.abc import Mapping
from pathlib import Path

import pytest

from assistant.errors import ModelError
from assistant.generate.backend import LocalBackend
from assistant.models.loaded_models import LoadedModels, free_memory
from assistant.models.registry import ModelEntry, Registry
from tests.doubles import tiny_folder
from tests.own_models import ELSEWHERE, HERE, added
from tests.scripted import scripted_backend

THIRD = "ef" * 16


class Bench:
    """A shelf over a registry with three models, and what was loaded from where."""

    def __init__(self, place: Path) -> None:
        self.registry = Registry()
        self.loaded: list[str] = []
        self.broken: set[str] = set()
        self.entries: dict[str, ModelEntry] = {}
        for number, repository in enumerate((HERE, ELSEWHERE, THIRD)):
            folder = tiny_folder(place, name=f"m{number}", seed=number)
            entry = added(self.registry, folder, f"m-{number}", repository=repository)
            self.registry.use(entry.name, repository)
            self.entries[repository] = entry
        self.shelf = LoadedModels(self.registry, self.open)

    def open(self, path: Path, label: str) -> LocalBackend:
        self.loaded.append(label)
        if label in self.broken:
            raise ModelError(f"cannot load {label}")
        backend = scripted_backend()
        backend.label = label
        known = {entry.name: entry.content_hash for entry in self.registry.entries()}
        backend.content_hash = known[path.name]
        return backend

    def wanted(self, *repositories: str) -> Mapping[str, ModelEntry]:
        return {repository: self.entries[repository] for repository in repositories}

    def labels(self) -> dict[str, str]:
        found = {key: self.shelf.backend_for(key) for key in self.entries}
        return {key: backend.label for key, backend in found.items() if backend is not None}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_nothing_is_there_before_it_is_brought(bench: Bench) -> None:
    assert bench.labels() == {}
    assert bench.shelf.is_served({})
    assert not bench.shelf.is_served(bench.wanted(HERE))


def test_model_is_loaded_once_and_served(bench: Bench) -> None:
    for _ in range(3):
        assert bench.shelf.bring(bench.wanted(HERE)) == {}
    assert bench.labels() == {HERE: "m-0"}
    assert bench.loaded == bench.shelf.labels == ["m-0"]
    assert bench.shelf.is_served(bench.wanted(HERE))


def test_most_wanted_are_loaded_and_others_let_go(bench: Bench) -> None:
    bench.shelf.bring(bench.wanted(HERE, ELSEWHERE, THIRD))
    assert bench.labels() == {HERE: "m-0", ELSEWHERE: "m-1"}
    gone = weakref.ref(bench.shelf.backend_for(ELSEWHERE))  # type: ignore[arg-type]
    bench.shelf.bring(bench.wanted(THIRD, HERE, ELSEWHERE))
    assert bench.labels() == {HERE: "m-0", THIRD: "m-2"}
    assert bench.loaded == ["m-0", "m-1", "m-2"]
    gc.collect()
    assert gone() is None


def test_general_model_is_loaded_once_for_two_repositories(bench: Bench, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, name="general", seed=9)
    entry = added(bench.registry, folder, "general-1", repository="")
    for repository in (HERE, ELSEWHERE):
        bench.registry.use(entry.name, repository)
    bench.shelf.bring({HERE: entry, ELSEWHERE: entry})
    assert bench.labels() == {HERE: "general-1", ELSEWHERE: "general-1"}
    assert bench.loaded == ["general-1"]


def test_who_holds_a_model_ends_on_it(bench: Bench) -> None:
    bench.shelf.bring(bench.wanted(HERE))
    held = bench.shelf.backend_for(HERE)
    bench.shelf.bring({})
    assert bench.labels() == {}
    assert held is not None and held.label == "m-0"


def test_broken_model_leaves_the_old_one_and_is_told_once(bench: Bench, tmp_path: Path) -> None:
    bench.shelf.bring(bench.wanted(HERE))
    newer = added(bench.registry, tiny_folder(tmp_path, name="n", seed=5), "newer")
    bench.registry.use("newer", HERE)
    bench.broken.add("newer")
    assert bench.shelf.bring({HERE: newer}) == {"newer": "cannot load newer"}
    assert bench.labels() == {HERE: "m-0"}
    assert bench.shelf.is_served({HERE: newer})  # not tried again at each look
    assert bench.shelf.bring({HERE: newer}) == {}
    bench.broken.clear()
    bench.shelf.forgive()
    assert not bench.shelf.is_served({HERE: newer})
    assert bench.shelf.bring({HERE: newer}) == {}
    assert bench.labels() == {HERE: "newer"}


def test_broken_first_model_leaves_the_base(bench: Bench) -> None:
    bench.broken.add("m-0")
    assert len(bench.shelf.bring(bench.wanted(HERE, ELSEWHERE))) == 1
    assert bench.labels() == {ELSEWHERE: "m-1"}


def test_exchanged_weights_are_refused(bench: Bench) -> None:
    listed = bench.registry.file.read_text()
    content_hash = bench.entries[HERE].content_hash
    bench.registry.file.write_text(listed.replace(content_hash, "99" * 32))
    (message,) = bench.shelf.bring(bench.wanted(HERE)).values()
    assert "not the model that was listed" in message
    assert bench.labels() == {}


def test_choice_that_has_changed_meanwhile_waits_for_the_next_look(bench: Bench) -> None:
    bench.registry.use("base", HERE)
    assert bench.shelf.bring(bench.wanted(HERE)) == {}
    assert bench.labels() == {}
    assert bench.loaded == []
    bench.registry.use("m-0", HERE)  # and back again before that look
    assert not bench.shelf.is_served(bench.wanted(HERE))
    assert bench.shelf.bring(bench.wanted(HERE)) == {}
    assert bench.labels() == {HERE: "m-0"}


def test_memory_can_be_freed_on_any_system() -> None:
    free_memory()
