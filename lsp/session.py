"""What lives as long as the client: settings, engine, scheduler, and what the user is told.

Knows values of settings and no messages but one, the warning; is there before pygls is, so that
the engine loads while pygls is imported. Also notices that the editor has died although the pipe
from it is still open: any other process may hold its far end.
"""

import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.logs import escape_controls
from lsp.document_paths import local_path
from lsp.indexes import OnAnswer, WorkspaceIndexes
from lsp.models import WorkspaceModels
from lsp.scheduler import Scheduler, describe
from lsp.settings import ClientSettings

if TYPE_CHECKING:
    from assistant.generate.engine import Engine

POLL_S = 2.0  # between looks at whether the editor lives
_PARENT = os.getppid()  # of this process at its start: it may die before it has told us its id
_WARNING = 2  # MessageType.Warning

log = logging.getLogger(__name__)

OpenEngine = Callable[[Any], "Engine"]  # of the settings
Send = Callable[[Mapping[str, Any]], None]


class Session:
    """One client, from `initialize` to the end."""

    def __init__(
        self,
        send: Send,
        *,
        open_engine: OpenEngine | None = None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_lost` is called, on another thread, when the client's process is gone."""
        self.send = send
        self.indexes = WorkspaceIndexes(self.ask, send, on_change=self._note_change)
        self._open_engine = open_engine or self._real_engine
        self._answers_early = open_engine is None  # only our own knows how
        self.models = WorkspaceModels(self.warn)
        self.save_counts: Callable[[], None] = lambda: None  # what is left of them, at the end
        self.remote: Any = None  # the side of the engine that asks a server, if the user wants one
        self._asked: dict[str, OnAnswer] = {}
        self._n_asked = 0
        self._on_lost = on_lost
        self._end_watch: Callable[[], None] | None = None
        self._loading: threading.Thread | None = None
        self._warned: set[str] = set()
        self.settings = ClientSettings(self.warn)
        self.scheduler = Scheduler(self._report)
        self.engine_state = "not loaded"
        self.trouble = ""  # why the engine cannot be used, in a sentence
        self._engine: Engine | None = None
        self.n_answered = 0  # requests for which the engine was asked and its answer sent
        self.is_shut_down = False

    @property
    def exit_code(self) -> int:
        """What the protocol asks for: 0 if `shutdown` came before the end, 1 otherwise."""
        return 0 if self.is_shut_down else 1

    def why(self, uri: str = "") -> dict[str, Any]:
        """Return how the last answer for a document (default: any) came about, as plain values.

        `words` is what a person would say.
        """
        last_trace = getattr(self._engine, "last_trace", None)
        if last_trace is not None and self.engine_state == "ready":
            table: dict[str, Any] = last_trace(uri).table()
            return table
        words = f"the model is {self.engine_state}" + f": {self.trouble}" * bool(self.trouble)
        return {"outcome": self.engine_state, "words": words}

    def model_status(self, folder: Path | None) -> dict[str, Any]:
        """Return which model serves documents in `folder` (default: the first of the workspace)."""
        base = getattr(self._engine, "base_name", "")
        status = self.models.status()
        first = status["folders"][0]["model"] if status["folders"] else ""
        tuned = self.models.label_of(folder) if folder is not None else first
        by = "settings" if self.settings.current.model else "registry" if tuned else "default"
        return {"serving": tuned or base, "base": base, "chosen_by": by, **status}

    def start(self, process_id: int | None) -> None:
        """Watch the client's process and load the engine, both on threads of their own."""
        if process_id is not None:
            self._end_watch = watch(process_id, self._on_lost)
            if self._end_watch is None:
                log.warning("the client's process cannot be seen from here; not watching it")
        self._loading = threading.Thread(target=self._load, name="engine-load", daemon=True)
        self._loading.start()

    def stop(self, timeout_s: float) -> None:
        """End every thread, waiting at most `timeout_s` for each; outcomes are written down."""
        if self._end_watch is not None:
            self._end_watch()
        self.indexes.stop(timeout_s)
        self.scheduler.stop(timeout_s)
        if self._loading is not None:
            self._loading.join(timeout_s)
        self.models.stop(timeout_s)
        if (close := getattr(self._engine, "close", None)) is not None:
            close(timeout_s)
        self.save_counts()

    def keep_counts(self) -> None:
        """Have the counts written, and the gate follow them."""
        self.save_counts()
        if self._answers_early and self._engine is not None:
            from assistant.counts import find_steps

            self._engine.steps = find_steps()

    def configure(self, configuration: object) -> None:
        """Follow a pushed configuration."""
        self.settings.change(configuration)
        self.scheduler.configure(self.settings.current)

    def warn(self, kind: str, text: str) -> None:
        """Tell the user, once per kind; the protocol lets that be before `initialize` is done."""
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning("told the user of a wrong %s", kind)
            params = {"type": _WARNING, "message": escape_controls(f"foretype: {text}")}
            self.send({"method": "window/showMessage", "params": params})

    def ask(self, method: str, params: Mapping[str, Any], on_answer: OnAnswer) -> None:
        """Send the client a request; `on_answer` is called on the event loop."""
        self._n_asked += 1
        request_id = f"foretype-{self._n_asked}"
        self._asked[request_id] = on_answer
        self.send({"id": request_id, "method": method, "params": params})

    def answered(self, request_id: object, is_granted: bool) -> None:
        """Take the client's answer to a request."""
        on_answer = self._asked.pop(request_id, None) if isinstance(request_id, str) else None
        if on_answer is not None:
            on_answer(is_granted)

    def _note_change(self, uri: str) -> None:
        if (changed := getattr(self._engine, "changed", None)) is not None:
            changed(uri)

    def _report(self, error: Exception) -> None:
        """Tell the user of what they can mend."""
        from assistant.errors import AssistantError

        if isinstance(error, AssistantError):
            self.trouble = str(error)
            self.warn(type(error).__name__, self.trouble)

    def _real_engine(self, settings: Any) -> "Engine":
        """Open what completes; imports the runtime."""
        from assistant.generate.engine import Engine

        engine = Engine(settings, index=self.indexes.index_of, remote=self._open_remote(settings))
        engine.tuned_for = self.models.backend_of
        return engine

    def _open_remote(self, settings: Any) -> Any:
        """Return the remote side; what is wrong with it costs no local suggestion."""
        from assistant.errors import AssistantError
        from assistant.remote.settings import open_configured

        try:
            warn = functools.partial(self.warn, "remote")
            self.remote = open_configured(local_path, warn, exclude=settings.exclude)
        except AssistantError as error:
            self._report(error)
        return self.remote

    def _load(self) -> None:
        self.engine_state = "loading"
        started_s = time.monotonic()
        engine: Engine | None = None
        try:
            engine = self._engine = self._open_engine(self.settings.current)
            if self._answers_early:
                # The index answers before the network can.
                self.scheduler.use(engine, is_loaded=False)
            engine.load()
        except Exception as error:  # noqa: BLE001  the server lives on and says why it is silent
            self.engine_state = "failed"
            log.error("the model cannot be used: %s", describe(error))  # noqa: TRY400
            has_index = self._answers_early and self.settings.current.index
            self.scheduler.use(engine if has_index or self.remote is not None else None)
            self._report(error)
            self._start_models()
            return
        self.engine_state = "ready"
        self.scheduler.use(engine)
        log.info("model loaded in %.0f ms", 1000 * (time.monotonic() - started_s))
        self._start_models()
        self.keep_counts()

    def _start_models(self) -> None:
        """Let the user's own models serve; one that their settings name wins over all."""
        if not self._answers_early or self.settings.current.model:
            return
        if self.remote is None or not self.remote.replaces_local:
            self.models.start(**self.settings.current.run_options)


def is_alive(pid: int, parent_at_start: int) -> bool:
    """Whether process `pid` still runs; a dead one that nobody has reaped does not.

    On Windows there is no harmless signal to ask with, so the answer there is always yes.
    """
    if os.name == "nt":
        return True
    if pid == parent_at_start and os.getppid() != pid:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return not _is_zombie(pid)


def watch(pid: int, on_death: Callable[[], None]) -> Callable[[], None] | None:
    """Call `on_death` once when process `pid` is gone; None if it cannot be seen even now.

    What is returned ends the watch.

    A client in another container has an id that means nothing, or somebody else, here.
    """
    if pid != _PARENT and not is_alive(pid, _PARENT):
        return None
    stopped = threading.Event()

    def run() -> None:
        while is_alive(pid, _PARENT):
            if stopped.wait(POLL_S):
                return
        on_death()

    thread = threading.Thread(target=run, name="client-watch", daemon=True)
    thread.start()

    def stop() -> None:
        stopped.set()
        thread.join()

    return stop


def _is_zombie(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # no /proc on this system
        return False
    return stat.rpartition(b")")[2].split()[:1] == [b"Z"]
