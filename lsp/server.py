"""The language server: pygls with our protocol and documents, and the features that we offer.

Handlers run on the event loop and are instant: they change a state, or take a snapshot and wait for
the scheduler's thread, which completes.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from assistant.counts import Statistics
from assistant.edits import ASKED
from assistant.privacy.exclusion import is_excluded
from assistant.request import Completion, CompletionRequest
from lsp import convert, models, next_edit
from lsp.document_paths import local_path, names_of, place_in
from lsp.documents import Document, Snapshot, Workspace
from lsp.fast_initialize import COMMANDS, NAME, Greeting, greet
from lsp.outcomes import Outcomes
from lsp.protocol import Protocol, strict_converter
from lsp.scheduler import ScheduledRequest, describe
from lsp.session import Session

if TYPE_CHECKING:
    from assistant.edits.next_edit import ProposedEdit

OVERDUE_S = 2.0  # after its deadline a request is answered whatever the engine does
MAX_ALTERNATIVES = 5  # for whoever asks by hand
SHOWN_COUNTS = ("shown", "whole", "part")  # since the start, in an editor's status line
LOOK_S = 10.0  # from one look at what was taken to the next
SAVE_LOOKS = 3  # looks from one writing of the statistics to the next

log = logging.getLogger(__name__)

Item = TypeVar("Item")


class Server(LanguageServer):
    """Serves one client; its session may have been started before it was made."""

    protocol: Protocol
    greeting: Greeting

    def __init__(self, session: Session) -> None:
        # pygls logs parameters and whole messages, which are the user's text.
        logging.getLogger("pygls").setLevel(logging.CRITICAL + 1)
        super().__init__(
            NAME,
            None,  # type: ignore[arg-type]  # pygls leaves it out
            types.TextDocumentSyncKind.Incremental,
            protocol_cls=Protocol,
            converter_factory=strict_converter,
        )
        self.session = session
        self.last_uri = ""  # that was asked for
        self.last_fault = ""  # why that got no answer of the engine's
        self.edits = next_edit.EditFollower(self._folder_of)
        self.statistics = Statistics()
        self.outcomes = Outcomes(self.statistics, lambda uri: self.workspace.opened(uri))
        session.save_counts = self.statistics.save

    def initialize(self, message: object) -> bool:
        """Answer a request to initialize; False if its parameters are none."""
        greeting = greet(message, self.session, self.session.send)
        if greeting is not None:
            self.begin(greeting)
        return greeting is not None

    def begin(self, greeting: Greeting) -> None:
        """Serve the client that has been greeted."""
        self.greeting = greeting
        workspace = Workspace(greeting.roots, greeting.encoding, self._on_change, self._on_edited)
        self.protocol.adopt(workspace)
        if self.session.settings.current.menu_completion:
            self.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions())(_menu)

    def _on_change(self, uri: str) -> None:
        self.session.scheduler.outdate(uri)
        self.session.indexes.touched(uri)

    def _on_edited(self, document: Document) -> None:
        if self.session.settings.current.next_edit:
            self.edits.follow(document)
        if self.session.settings.current.statistics:
            self.outcomes.changed(document)

    @property
    def workspace(self) -> Workspace:
        """What the client has open."""
        workspace = self.protocol.workspace
        assert isinstance(workspace, Workspace), "initialize comes first"
        return workspace

    def _folder_of(self, uri: str) -> str | None:
        """Return the workspace folder of a document, None for one that is excluded."""
        roots, exclude = self.workspace.roots, self.session.settings.current.exclude
        is_out = any(is_excluded(name, exclude) for name in names_of(uri, roots))
        return None if is_out else place_in(uri, roots)[0]

    def edited(self, uri: str) -> Document | None:
        """Return the document if its next edits are wanted."""
        settings = self.session.settings.current
        is_wanted = settings.enabled and settings.next_edit
        return self.workspace.completable(uri) if is_wanted else None

    async def find_edits(
        self, document: Document, row: int, *, is_asked: bool
    ) -> "list[ProposedEdit]":
        """Return the next edits in `document`; less sure ones, too, for whoever asks by hand."""
        show = self.session.settings.current.show
        show = ASKED if is_asked and show != "off" else show
        return await self.edits.find(document, row, show)

    def look_later(self, n_looks: int = 1) -> None:
        """See now and then what became of what was taken, and have the counts written."""

        def look() -> None:
            self.look_later(n_looks + 1)
            self.outcomes.look()
            if n_looks % SAVE_LOOKS == 0:
                asyncio.get_running_loop().run_in_executor(None, self.session.keep_counts)

        asyncio.get_running_loop().call_later(LOOK_S, look)

    async def finish_edit(
        self, params: types.InlineCompletionParams
    ) -> list[types.InlineCompletionItem]:
        """Return the rest of an edit that is due at the cursor, where nothing else is offered."""
        document, settings = self.edited(params.text_document.uri), self.session.settings.current
        rest = await self.edits.finish(document, params.position, settings.show) if document else ""
        if not (document and rest):
            return []
        snapshot, version = document.snapshot(params.position), document.version
        request = request_of(snapshot, self.workspace.roots, settings.deadline_ms)
        if settings.silent_in:
            from assistant.source.open_trees import OpenTrees

            if await asyncio.to_thread(OpenTrees().scope, request) in settings.silent_in:
                return []
        at = request.offset
        found = Completion(
            text=rest, start=at, end=at, source="edit", finish_reason="stop", logprob=0.0
        )
        return convert.inline_items(snapshot, [found]) if document.version == version else []

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Log one line where pygls pops up a message."""
        log.warning("server error: %s", describe(error))

    async def suggest(
        self,
        params: types.InlineCompletionParams | types.CompletionParams,
        to_items: Callable[[Snapshot, Sequence[Completion]], list[Item]],
        *,
        n: int = 1,
        selected: types.SelectedCompletionInfo | None = None,
    ) -> list[Item] | None:
        """Return at most `n` suggestions for a request, or None if it has become pointless.

        Several are for whoever asks by hand: they are shown what there is, however unsure.

        No later message is handled before this waits for the first time.
        """
        self.last_uri, self.last_fault = params.text_document.uri, ""
        try:
            return await self._suggest(params, to_items, n, selected)
        except TimeoutError:
            log.warning("no suggestion: the engine is overdue")
            self.last_fault = "the model took too long"
        except Exception as error:  # noqa: BLE001  the border: an editor gets silence, not a fault
            log.warning("no suggestion: %s", describe(error))
            self.last_fault = "the request failed; the log says where"
        return []

    async def _suggest(
        self,
        params: types.InlineCompletionParams | types.CompletionParams,
        to_items: Callable[[Snapshot, Sequence[Completion]], list[Item]],
        n: int,
        selected: types.SelectedCompletionInfo | None,
    ) -> list[Item] | None:
        settings = self.session.settings.current
        document = self.workspace.completable(params.text_document.uri)
        if document is None or not settings.enabled:
            return []
        snapshot, version = document.snapshot(params.position), document.version
        choice = convert.choose(snapshot, selected)
        roots = self.workspace.roots
        self.session.indexes.sync(roots, self.workspace.opened)
        self.session.models.asked()
        seen = choice.after if choice else snapshot
        # A menu filters an answer by what was typed since, and asks no second time for null.
        job = ScheduledRequest(
            key=(to_items, document.uri),
            uri=document.uri,
            request=request_of(seen, roots, settings.deadline_ms, n),
            survives_edits=to_items is convert.menu_items,
        )
        self.session.scheduler.submit(job)
        try:
            async with asyncio.timeout(settings.deadline_ms / 1000 + OVERDUE_S):
                completions = await asyncio.wrap_future(job.future)
        except (TimeoutError, asyncio.CancelledError):
            self.session.scheduler.drop(job)
            raise
        if completions is None:
            return None
        self.session.n_answered += 1
        found = choice.continued(completions) if choice else completions
        if settings.statistics and document.version == version:
            ms = 1_000 * (time.monotonic() - job.received_s)
            self.outcomes.answered(document, snapshot, found, ms)
        return to_items(snapshot, found)


