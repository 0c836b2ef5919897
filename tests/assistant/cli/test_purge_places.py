"""What is ours is found and removed; what is behind a link or not ours stays."""

from pathlib import Path

import pytest

from assistant.cli.purge import Item, list_stored, remove_empty
from model.publish import delete

LINE = b"2026-11-29 20:00:00,123 INFO assistant.engine: answered\n"


def put(path: Path, n_bytes: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(LINE if ".log" in path.name else bytes(n_bytes))
    return path


def purge(log_file: str = "") -> tuple[list[Item], list[str]]:
    items, left = list_stored(log_file)
    for item in items:
        delete(item.path)
    remove_empty()
    return items, left


def test_all_that_is_ours_is_listed_with_its_size_and_removed(private_home: Path) -> None:
    put(private_home / "cache" / "foretype" / "graphs" / "a" / "weights.bin", 1000)
    put(private_home / "cache" / "foretype" / "index" / "b" / "x.seg", 3000)
    put(private_home / "cache" / "foretype" / "memory" / "b" / "x.seg", 2000)
    put(private_home / "cache" / "foretype" / "matplotlib" / "fontlist.json", 9)
    put(private_home / "state" / "foretype" / "egress.sqlite", 30)
    put(private_home / "data" / "foretype" / "stats.sqlite", 40)
    items, _ = purge()
    sizes = {item.path.name: (item.what, item.n_bytes) for item in items}
    assert sizes == {
        "graphs": ("models made ready to run", 1000),
        "index": ("indexes of your code", 3000),
        "memory": ("indexes of your code", 2000),
        "matplotlib": ("list of fonts, for curves of training runs", 9),
        "egress.sqlite": ("record of what was sent", 30),
        "stats.sqlite": ("statistics", 40),
    }
    for name in ("cache", "state", "data"):
        assert not (private_home / name / "foretype").exists()
        assert (private_home / name).is_dir()
    assert list_stored("") == ([], [])


def test_settings_models_and_neighbours_stay(private_home: Path) -> None:
    kept = [
        put(private_home / "config" / "foretype" / "settings.toml"),
        put(private_home / "data" / "foretype" / "models" / "tuned" / "model.safetensors"),
        put(private_home / "cache" / "other" / "graphs"),
    ]
    put(private_home / "cache" / "foretype" / "graphs" / "x")
    purge()
    assert all(path.is_file() for path in kept)


def test_models_go_only_when_they_are_asked_for(private_home: Path) -> None:
    weights = put(private_home / "data" / "foretype" / "models" / "own" / "model.safetensors", 50)
    run = put(private_home / "data" / "foretype" / "tune" / "ab" / "state.json")
    items, left = list_stored("")
    assert [item.path.name for item in items] == ["tune"]
    assert "--models removes them too" in left[0]
    items, left = list_stored("", with_models=True)
    assert [(item.path.name, item.n_bytes) for item in items] == [
        ("models", 50),
        ("tune", 10),
    ]
    assert left == []
    for item in items:
        delete(item.path)
    assert not weights.exists() and not run.exists()


def test_models_in_a_folder_of_others_are_theirs(
    private_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETYPE_CACHE", str(private_home / "shared"))
    put(private_home / "shared" / "models" / "x")
    put(private_home / "shared" / "tune" / "x")
    assert list_stored("", with_models=True) == ([], [])


def test_links_are_removed_and_not_followed(private_home: Path) -> None:
    mine = put(private_home / "home" / "thesis" / "chapter.tex", 5000)
    cache = private_home / "cache" / "foretype"
    (cache / "graphs").mkdir(parents=True)
    (cache / "memory").symlink_to(mine.parent)
    (cache / "graphs" / "inner").symlink_to(mine.parent)
    (cache / "graphs" / "file").symlink_to(mine)
    items, _ = purge()
    assert sum(item.n_bytes for item in items) < 5000
    assert not cache.exists()
    assert mine.stat().st_size == 5000


def test_folder_that_is_a_link_is_left_and_told(private_home: Path) -> None:
    big = put(private_home / "home" / "disk" / "graphs" / "x").parent.parent
    (private_home / "cache" / "foretype").symlink_to(big)
    items, left = purge()
    assert items == []
    assert left == [
        f"{private_home / 'cache' / 'foretype'} is a link to {big}, which is not followed"
    ]
    assert (big / "graphs" / "x").is_file()


def test_logs_go_with_their_copies(private_home: Path) -> None:
    folder = private_home / "home" / "logs"
    for name in ("f.log", "f.log.1", "f.log.2", "f.log.3", "other.log"):
        put(folder / name)
    purge(str(folder / "f.log"))
    assert sorted(path.name for path in folder.iterdir()) == ["f.log.3", "other.log"]


def test_log_that_is_a_link_stays(private_home: Path) -> None:
    real = put(private_home / "home" / "real.log")
    link = private_home / "home" / "f.log"
    link.symlink_to(real)
    assert purge(str(link))[0] == []
    assert link.is_symlink()


def test_settings_stay_where_they_share_a_folder_with_records(
    private_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CONFIG", "DATA", "STATE"):  # as on macOS and Windows
        monkeypatch.setenv(f"XDG_{name}_HOME", str(private_home / "one"))
    mine = put(private_home / "one" / "foretype" / "remote.toml")
    put(private_home / "one" / "foretype" / "egress.sqlite")
    put(private_home / "one" / "foretype" / "egress.jsonl.1")
    put(private_home / "one" / "foretype" / "tune" / "x")
    purge()
    assert [*mine.parent.iterdir()] == [mine]


def test_what_onnxruntimes_telemetry_left_goes(private_home: Path) -> None:
    theirs = private_home / "cache" / "Microsoft" / "DeveloperTools"
    put(theirs / ".onnxruntime" / "deviceid")
    put(theirs / ".onnxruntime" / "onnxruntime.db", 30)
    other = put(theirs / "deviceid")
    assert [(item.what, item.n_bytes) for item in purge()[0]] == [("onnxruntime's telemetry", 40)]
    assert [*theirs.iterdir()] == [other]
