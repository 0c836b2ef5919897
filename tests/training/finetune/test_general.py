"""General code: replayed and held out never mix, and nothing of other people is taken."""

from pathlib import Path

import pytest

from training.finetune import general
from training.finetune.errors import TuneError

BODY = "".join(f"def step_{n}(value):\n    return value + {n}\n\n\n" for n in range(30))


def code_folder(path: Path, n_files: int = 60) -> Path:
    path.mkdir()
    for number in range(n_files):
        (path / f"m{number}.py").write_text(f"# part {number}\n{BODY}")
    return path


def test_replayed_and_held_out_files_are_different(tmp_path: Path) -> None:
    folder = code_folder(tmp_path / "g")
    replayed = {text.path for text in general.draw_replay(folder, 10**9)}
    kept = {text.path for text in general.draw_held_out(folder)}
    assert replayed and kept
    assert not replayed & kept
    assert len(replayed | kept) == 60


def test_replay_ends_with_its_bytes(tmp_path: Path) -> None:
    folder = code_folder(tmp_path / "g")
    texts = general.draw_replay(folder, 4_000)
    assert 4_000 <= sum(text.n_bytes for text in texts) < 4_000 + 2 * len(BODY)
    assert texts == general.draw_replay(folder, 4_000)


def test_seed_changes_the_order_and_not_the_parts(tmp_path: Path) -> None:
    folder = code_folder(tmp_path / "g")
    first, second = (general.draw_replay(folder, 10**9, seed=seed) for seed in (1, 2))
    assert first != second
    assert sorted(text.path for text in first) == sorted(text.path for text in second)


def test_tests_installed_packages_and_secrets_stay_out(tmp_path: Path) -> None:
    folder = code_folder(tmp_path / "g")
    for name in ("test/t.py", "site-packages/p.py", ".hidden/h.py", "credentials.py", "notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(BODY)
    (folder / "binary.py").write_bytes(b"\xff" * 2_000)
    (folder / "link.py").symlink_to(folder / "m0.py")
    texts = general.draw_replay(folder, 10**9) + general.draw_held_out(folder)
    assert {text.path for text in texts} == {f"m{number}.py" for number in range(60)}


def test_standard_library_is_general_code() -> None:
    texts = general.draw_replay(general.standard_library(), 20_000)
    assert sum(text.n_bytes for text in texts) >= 20_000
    assert not [text.path for text in texts if "test" in text.path.split("/")]


def test_folder_without_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match="too few source files"):
        general.draw_held_out(tmp_path)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match="is not a folder"):
        general.draw_replay(tmp_path / "absent", 1)


def test_file_that_cannot_be_read_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = code_folder(tmp_path / "g")

    def refuse(path: Path, max_bytes: int) -> bytes:
        if path.name == "m1.py":
            raise general.UnreadableFileError("no")
        return path.read_bytes()

    monkeypatch.setattr(general, "read_regular", refuse)
    texts = general.draw_replay(folder, 10**9) + general.draw_held_out(folder)
    assert len(texts) == 59
