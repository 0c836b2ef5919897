"""The model for one file: its repository's own, else the base; what is wrong costs only that."""

from pathlib import Path

import pytest

from assistant.cli import complete as complete_cli
from assistant.cli import models as cli
from assistant.models.registry import ModelsError, Registry, repository_id
from assistant.models.selection import find_serving_model
from tests.own_models import added
from tests.repositories import new_repository
from tests.scripted import speaking_folder

OWN = "own-20260102-1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speaking_folder(tmp_path_factory.mktemp("models"))


@pytest.fixture
def file(tmp_path: Path, folder: Path) -> Path:
    """A file of a repository with a model of its own, in use."""
    repository = new_repository(tmp_path / "own", {"a.py": "x = hand\n"})
    identity = repository_id(repository)
    added(Registry(), folder, OWN, repository=identity)
    Registry().use(OWN, identity)
    return repository / "a.py"


def test_chosen_by_the_file_s_repository(file: Path, tmp_path: Path) -> None:
    registry = Registry()
    entry = find_serving_model(registry, file)
    assert entry is not None and entry.name == OWN
    other = new_repository(tmp_path / "other", {"b.py": "1\n"})
    assert find_serving_model(registry, other / "b.py") is None
    assert find_serving_model(registry, tmp_path / "loose.py") is None
    (tmp_path / "young" / ".git").mkdir(parents=True)
    assert find_serving_model(registry, tmp_path / "young" / "c.py") is None
    registry.use("base", repository_id(file.parent))
    assert find_serving_model(registry, file) is None


def test_no_registry_no_model(tmp_path: Path) -> None:
    assert find_serving_model(Registry(), tmp_path / "a.py") is None


@pytest.mark.slow
@pytest.mark.usefixtures("shared_cache")
def test_complete_and_why_answer_with_it(
    file: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("FORETYPE_DEADLINE_MS", "60000")
    place = ["a.py:1:9", "--deadline-ms", "60000"]
    complete_cli.main(["why", *place])
    assert f"model: {OWN}" in capsysbinary.readouterr().out.decode()
    assert cli.main(["use", "base"]) == 0
    capsysbinary.readouterr()
    complete_cli.main(["why", *place])
    assert OWN not in capsysbinary.readouterr().out.decode()


@pytest.mark.slow
@pytest.mark.usefixtures("shared_cache")
def test_damage_costs_one_line_and_the_base_answers(
    file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (Registry().place(OWN) / "config.json").write_text("{}")
    assert complete_cli.main(["complete", f"{file}:1:9", "--json"]) in (0, 1)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("foretype: the base model answers: model folder ")
    Registry().file.write_text("{")
    assert complete_cli.main(["complete", f"{file}:1:9", "--json"]) in (0, 1)
    (line,) = capfd.readouterr().err.splitlines()
    assert "registry.json is damaged" in line
    with pytest.raises(ModelsError):
        find_serving_model(Registry(), file)
