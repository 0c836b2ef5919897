"""`foretype models` as a person uses it."""

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assistant.cli.models import main
from assistant.models import selection as desk
from assistant.models.registry import ModelsError, Registry, repository_id
from model.folder import BUNDLED
from tests.doubles import tiny_folder
from tests.own_models import ELSEWHERE, added
from tests.repositories import new_repository

OWN, NEWER = "own-20260102-1", "own-20260103-1"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("models")
    return [tiny_folder(place, name=f"m{seed}", seed=seed) for seed in range(2)]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_repository(tmp_path_factory.mktemp("r") / "own", {"a.py": "x = 1\n"})


@pytest.fixture
def repository(
    template: Path, tmp_path: Path, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The working directory: a repository with two models of its own, neither in use.

    Nothing here runs a network, so none is made ready.
    """
    repository = tmp_path / "own"
    shutil.copytree(template, repository)
    for folder, name in zip(folders, (OWN, NEWER), strict=True):
        added(Registry(), folder, name, repository=repository_id(repository))
    monkeypatch.chdir(repository)
    monkeypatch.setattr(desk, "open_graph", lambda folder, bits: None)
    return repository


def table(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_list_shows_what_serves_and_where_it_comes_from(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["use", OWN]) == 0
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert f"{repository}: {OWN} serves\n" in shown
    assert f"* {OWN}  (full, 2026-01-02, in use)\n" in shown
    assert f"  {NEWER}  (full, 2026-01-02, not in use)\n" in shown
    assert "parent 121212121212, data 343434343434\n" in shown
    assert "bits_base 1.5, bits_tuned 1.25\n" in shown


def test_json_has_every_field(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = table(capsys)
    assert found.keys() == {
        "everywhere", "folder", "models", "pinned", "repository", "root", "serving",
        "settings_model",
    }  # fmt: skip
    assert (found["serving"], found["root"]) == ("base", str(repository))
    model = found["models"][0]
    assert (model["name"], model["in_use"], model["fits"]) == (OWN, False, True)


def test_without_models_it_says_how_to_make_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["list"]) == 0
    assert "`foretype tune` makes one" in capsys.readouterr().out


def test_use_pin_and_roll_back(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert table(capsys, "use", OWN)["serving"] == OWN
    assert table(capsys, "use", NEWER)["serving"] == NEWER
    pinned = table(capsys, "pin")
    assert (pinned["pinned"], NEWER in pinned["message"]) == (True, True)
    assert table(capsys, "unpin")["pinned"] is False
    back = table(capsys, "rollback")
    assert (back["serving"], back["message"]) == (OWN, f"{OWN} serves {repository} again")
    assert table(capsys, "rollback")["serving"] == "base"
    assert main(["rollback"]) == 1
    assert "no earlier choice" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="there are no such rights")
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.chmod(0o777), "can be changed by other users"),
        (shutil.rmtree, f"the folder of {OWN} is gone; `foretype models remove` it"),
    ],
)
def test_a_model_that_servers_refuse_cannot_be_chosen(
    damage: Callable[[Path], object],
    said: str,
    repository: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It was said to serve, and `foretype serve --model` said that no such model is listed."""
    damage(Registry().place(OWN))
    assert main(["use", OWN]) == 1
    assert said in capsys.readouterr().err
    with pytest.raises(ModelsError, match=said):
        desk.find_model(OWN)


def test_another_repository_can_be_named(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = new_repository(tmp_path / "other", {"b.py": "1\n"})
    assert main(["use", OWN, "--repository", str(other)]) == 1
    assert "must not be suggested here" in capsys.readouterr().err
    assert table(capsys, "--repository", str(other))["models"][0]["fits"] is False
    assert main(["--repository", str(tmp_path)]) == 1
    assert "in no git repository" in capsys.readouterr().err
    assert main(["--repository", str(tmp_path / "none")]) == 1
    assert "not a folder" in capsys.readouterr().err


def test_setting_that_wins_is_named(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETYPE_MODEL", "/models/mine")
    assert main(["use", OWN]) == 0
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert "But the setting `model` names /models/mine, which wins." in shown
    assert "but the setting `model` names /models/mine, which wins" in shown
    monkeypatch.setenv("FORETYPE_THREADS", "many")
    assert main(["list"]) == 2
    assert capsys.readouterr().err.startswith("foretype models: FORETYPE_THREADS: ")


def test_remove_asks_first(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["use", OWN])
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))
    assert main(["remove", NEWER]) == 1
    assert main(["remove", NEWER, "--yes"]) == 0
    assert main(["remove", OWN, "--yes"]) == 1
    assert "is in use" in capsys.readouterr().err
    assert main(["remove", OWN, "--yes", "--force"]) == 0
    assert main(["remove", OWN]) == 1
    assert "there is no model" in capsys.readouterr().err
    assert main(["remove", "base", "--yes"]) == 1
    assert f"base came with foretype, in {BUNDLED.parent}" in capsys.readouterr().err
    assert Registry().entries() == []


def test_removing_a_model_of_others_says_that_its_file_stays(
    repository: Path, folders: list[Path], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    added(Registry(), folders[0], "theirs", kind="plain", root="/models/theirs")
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))
    assert main(["remove", "theirs"]) == 1
    asked = "Take theirs off the list? /models/theirs stays, what `models fit` made goes. [y/N] "
    assert capsys.readouterr().out == f"{asked}Nothing was removed.\n"


def test_export_warns_that_weights_are_private(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", OWN, str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "hold parts of it" in said.err
    assert said.out == f"{OWN} is copied to {tmp_path / 'out'}.\n"
    assert main(["export", OWN, str(tmp_path / "out")]) == 1


def test_damaged_list_is_one_line(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Registry().file.write_text("{")
    for arguments in (["list"], ["use", OWN], ["remove", OWN, "--yes"], ["pin"]):
        assert main(arguments) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "registry.json is damaged" in line


def test_unknown_action_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["destroy"]) == 2


def test_what_cannot_be_loaded_is_not_chosen(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry()
    place = desk.find_place(repository)

    def no_room(folder: object, bits: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(desk, "open_graph", no_room)
    with pytest.raises(ModelsError, match="cannot read the model"):
        desk.choose(registry, OWN, place)
    monkeypatch.setattr(desk, "open_graph", lambda folder, bits: None)
    (registry.place(OWN) / "config.json").write_text("{}")
    with pytest.raises(ModelsError, match="damaged"):
        desk.choose(registry, OWN, place)
    text = registry.file.read_text()
    registry.file.write_text(text.replace(registry.entries()[1].content_hash, "99" * 32))
    with pytest.raises(ModelsError, match="not the model that was listed"):
        desk.choose(registry, NEWER, place)
    assert registry.find_folder(place.repository) is None
    with pytest.raises(ModelsError, match="another repository"):
        desk.choose(registry, OWN, desk.RepositoryPlace(root=repository, repository=ELSEWHERE))
