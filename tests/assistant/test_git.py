"""The git helper: reads any repository, runs nothing that a repository names."""

import os
import shutil
from pathlib import Path

import pytest

from assistant.git import GitError, git, git_directory, read_blobs
from tests.repositories import new_repository, plain_git

pytestmark = pytest.mark.skipif(os.name == "nt", reason="traps are shell scripts")


FILES = {"a.py": "print('a')\n", "b.bin": bytes(range(256))}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_repository(tmp_path_factory.mktemp("template") / "repository", FILES)


@pytest.fixture
def repository(template: Path, tmp_path: Path) -> Path:
    """A work tree with one commit of two files."""
    return Path(shutil.copytree(template, tmp_path / "repository"))


def object_id(repository: Path, path: str) -> str:
    return git(repository, "rev-parse", f"HEAD:{path}").decode().strip()


def trap(folder: Path, name: str) -> str:
    """Return a program that leaves a mark when somebody runs it."""
    script = folder / f"trap {name}".replace(" ", "-")
    script.write_text(f"#!/bin/sh\ntouch '{folder}/sprung {name}'\ncat </dev/null\n")
    script.chmod(0o755)
    return str(script)


def sprung(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("sprung *"))


TRAPS = (
    "core.fsmonitor",
    "core.pager",
    "pager.log",
    "diff.external",
    "diff.trap.command",
    "diff.trap.textconv",
    "filter.trap.clean",
    "filter.trap.smudge",
    "gpg.program",
    "gpg.ssh.program",
    "core.sshCommand",
    "core.askPass",
    "credential.helper",
    "core.alternateRefsCommand",
    "uploadpack.packObjectsHook",
)
READS = (
    ("rev-parse", "HEAD"),
    ("ls-files", "-z", "--cached", "--others", "--exclude-standard"),
    ("ls-tree", "-r", "-l", "-z", "HEAD"),
    ("log", "-p", "--format=%H %an %G?"),
    ("show", "HEAD"),
    ("diff-tree", "-p", "--root", "HEAD"),
    ("for-each-ref",),
    ("cat-file", "-p", "HEAD:a.py"),
)


