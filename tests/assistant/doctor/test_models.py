"""What the doctor says of the user's own models."""

from pathlib import Path

import pytest

from assistant.doctor.storage import own_models
from assistant.models.registry import Registry, repository_id
from assistant.settings import Settings
from model.folder import BUNDLED, load_folder
from tests.doubles import tiny_folder
from tests.own_models import added
from tests.repositories import new_repository


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_repository(tmp_path_factory.mktemp("r") / "own", {"a.py": "x = 1\n"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("models"))


@pytest.fixture
def registry(repository: Path, folder: Path) -> Registry:
    """One model, in use, tuned from the base that is here."""
    registry = Registry()
    entry = added(
        registry,
        folder,
        repository=repository_id(repository),
        parent=load_folder(BUNDLED).content_hash,
    )
    registry.use(entry.name, entry.repository)
    return registry


def said(place: Path, **settings: str) -> list[tuple[str, str]]:
    return [(item.state, item.found) for item in own_models(Settings(**settings), place)]  # type: ignore[arg-type]


def test_none_is_fine(tmp_path: Path) -> None:
    none = "none; `foretype tune` makes one, `foretype models add` takes one"
    assert said(tmp_path) == [("ok", none)]


def test_serving_model_is_named(registry: Registry, repository: Path, tmp_path: Path) -> None:
    serves = f"own-20260102-1 serves {repository}"
    assert said(repository) == [("ok", f"1 listed; {serves}")]
    registry.pin(repository_id(repository))
    assert said(repository / "sub") == [("ok", f"1 listed; {serves}, pinned")]
    ((state, found),) = said(tmp_path)
    assert (state, "base serves" in found) == ("ok", True)
    assert said(repository, model="x") == [("ok", "1 listed; the setting `model` wins over them")]


def test_damaged_model_is_to_be_removed(registry: Registry, repository: Path) -> None:
    (registry.place("own-20260102-1") / "config.json").write_text("{}")
    first, _ = own_models(Settings(), repository)
    assert (first.state, "config.json is not the file" in first.found) == ("warning", True)
    assert first.fix == "foretype models remove own-20260102-1 --force, then tune again"


def test_exchanged_model_is_noticed(registry: Registry, repository: Path, tmp_path: Path) -> None:
    place = registry.place("own-20260102-1")
    place.rename(tmp_path / "old")
    tiny_folder(tmp_path, name="other", seed=7).rename(place)
    assert said(repository)[0] == ("warning", "own-20260102-1 is not the model that was listed")


def test_what_others_can_read_is_told(registry: Registry, repository: Path) -> None:
    weights = registry.place("own-20260102-1") / "model.safetensors"
    weights.chmod(0o644)
    first, _ = own_models(Settings(), repository)
    assert first.found == f"1 files or folders are open to others, {weights} among them"
    assert first.fix == f"chmod -R go-rwx {registry.folder}"


def test_missing_parent_is_told(registry: Registry, folder: Path, repository: Path) -> None:
    registry.remove("own-20260102-1", force=True)
    added(registry, folder, "orphan-1")
    first, _ = said(repository)
    assert first == ("warning", "orphan-1 was tuned from 121212121212, which is not here any more")


def test_unlisted_folder_is_told(registry: Registry, repository: Path) -> None:
    (registry.folder / "stray").mkdir(mode=0o700)
    assert said(repository)[0] == ("warning", f"{registry.folder / 'stray'} is not listed")


def test_damaged_list_is_told(registry: Registry, repository: Path) -> None:
    registry.file.write_text("{")
    ((state, found),) = said(repository)
    assert (state, "registry.json is damaged" in found) == ("warning", True)
