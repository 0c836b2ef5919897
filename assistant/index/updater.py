"""Keeps the index of one folder fresh while an editor has it open.

A thread waits for word of changes (or sees git's HEAD or index change), lets things settle, and
starts a process of low priority that brings the index up to date: neither the RAM nor the CPU time
of that is felt where one is typing, and it may be killed at any moment.
"""

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from assistant.git import NO_WINDOW, GitError, find_work_tree, git
from assistant.index.files import rank
from assistant.index.folder_index import FolderIndex
from assistant.index.writer import index_folder
from assistant.settings import Settings

POLL_S = 5.0  # between looks at git's files
START_S = 3.0  # at the start, with an index that is complete: the engine loads now
QUIET_S = 1.0  # after a change: they come in swarms
RETRY_S = 30.0  # after a failure, the first time; then ever longer
_MAX_RETRY_S = 900.0
_LAUNCHER = Path(__file__).resolve().parents[2] / "foretype.py"

log = logging.getLogger(__name__)

OnProgress = Callable[[int, int], None]  # bytes read, of bytes; (0, 0): nothing is under way
_one_at_a_time = threading.Lock()


def build_command(root: Path, settings: Settings) -> list[str]:
    """Return the command that brings the index of `root` up to date and says how it goes."""
    options = [f"--exclude={pattern}" for pattern in settings.exclude]
    if settings.index_dependencies:
        options.append("--dependencies")
    return [
        *(sys.executable, "-I", str(_LAUNCHER), "index", "build", "--watched"),
        *(f"--mb={settings.index_mb}", *options, "--", str(root)),
    ]


class IndexUpdater:
    """Owns the index of one folder, its thread and at most one process."""

    def __init__(
        self,
        root: Path,
        settings: Settings,
        *,
        on_progress: OnProgress = lambda *_: None,
        command: Callable[[Path, Settings], Sequence[str]] = build_command,
    ) -> None:
        """Open the index of `root` as it is."""
        self.root = root
        self.index = FolderIndex(index_folder(root), name=root.name, exclude=settings.exclude)
        self.state = "waiting"
        self._settings = settings
        self._on_progress = on_progress
        self._command = command
        self._last_reason = ""
        self._changed = threading.Condition()
        self._is_dirty = True
        self._is_stopped = False
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)

    def start(self) -> None:
        """Begin to keep the index fresh."""
        self._thread.start()

    def note_changes(self, paths: Collection[str] = ()) -> None:
        """Take note that files have changed; what the index has of `paths` counts no more."""
        if paths:
            its = [path for path in paths if self._may_count(path)]
            if not its:
                return
            self.index.update(its)
        with self._changed:
            self._is_dirty = True
            self._changed.notify_all()

    def _may_count(self, path: str) -> bool:
        """Say whether a change there may change the index; a log is written all day.

        What is gone may have been a folder.
        """
        if rank(path) is not None or path.endswith(".gitignore"):
            return True
        return not os.path.isfile(self.root / path)  # noqa: PTH113 - any name may be told

    def use(self, settings: Settings) -> None:
        """Go by other settings."""
        old, self._settings = self._settings, settings
        self.index.exclude = settings.exclude  # at once; the index follows
        if build_command(self.root, settings) != build_command(self.root, old):
            self.note_changes()

    def stop(self) -> None:
        """End the thread and its process soon; what is under way is gone on with another time."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
            process = self._process
        if process is not None:
            process.kill()

    def join(self, timeout_s: float) -> None:
        """Wait for the end after `stop`, for at most so many seconds."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        self.index.join(timeout_s)

    def status(self) -> dict[str, Any]:
        """Return what a user wants to know."""
        view = self.index.view
        return {
            "state": self.state,
            "complete": view.manifest.is_complete,
            "files": sum(len(opened.files) for opened in view.opened),
            "bytes": sum(opened.segment.n_bytes for opened in view.opened),
        }

    def _run(self) -> None:
        git_files = _git_files(self.root)
        seen, retry_s = _times(git_files), RETRY_S
        while self._wait(lambda: self._is_dirty, POLL_S):
            now = _times(git_files)
            if not self._is_dirty and now == seen:
                continue
            seen = now
            self._settle()
            is_done = False
            try:
                with _one_at_a_time:
                    is_done = self._is_stopped or self._refresh()
            except Exception as error:  # noqa: BLE001  the index stays as it is, the thread lives
                self._fail(type(error).__name__)
            if is_done:
                retry_s = RETRY_S
            else:
                self._wait(lambda: False, retry_s)
                retry_s = min(2 * retry_s, _MAX_RETRY_S)
                self._is_dirty = True

    def _settle(self) -> None:
        """Wait until no more word of changes comes for a moment, but not for ever."""
        if self.state == "waiting":
            if self.index.view.manifest.is_complete:
                self._wait(lambda: False, START_S)
        else:
            for _ in range(10):
                self._is_dirty = False
                self._wait(lambda: self._is_dirty, QUIET_S)
                if not self._is_dirty:
                    break
        self._is_dirty = False

    def _wait(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for a condition, the end, or the time; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or until(), timeout_s)
            return not self._is_stopped

    def _refresh(self) -> bool:
        """Run the process to its end; False if it should be tried again."""
        self.state = "building"
        outcome: dict[str, Any] = {}
        try:
            with self._start() as process:
                assert process.stdout is not None
                for line in process.stdout:
                    outcome = _parse(line)
                    if "of_bytes" in outcome:
                        self._on_progress(int(outcome["n_bytes"]), int(outcome["of_bytes"]))
        except OSError as error:
            self._fail(f"cannot start: {error.strerror}")
            return False
        finally:
            self._on_progress(0, 0)
            self._process = None
        self.index.refresh()
        if self._is_stopped or outcome.get("outcome") == "done":
            self.state = "ready"
            self._last_reason = ""
            return True
        if outcome.get("outcome") == "busy":  # another editor is at it; its work serves us too
            self.state = "ready"
            return False
        self._fail(str(outcome.get("message", "the building process ended early")))
        return False

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(  # noqa: S603  our own program; the folder is one argument
            self._command(self.root, self._settings),
            stdin=subprocess.PIPE,  # ends with us, and the process with it
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            creationflags=NO_WINDOW,
        )
        with self._changed:
            self._process = process
            if self._is_stopped:
                process.kill()
        return process

    def _fail(self, reason: str) -> None:
        if reason != self._last_reason:
            self._last_reason = reason
            log.warning("index: not up to date: %s", reason)
        self.state = "failed"  # last: who sees the state finds the reason in the log


def _parse(line: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(line)
        if isinstance(value, dict):
            return value
    return {}


def _git_files(root: Path) -> list[Path]:
    """Return the files of git's that a commit or a change of branch writes anew."""
    folder = find_work_tree(root)
    with contextlib.suppress(GitError):
        if folder is not None:
            found = git(folder, "rev-parse", "--absolute-git-dir").decode("utf-8", "replace")
            return [Path(found.strip()) / name for name in ("HEAD", "index")]
    return []


def _times(paths: Sequence[Path]) -> list[int]:
    return [path.stat().st_mtime_ns if path.exists() else 0 for path in paths]