def request_of(
    snapshot: Snapshot, roots: Sequence[str], deadline_ms: int, n: int = 1
) -> CompletionRequest:
    """Return what the engine is asked; nothing below knows the protocol."""
    root, path = place_in(snapshot.uri, roots)
    return CompletionRequest(
        path=path,
        repository=(local_path(root) or PurePath()).name,
        document=snapshot.uri,
        names=names_of(snapshot.uri, roots),
        text=snapshot.text,
        offset=snapshot.offset,
        language=snapshot.language,
        n=n,
        deadline_ms=deadline_ms,
    )


def create_server(session: Session, greeting: Greeting | None = None) -> Server:
    """Return a server with all features, for a client that has been greeted or will be."""
    server = Server(session)
    server.feature(types.INITIALIZED)(_initialized)
    server.feature(types.SHUTDOWN)(_shut_down)
    server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)(_configure)
    server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())(_inline)
    server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)(_change_folders)
    server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)(_change_files)
    server.feature(types.TEXT_DOCUMENT_DID_SAVE)(_note_file)
    server.feature(types.TEXT_DOCUMENT_DID_CLOSE)(_close)
    options = types.CodeActionOptions(code_action_kinds=next_edit.KINDS)
    server.feature(types.TEXT_DOCUMENT_CODE_ACTION, options)(_code_actions)
    server.feature(next_edit.INLINE_EDIT)(_inline_edit)
    for name, handler in zip(COMMANDS, (_dismiss, _status, _why, _models, _use_model), strict=True):
        server.command(name)(handler)
    server.protocol.on_answer = session.answered
    server.protocol.on_initialize = server.initialize
    if greeting is not None:
        server.begin(greeting)
    return server


