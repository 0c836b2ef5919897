"""Which files may be sent."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import RemoteError
from assistant.remote.payload import FilePolicy
from assistant.remote.settings import RemoteSettings
from assistant.request import CompletionRequest


def reach(root: Path, exclude: tuple[str, ...] = (), **changes: Any) -> FilePolicy:
    table: dict[str, Any] = {"mode": "race", "provider": "llamacpp"}
    return FilePolicy(
        settings=RemoteSettings(**(table | changes)), locate=root.joinpath, exclude=exclude
    )


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("build/\n*.local.py\n")
    write(tmp_path, "src/new.py", "build/made.py", "me.local.py", "src/deep/.env.py", "id_rsa.py")
    return tmp_path


def asked(path: str, language: str | None = None) -> CompletionRequest:
    return CompletionRequest(path=path, text="", offset=0, language=language)


def refusal(reach: FilePolicy, path: str) -> str:
    try:
        reach.check(asked(path))
    except RemoteError as error:
        return str(error)
    return ""


def test_files_that_git_ignores_stay(repository: Path) -> None:
    own = reach(repository)
    assert refusal(own, "src/new.py") == ""
    assert refusal(own, "build/made.py") == "git ignores the file"
    assert refusal(own, "me.local.py") == "git ignores the file"


def test_secret_files_stay_whatever_git_says(repository: Path) -> None:
    for name in ("src/deep/.env.py", "id_rsa.py", ".ssh/config", "a.pem"):
        assert refusal(reach(repository), name) == "the file is excluded"


def test_a_tracked_file_may_go_even_if_a_rule_means_it(repository: Path) -> None:
    subprocess.run(["git", "-C", str(repository), "add", "-f", "me.local.py"], check=True)
    assert refusal(reach(repository), "me.local.py") == ""


def test_the_users_own_ignore_file_counts(repository: Path, private_home: Path) -> None:
    path = private_home / "config" / "git" / "ignore"
    path.parent.mkdir()
    path.write_text("new.py\n")
    assert refusal(reach(repository), "src/new.py") == "git ignores the file"


def test_patterns_deny_and_allow(repository: Path) -> None:
    assert "excluded" in refusal(reach(repository, deny=("src/*",)), "src/new.py")
    assert "excluded" in refusal(reach(repository, exclude=("new.py",)), "src/new.py")
    assert "allow" in refusal(reach(repository, allow=("lib/*",)), "src/new.py")
    assert refusal(reach(repository, allow=("src/*",)), "src/new.py") == ""


def test_without_a_repository_a_saved_file_may_go(tmp_path: Path) -> None:
    write(tmp_path, "a.py")
    assert refusal(reach(tmp_path), "a.py") == ""


def test_what_is_not_saved_or_has_no_place_stays(tmp_path: Path) -> None:
    assert "not saved" in refusal(reach(tmp_path), "a.py")
    homeless = FilePolicy(settings=RemoteSettings(), locate=lambda path: None)
    with pytest.raises(RemoteError, match="no file"):
        homeless.check(asked("Untitled-1", "python"))


def test_a_file_of_no_known_language_stays(tmp_path: Path) -> None:
    write(tmp_path, "a.unknown")
    assert "language" in refusal(reach(tmp_path), "a.unknown")
    reach(tmp_path).check(asked("a.unknown", "rust"))


def test_a_link_to_a_secret_file_stays(tmp_path: Path) -> None:
    write(tmp_path, "secret/id_rsa")
    (tmp_path / "a.py").symlink_to(tmp_path / "secret" / "id_rsa")
    assert refusal(reach(tmp_path), "a.py") == "the file is excluded"


def test_a_repository_that_git_cannot_read_keeps_its_files(repository: Path) -> None:
    (repository / ".git" / "HEAD").write_text("nonsense\n")
    assert "git cannot say" in refusal(reach(repository), "src/new.py")


def test_the_answer_is_remembered_for_a_while(repository: Path) -> None:
    now = [0.0]
    own = FilePolicy(settings=RemoteSettings(), locate=repository.joinpath, clock=lambda: now[0])
    assert refusal(own, "src/new.py") == ""
    (repository / ".gitignore").write_text("src/\n")
    assert refusal(own, "src/new.py") == ""
    now[0] = 61.0
    assert refusal(own, "src/new.py") == "git ignores the file"
