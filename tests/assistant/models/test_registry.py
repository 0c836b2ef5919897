"""The list of the user's own models: what is listed is whole, what serves is theirs alone."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from assistant.models.registry import LOCK_NAME, ModelEntry, ModelsError, Registry, models_folder
from assistant.models.registry_file import FILE_NAME
from model.folder import load_folder
from model.paths import cache_folder
from tests.doubles import names_in, tiny_folder
from tests.own_models import ELSEWHERE, HERE, added, entry_of


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("models")
    return [tiny_folder(place, name=f"model{seed}", seed=seed) for seed in range(3)]


@pytest.fixture
def registry() -> Registry:
    return Registry(wait_s=0.05)


def modes(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}


def test_lives_in_the_data_folder(private_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert models_folder() == private_home / "data" / "foretype" / "models"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert models_folder() == private_home / "home" / ".local" / "share" / "foretype" / "models"


def test_nothing_is_there_before_something_is_added(registry: Registry) -> None:
    assert registry.entries() == []
    assert registry.find_folder(HERE) is None
    assert not registry.book().choice(HERE).is_pinned
    assert not registry.folder.exists()


def test_added_model_is_moved_in_and_listed(registry: Registry, folders: list[Path]) -> None:
    shutil.copytree(folders[0], source := folders[0].with_name("once"))
    entry = entry_of(folders[0])
    assert registry.add(source, entry) == entry
    assert not source.exists()
    assert registry.entries() == [entry] == Registry().entries()
    assert load_folder(registry.place(entry.name)).content_hash == entry.content_hash
    assert registry.find_folder(HERE) is None


def test_everything_is_the_owner_s_alone(registry: Registry, folders: list[Path]) -> None:
    shutil.copytree(folders[0], source := folders[0].with_name("open"))
    for path in (source, *source.iterdir()):
        path.chmod(0o777)
    entry = registry.add(source, entry_of(folders[0]))
    registry.use(entry.name, HERE)
    assert registry.folder.stat().st_mode & 0o777 == 0o700
    assert registry.place(entry.name).stat().st_mode & 0o777 == 0o700
    assert modes(registry.folder) == {0o600}


def test_same_model_is_listed_once(registry: Registry, folders: list[Path]) -> None:
    entry = added(registry, folders[0])
    again = dataclasses.replace(entry, name="own-20260102-2")
    assert registry.add(Path("/nowhere"), again) == entry
    assert registry.entries() == [entry]


def test_served_in_its_own_repository_only(registry: Registry, folders: list[Path]) -> None:
    entry = added(registry, folders[0])
    registry.use(entry.name, HERE)
    assert registry.find_folder(HERE) == registry.folder / entry.name
    assert registry.find_folder(ELSEWHERE) is None
    with pytest.raises(ModelsError, match="tuned on another repository"):
        registry.use(entry.name, ELSEWHERE)


def test_tampered_choice_serves_no_other_repository(
    registry: Registry, folders: list[Path]
) -> None:
    entry = added(registry, folders[0])
    registry.use(entry.name, HERE)
    table = json.loads(registry.file.read_text())
    table["choices"][ELSEWHERE] = table["choices"][HERE]
    registry.file.write_text(json.dumps(table))
    assert registry.find_folder(ELSEWHERE) is None


def test_general_model_serves_where_it_is_chosen(registry: Registry, folders: list[Path]) -> None:
    entry = added(registry, folders[0], repository="")
    registry.use(entry.name, ELSEWHERE)
    assert registry.find_folder(ELSEWHERE) == registry.place(entry.name)
    assert registry.find_folder(HERE) is None


def test_base_is_a_choice_too(registry: Registry, folders: list[Path]) -> None:
    entry = added(registry, folders[0])
    registry.use(entry.name, HERE)
    registry.use("base", HERE)
    assert registry.find_folder(HERE) is None
    assert registry.roll_back(HERE) == entry
    assert registry.find_folder(HERE) == registry.place(entry.name)


def test_rolls_back_step_by_step_to_the_base(registry: Registry, folders: list[Path]) -> None:
    first = added(registry, folders[0])
    second = added(registry, folders[1], "own-20260103-1")
    registry.use(first.name, HERE)
    registry.use(second.name, HERE)
    registry.use(second.name, HERE)  # chosen already: no step of its own
    assert registry.roll_back(HERE) == first
    assert registry.roll_back(HERE) is None
    assert registry.find_folder(HERE) is None
    with pytest.raises(ModelsError, match="no earlier choice"):
        registry.roll_back(HERE)


def test_pin_is_kept_until_it_is_taken_off(registry: Registry, folders: list[Path]) -> None:
    registry.pin(HERE)
    entry = added(registry, folders[0])
    registry.use(entry.name, HERE)
    assert registry.book().choice(HERE).is_pinned
    assert not registry.book().choice(ELSEWHERE).is_pinned
    registry.pin(HERE, is_pinned=False)
    assert not registry.book().choice(HERE).is_pinned
    assert registry.find_folder(HERE) == registry.place(entry.name)


def test_model_in_use_is_removed_only_by_force(registry: Registry, folders: list[Path]) -> None:
    first = added(registry, folders[0])
    second = added(registry, folders[1], "own-20260103-1")
    registry.use(first.name, HERE)
    registry.use(second.name, HERE)
    with pytest.raises(ModelsError, match="is in use"):
        registry.remove(second.name)
    registry.remove(second.name, force=True)
    assert registry.entries() == [first]
    assert registry.find_folder(HERE) == registry.place(first.name)
    assert names_in(registry.folder) == [LOCK_NAME, first.name, FILE_NAME]


def test_removed_model_leaves_no_graph(registry: Registry, folders: list[Path]) -> None:
    graphs = cache_folder() / "graphs"
    entry = added(registry, folders[0])
    for name in (f"{entry.content_hash[:32]}-v1-8", "0123-v1-8"):
        (graphs / name).mkdir(parents=True)
    registry.remove(entry.name)
    assert names_in(graphs) == ["0123-v1-8"]


def test_unknown_model_names_the_known(registry: Registry, folders: list[Path]) -> None:
    actions: list[Callable[[], object]] = [
        lambda: registry.use("other", HERE),
        lambda: registry.remove("other"),
        lambda: registry.export("other", folders[0].parent / "out"),
    ]
    for action in actions:
        with pytest.raises(ModelsError, match="no model 'other'; known: there are none"):
            action()
    added(registry, folders[0])
    with pytest.raises(ModelsError, match="known: own-20260102-1"):
        registry.use("other", HERE)


def test_folder_that_is_gone_cannot_be_chosen(registry: Registry, folders: list[Path]) -> None:
    entry = added(registry, folders[0])
    shutil.rmtree(registry.place(entry.name))
    with pytest.raises(ModelsError, match="is gone"):
        registry.use(entry.name, HERE)
    registry.remove(entry.name)
    assert registry.entries() == []


def test_taken_name_is_refused(registry: Registry, folders: list[Path]) -> None:
    added(registry, folders[0])
    with pytest.raises(ModelsError, match="already"):
        added(registry, folders[1])
    assert registry.new_name(Path("/home/a/Own"), "20260102") == "own-20260102-2"
    (registry.folder / "own-20260102-2").mkdir()
    assert registry.new_name(Path("/home/a/Own"), "20260102") == "own-20260102-3"
    assert registry.new_name(Path("/home/a/???"), "20260102") == "model-20260102-1"


def test_what_is_no_model_is_not_added(
    registry: Registry, folders: list[Path], tmp_path: Path
) -> None:
    entry = entry_of(folders[0])
    (link := tmp_path / "link").symlink_to(folders[0])
    shutil.copytree(folders[0], damaged := tmp_path / "damaged")
    (damaged / "tokenizer.json").write_text("{}")
    shutil.copytree(folders[0], linked := tmp_path / "linked")
    (linked / "config.json").unlink()
    (linked / "config.json").symlink_to(folders[0] / "config.json")
    for folder, why in (
        (link, "symbolic link"),
        (damaged, "damaged"),
        (linked, "symbolic link"),
        (tmp_path / "nowhere", "no model folder"),
        (folders[1], "another model"),
    ):
        with pytest.raises(ModelsError, match=why):
            registry.add(folder, entry)
    assert registry.entries() == []
    assert load_folder(folders[1])


@pytest.mark.parametrize(
    "name", ["", "base", "../up", "a/b", ".hidden", "a..b", "UPPER", "con", "nul.1", "-x", "x" * 81]
)
def test_names_are_plain(registry: Registry, folders: list[Path], name: str) -> None:
    with pytest.raises(ModelsError, match="cannot be the name"):
        entry_of(folders[0], name)
    with pytest.raises(ModelsError, match="cannot be the name"):
        registry.place(name)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kind": "half"}, "none of full, lora"),
        ({"content_hash": "no hash"}, "content_hash"),
        ({"repository": "/home/a"}, "repository"),
    ],
)
def test_entries_are_checked(folders: list[Path], changes: dict[str, str], why: str) -> None:
    with pytest.raises(ModelsError, match=why):
        entry_of(folders[0], **changes)


def test_export_copies_and_replaces_nothing(
    registry: Registry, folders: list[Path], tmp_path: Path
) -> None:
    entry = added(registry, folders[0])
    registry.export(entry.name, tmp_path / "out")
    assert load_folder(tmp_path / "out").content_hash == entry.content_hash
    assert modes(tmp_path / "out") == {0o600}
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    with pytest.raises(ModelsError, match="there already"):
        registry.export(entry.name, tmp_path / "out")
    with pytest.raises(ModelsError, match="no folder"):
        registry.export(entry.name, tmp_path / "not" / "there")
    (registry.place(entry.name) / "config.json").write_text("{}")
    with pytest.raises(ModelsError, match="damaged"):
        registry.export(entry.name, tmp_path / "out2")
    assert names_in(tmp_path) == ["out"]


def test_second_writer_waits_and_then_gives_up(registry: Registry, folders: list[Path]) -> None:
    entry = added(registry, folders[0])
    with FileLock(registry.folder / LOCK_NAME, thread_local=False):
        with pytest.raises(ModelsError, match="another process"):
            registry.use(entry.name, HERE)
        assert registry.entries() == [entry]  # reading needs no lock


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"format": 2}', '{"format": 1, "models": 3}', "[" * 100_000, "nothing"],
)
def test_damaged_list_is_one_line_and_left_alone(
    registry: Registry, folders: list[Path], text: str
) -> None:
    entry = added(registry, folders[0])
    registry.file.write_text(text)
    for action in (
        registry.entries,
        lambda: registry.find_folder(HERE),
        lambda: registry.use(entry.name, HERE),
        lambda: added(registry, folders[1], "own-20260103-1"),
    ):
        with pytest.raises(ModelsError, match=r"registry\.json.* the base model is served"):
            action()
        shutil.rmtree(folders[1].with_name("model1-to-add-as-own-20260103-1"), ignore_errors=True)
    assert registry.file.read_text() == text
    assert load_folder(registry.place(entry.name))


@pytest.mark.parametrize("member", [item.name for item in dataclasses.fields(ModelEntry)])
def test_wrong_member_is_damage(registry: Registry, folders: list[Path], member: str) -> None:
    added(registry, folders[0])
    table = json.loads(registry.file.read_text())
    for wrong in (None, ["x"], 3):
        table["models"][0][member] = wrong
        registry.file.write_text(json.dumps(table))
        with pytest.raises(ModelsError, match="is damaged"):
            registry.entries()


def test_links_are_refused(registry: Registry, folders: list[Path], tmp_path: Path) -> None:
    added(registry, folders[0])
    real = tmp_path / "real"
    registry.folder.rename(real)
    registry.folder.symlink_to(real)
    for action in (registry.entries, lambda: registry.pin(HERE)):
        with pytest.raises(ModelsError, match="symbolic link"):
            action()
    registry.folder.unlink()
    real.rename(registry.folder)
    registry.file.rename(tmp_path / "list.json")
    registry.file.symlink_to(tmp_path / "list.json")
    with pytest.raises(ModelsError, match="symbolic link"):
        registry.entries()


def test_what_others_can_change_is_not_served(registry: Registry, folders: list[Path]) -> None:
    entry = added(registry, folders[0])
    registry.use(entry.name, HERE)
    for path in (registry.folder, registry.file, registry.place(entry.name)):
        before = path.stat().st_mode
        path.chmod(0o777)
        with pytest.raises(ModelsError, match="can be changed by other users"):
            registry.find_folder(HERE)
        path.chmod(before)
    assert registry.find_folder(HERE)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root gives away")
def test_what_belongs_to_others_is_not_served(registry: Registry, folders: list[Path]) -> None:
    added(registry, folders[0])
    for path in (registry.folder, registry.file):
        os.chown(path, 65_534, -1)
        with pytest.raises(ModelsError, match="belongs to another user"):
            registry.entries()
        os.chown(path, 0, -1)


def test_places_that_cannot_be_are_one_line(tmp_path: Path, folders: list[Path]) -> None:
    with pytest.raises(ModelsError, match="cannot look at"):
        Registry(tmp_path / ("x" * 300)).entries()
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelsError, match="cannot change the models"):
        Registry(tmp_path / "file" / "models").pin(HERE)
    registry = Registry()
    entry = added(registry, folders[0])
    with pytest.raises(ModelsError, match="cannot write"):
        registry.export(entry.name, tmp_path / ("y" * 300))


def test_next_writer_closes_what_was_open(registry: Registry, folders: list[Path]) -> None:
    added(registry, folders[0])
    registry.folder.chmod(0o777)
    registry.pin(HERE)
    assert registry.folder.stat().st_mode & 0o777 == 0o700


def test_file_in_place_of_the_folder_is_refused(registry: Registry) -> None:
    registry.folder.parent.mkdir(parents=True)
    registry.folder.write_text("")
    for action in (registry.entries, lambda: registry.pin(HERE)):
        with pytest.raises(ModelsError, match="not a folder"):
            action()


def test_unlisted_folders_are_nobody_s_to_delete(registry: Registry, folders: list[Path]) -> None:
    entry = added(registry, folders[0])
    registry.file.unlink()  # as a user might who was told that it is damaged
    (registry.folder / ".half.tmp").mkdir()
    registry.pin(HERE)
    assert names_in(registry.folder) == [LOCK_NAME, entry.name, FILE_NAME]