def _initialized(ls: Server, _: types.InitializedParams) -> None:
    ls.session.indexes.start(
        ls.workspace.roots,
        ls.session.settings.current,
        shows_progress=ls.greeting.shows_progress,
        watches=ls.greeting.watches_files,
    )
    ls.session.models.set_roots(ls.workspace.roots)
    ls.look_later()


def _change_folders(ls: Server, params: types.DidChangeWorkspaceFoldersParams) -> None:
    for folder in params.event.added:  # pygls has taken away again what was removed and added
        ls.workspace.add_folder(folder)
    ls.edits.forget_all()
    ls.session.indexes.set_roots(ls.workspace.roots)
    ls.session.models.set_roots(ls.workspace.roots)


def _change_files(ls: Server, params: types.DidChangeWatchedFilesParams) -> None:
    ls.session.indexes.files_changed(change.uri for change in params.changes)


def _close(ls: Server, params: types.DidCloseTextDocumentParams) -> None:
    ls.edits.forget(params.text_document.uri)
    ls.outcomes.forget(params.text_document.uri)
    _note_file(ls, params)


def _note_file(
    ls: Server, params: types.DidSaveTextDocumentParams | types.DidCloseTextDocumentParams
) -> None:
    ls.session.indexes.files_changed([params.text_document.uri])


def _shut_down(ls: Server, _: None) -> None:
    ls.session.is_shut_down = True


def _configure(ls: Server, params: types.DidChangeConfigurationParams) -> None:
    ls.session.configure(params.settings)
    ls.edits.forget_all()
    ls.session.indexes.configure(ls.session.settings.current, ls.workspace.roots)


async def _inline(
    ls: Server, params: types.InlineCompletionParams
) -> types.InlineCompletionList | None:
    is_invoked = params.context.trigger_kind is types.InlineCompletionTriggerKind.Invoked
    selected = params.context.selected_completion_info
    found = await ls.suggest(
        params, convert.inline_items, n=MAX_ALTERNATIVES if is_invoked else 1, selected=selected
    )
    if found == [] and selected is None:
        found = await ls.finish_edit(params)
    return None if found is None else types.InlineCompletionList(found)