def test_no_program_named_in_a_repository_runs(repository: Path, tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for hook in ("post-index-change", "pre-auto-gc", "reference-transaction"):
        (hooks / hook).symlink_to(trap(tmp_path, hook))
    (repository / ".gitattributes").write_text("* diff=trap filter=trap\n")
    settings = {key: trap(tmp_path, key) for key in TRAPS} | {
        "core.hooksPath": str(hooks),
        "log.showSignature": "true",
        "remote.origin.promisor": "true",
        "remote.origin.url": f"ext::{trap(tmp_path, 'transport')}",
        "alias.log": f"!{trap(tmp_path, 'alias')}",
    }
    with (repository / ".git" / "config").open("a") as file:
        for key, value in settings.items():
            section, _, name = key.rpartition(".")
            section, _, subsection = section.partition(".")
            head = f'{section} "{subsection}"' if subsection else section
            file.write(f'[{head}]\n\t{name} = "{value}"\n')
    os.utime(repository / "a.py", (1, 1))  # plain git would compare its content again
    for read in READS:
        git(repository, *read)
    list(read_blobs(repository, [object_id(repository, "a.py"), "f" * 40], max_blob_bytes=100))
    assert sprung(tmp_path) == []


@pytest.mark.parametrize(
    ("key", "command"),
    [("core.fsmonitor", "status"), ("diff.external", "diff"), ("filter.trap.clean", "status")],
)
def test_plain_git_does_run_them(key: str, command: str, repository: Path, tmp_path: Path) -> None:
    """The control: without it the test above could pass for want of a trap that works."""
    (repository / ".gitattributes").write_text("* filter=trap\n")
    (repository / "a.py").write_text("print('b')\n")
    plain_git(repository, "config", key, trap(tmp_path, key))
    plain_git(repository, command)
    assert sprung(tmp_path) == [f"sprung {key}"]


def test_bare_repository_and_work_tree_give_the_same(repository: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    plain_git(tmp_path, "clone", "-q", "--bare", str(repository), str(bare))
    assert git(bare, "ls-tree", "-r", "HEAD") == git(repository, "ls-tree", "-r", "HEAD")


def test_bare_directory_without_configuration_is_read(repository: Path, tmp_path: Path) -> None:
    bare = tmp_path / "snapshot"
    plain_git(tmp_path, "clone", "-q", "--bare", str(repository), str(bare))
    (bare / "config").unlink()
    assert git(bare, "cat-file", "-p", "HEAD:a.py") == b"print('a')\n"


def test_environment_of_the_caller_does_not_lead_elsewhere(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    assert len(git(repository, "rev-parse", "HEAD").strip()) == 40


def test_blobs_come_in_order_with_none_for_what_is_not_there(repository: Path) -> None:
    text, binary = object_id(repository, "a.py"), object_id(repository, "b.bin")
    tree = plain_git(repository, "rev-parse", "HEAD^{tree}").strip()
    found = list(read_blobs(repository, [binary, "f" * 40, tree, text], max_blob_bytes=256))
    assert found == [bytes(range(256)), None, None, b"print('a')\n"]


def test_blob_over_the_limit_is_skipped(repository: Path) -> None:
    names = [object_id(repository, "b.bin"), object_id(repository, "a.py")]
    assert list(read_blobs(repository, names, max_blob_bytes=255)) == [None, b"print('a')\n"]


def test_no_blobs_asked_none_given(repository: Path) -> None:
    assert list(read_blobs(repository, [], max_blob_bytes=1)) == []


def test_reading_may_stop_early(repository: Path) -> None:
    names = [object_id(repository, "a.py")] * 1000
    blobs = read_blobs(repository, names, max_blob_bytes=100)
    assert next(blobs) == b"print('a')\n"
    blobs.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["", "HEAD:a b", "x\ny"])
def test_object_name_that_breaks_the_protocol_is_refused(name: str, repository: Path) -> None:
    with pytest.raises(GitError, match="not an object name"):
        list(read_blobs(repository, [name], max_blob_bytes=1))


@pytest.mark.parametrize("command", ["status", "diff", "fetch", "gc", "checkout", ""])
def test_command_that_does_more_than_read_is_refused(command: str, repository: Path) -> None:
    with pytest.raises(GitError, match="not one of the reading commands"):
        git(repository, command)


def test_no_command_is_refused(repository: Path) -> None:
    with pytest.raises(GitError, match="not one of the reading commands"):
        git(repository)


@pytest.mark.parametrize(
    "args",
    [
        ("log", "-p", "--ext-diff"),
        ("show", "--textconv"),
        ("cat-file", "--filters", "HEAD:a.py"),
        ("log", "--output=x"),
        ("ls-files", "-m"),
        ("ls-files", "--modified"),
        ("log", "--show-signature"),
    ],
)
def test_option_that_runs_programs_is_refused(args: tuple[str, ...], repository: Path) -> None:
    with pytest.raises(GitError, match="is refused"):
        git(repository, *args)


def test_path_that_looks_like_an_option_is_a_path(repository: Path) -> None:
    assert git(repository, "ls-files", "--", "--ext-diff") == b""


def test_configuration_is_read_and_never_written(repository: Path) -> None:
    plain_git(repository, "config", "remote.origin.url", "https://host/owner/name.git")
    asked = git(repository, "config", "--get", "remote.origin.url")
    assert asked == b"https://host/owner/name.git\n"
    with pytest.raises(GitError, match="only as `config --get NAME`"):
        git(repository, "config", "core.pager", "x")


def test_output_over_the_limit_is_an_error(repository: Path) -> None:
    with pytest.raises(GitError, match="more than 10 bytes"):
        git(repository, "log", max_bytes=10)


def test_failure_says_what_git_said(repository: Path) -> None:
    with pytest.raises(GitError, match="eeded a single revision"):
        git(repository, "rev-parse", "--verify", "nowhere")


def test_folder_that_is_no_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="is not a git repository"):
        git(tmp_path, "log")
    assert git_directory(tmp_path) is None


def test_no_git_to_run_is_an_error(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    with pytest.raises(GitError, match="cannot run git"):
        git(repository, "log")


def slow_git(folder: Path, script: str) -> str:
    """Return a PATH whose git is this script."""
    program = folder / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{program.parent}{os.pathsep}{os.environ['PATH']}"


def test_git_that_does_not_answer_is_ended(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", slow_git(tmp_path, "exec sleep 60"))
    with pytest.raises(GitError, match="no answer within"):
        git(repository, "log", timeout_s=0.2)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 0", "ended before its last object"),
        ("echo abc blob 100; echo x", "ended in the middle of an object"),
        ("echo broken >&2; exit 3", "broken"),
        ("exit 3", "exit status 3"),
    ],
)
def test_batch_that_breaks_off_is_an_error(
    script: str, message: str, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", slow_git(tmp_path, script))
    with pytest.raises(GitError, match=message):
        list(read_blobs(repository, ["abc"], max_blob_bytes=1000))


def test_repository_without_commits_is_told_as_such(tmp_path: Path) -> None:
    plain_git(tmp_path, "init", "-q")
    for arguments in (("rev-list", "HEAD"), ("rev-list", "HEAD", "--"), ("rev-parse", "HEAD")):
        with pytest.raises(GitError, match=f"^HEAD of {tmp_path} names no commit yet$"):
            git(tmp_path, *arguments)
