"""Real small git repositories for tests."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

DATE = "2026-01-02T03:04:05Z"


def plain_git(repository: Path, *args: str) -> str:
    """Run git as a user's shell would, with an identity and no configuration of the machine."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "A"),
        **dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "a@example.org"),
        **dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), DATE),  # the same ids each time
    }
    done = subprocess.run(
        ["git", "-c", f"safe.directory={repository}", "-C", str(repository), *args],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def new_repository(path: Path, files: Mapping[str, str | bytes]) -> Path:
    """Make a work tree with one commit of these files."""
    path.mkdir(parents=True)
    plain_git(path, "init", "-q", "-b", "main")
    return commit_files(path, files)


def commit_files(path: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write these files into a work tree and commit all that is there."""
    for name, content in files.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    plain_git(path, "add", "-A")
    plain_git(path, "commit", "-q", "--allow-empty", "-m", "change")
    return path


MIT = (
    "MIT License\n\nCopyright (c) 2020 A\n\n"
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this\n"
    "software, to deal in it without restriction, subject to the following conditions:\n"
    "The above copyright notice and this permission notice shall be included in all copies.\n"
)