async def _inline_edit(ls: Server, params: dict[str, Any]) -> dict[str, Any]:
    """Answer sidekick.nvim and our own clients: edits, or none, never an error."""
    found = []
    if asked := next_edit.read_inline_edit(params, ls.protocol._converter):
        identifier, position, is_by_hand = asked
        document = ls.edited(identifier.uri)
        is_current = document is not None and identifier.version in (None, document.version)
        if document and is_current and not next_edit.is_typing_word(document, position):
            found = await ls.find_edits(document, position.line, is_asked=is_by_hand)
    if not (found and document):
        return {"edits": []}
    ls.edits.note_offer(document, found[0])
    return {"edits": [next_edit.inline_edit(document, found[0])]}


async def _code_actions(ls: Server, params: types.CodeActionParams) -> list[types.CodeAction]:
    document, wanted = ls.edited(params.text_document.uri), params.context.only
    # Some clients do all that is answered to "organize imports" on saving.
    if document is None or not next_edit.kinds_among(wanted):
        return []
    rows = range(params.range.start.line, params.range.end.line + 1)
    found = await ls.find_edits(document, rows.start, is_asked=True)  # who opens a menu looks
    ls.session.indexes.sync(ls.workspace.roots, ls.workspace.opened)
    index = ls.session.indexes.index_of(document.uri)
    elsewhere = await ls.edits.find_elsewhere(
        document, ls.workspace, index, ls.session.settings.current
    )
    actions = next_edit.code_actions(document, rows, found, elsewhere)
    return [action for action in actions if action.kind in next_edit.kinds_among(wanted)]


def _dismiss(ls: Server, *_: object) -> None:
    ls.edits.dismiss()


async def _menu(ls: Server, params: types.CompletionParams) -> types.CompletionList | None:
    is_on = ls.session.settings.current.menu_completion
    found = await ls.suggest(params, convert.menu_items) if is_on else []
    return None if found is None else types.CompletionList(is_incomplete=True, items=found)


def _why(ls: Server, *arguments: object) -> dict[str, Any]:
    """Answer how the last suggestion or silence came about, in the document `uri` or in any."""
    uri = models.argument(arguments, "uri") or ls.last_uri
    document = ls.workspace.opened(uri)
    declined = ls.workspace.why_declined(uri) if uri else ""
    if not ls.session.settings.current.enabled:
        declined = "suggestions are switched off"
    if declined := declined or (ls.last_fault if uri == ls.last_uri else ""):
        return {"outcome": declined, "words": declined}
    return ls.session.why(document.uri if document else "")


async def _models(ls: Server, *arguments: object) -> dict[str, Any]:
    folder = models.folder_named(arguments, ls.workspace.roots)
    explicit = ls.session.settings.current.model
    return await asyncio.to_thread(models.list_models, explicit, folder)


async def _use_model(ls: Server, *arguments: object) -> dict[str, Any]:
    folder = models.folder_named(arguments, ls.workspace.roots)
    explicit, name = ls.session.settings.current.model, models.argument(arguments, "name")
    answer = await asyncio.to_thread(models.use_model, explicit, name, folder)
    ls.session.models.look()
    return answer


def _status(ls: Server, *arguments: object) -> dict[str, Any]:
    folder = models.folder_named(arguments, [])
    return {
        "engine": ls.session.engine_state,
        "enabled": ls.session.settings.current.enabled,
        "documents": len(ls.workspace.text_documents),
        "answered": ls.session.n_answered,
        "suggestions": {name: ls.statistics.since_start[name] for name in SHOWN_COUNTS},
        "model": ls.session.model_status(folder),
        "index": ls.session.indexes.status(),
        "remote": ls.session.remote.status() if ls.session.remote else {"mode": "off"},
        "positionEncoding": ls.workspace.position_encoding,
    }
