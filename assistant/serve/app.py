"""The server's addresses: who may ask, the queue before the one network, and what it writes."""

import asyncio
import functools
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import aclosing, closing
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from assistant.filter.postprocess import holds_secret
from assistant.generate.backend import Draft, LocalBackend
from assistant.request import Cancel, CompletionRequest
from assistant.serve import wire
from assistant.serve.callers import Callers, Turns
from assistant.serve.wire import PromptRequest, Table, part_of

MAX_BODY_BYTES = 1 << 20
CONTEXT_SHARE = 4  # an answer takes at most one part in so many of the network's context

log = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]
Parts = AsyncGenerator[Table]
Put = Callable[[Table], object]


class CompletionServer:
    """One loaded model, asked by many; `app` is what a web server runs."""

    def __init__(
        self, backend: LocalBackend, callers: Callers, deadline_s: int, network: Executor
    ) -> None:
        """`deadline_s` is for an answer, its turn waited for; `network` is one thread."""
        self._backend, self._callers, self._deadline_s = backend, callers, deadline_s
        self._network, self._turns, self._metrics = network, Turns(), wire.Metrics()
        routes = [
            Route("/v1/completions", self._guarded(self._complete), methods=["POST"]),
            Route("/v1/models", self._guarded(self._list_models)),
            Route("/metrics", self._guarded(self._show_metrics)),
            Route("/health", self._say_healthy),
        ]
        # Without keys, no page in a browser may reach us by a name of its own.
        names = ["*"] if callers.digests else ["localhost", "127.0.0.1", "[::1]"]
        hosts = Middleware(TrustedHostMiddleware, allowed_hosts=names)
        errors = {HTTPException: _answer_error}
        self.app = Starlette(routes=routes, middleware=[hosts], exception_handlers=errors)
        backend.keep_prompts(64)  # so many can type at once

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        """Ask for a key, answer every error in OpenAI's form, and count what was answered."""

        async def answer(request: Request) -> Response:
            try:
                request.state.caller = self._callers.find(request.headers.get("authorization", ""))
                response = await endpoint(request)
            except HTTPException as error:
                response = _answer_error(request, error)
            except ClientDisconnect:
                response = Response(status_code=499)  # for the counts
            except Exception as error:  # noqa: BLE001
                response = _answer_error(request, _fault(error))
            labels = f'path="{request.url.path}",status="{response.status_code}"'
            self._metrics[f"requests_total{{{labels}}}"] += 1
            return response

        return answer

    async def _say_healthy(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _show_metrics(self, _: Request) -> Response:
        self._metrics["waiting"] = self._turns.n_waiting
        return PlainTextResponse(self._metrics.text())

    async def _list_models(self, _: Request) -> Response:
        model = {"id": self._backend.label, "object": "model", "created": 0}
        return JSONResponse({"object": "list", "data": [model | {"owned_by": "foretype"}]})

    async def _complete(self, request: Request) -> Response:
        asked = wire.parse_request(await _read_body(request), self._backend.label)
        caller: bytes = request.state.caller
        self._callers.count(caller)
        parts = self._write(asked, caller)
        head = wire.answer_head(asked.model)
        if asked.stream:
            first = await _unless_gone(request, anext(parts))
            events = _events(head, first, parts, "include_usage" in asked.stream_options)
            return StreamingResponse(events, media_type="text/event-stream")
        return JSONResponse(head | await _unless_gone(request, _join(parts, asked.n)))

    async def _write(self, asked: PromptRequest, caller: bytes) -> Parts:
        """Yield what is written and then its cost; the turn does not wait for who reads it."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._turns.acquire(caller)
        except TimeoutError:
            raise HTTPException(503, "too many requests wait", {"Retry-After": "1"}) from None
        cancel, loop = Cancel(), asyncio.get_running_loop()
        found: asyncio.Queue[Any] = asyncio.Queue()

        def put(part: Table) -> None:
            loop.call_soon_threadsafe(found.put_nowait, part)

        deadline = started + self._deadline_s
        write = functools.partial(write_answer, self._backend, asked, deadline, cancel, put)
        writing = loop.run_in_executor(self._network, write)
        writing.add_done_callback(lambda _: self._turns.release())
        writing.add_done_callback(found.put_nowait)
        try:
            while (part := await found.get()) is not writing:
                yield part
            cost = await writing
            self._metrics.count_answer(time.monotonic() - started, cost)
            yield cost
        finally:
            cancel.set()
            writing.cancel()


def write_answer(
    backend: LocalBackend, asked: PromptRequest, deadline: float, cancel: Cancel, put: Put
) -> Table:
    """Give the texts to `put`, each as far as it is certain; return what they cost."""
    prompt, n = asked.prompt.replace("\r\n", "\n"), asked.n
    text = prompt + asked.suffix.replace("\r\n", "\n")
    request = CompletionRequest(path=asked.path, text=text, offset=len(prompt), n=n)
    most = min(asked.max_tokens, max(1, backend.info.block_size // CONTEXT_SHARE))
    job = backend.prepare(request, max_new_tokens=most, deadline=deadline, cancel=cancel)
    n_written, reasons = 0, []
    with closing(backend.drafts(job)) as drafts:
        for index, draft in zip(range(n), drafts, strict=False):
            reasons.append(_write_one(draft, index, asked, put))
            n_written += draft.new_tokens
    if not reasons:
        raise HTTPException(503, "nothing was written in time", {"Retry-After": "1"})
    for index in range(n):  # where the time was up, the last ones are empty
        put(part_of(index, "", reasons[index] if index < len(reasons) else "length"))
    return wire.cost_of(len(job.prompt.ids), n_written)


def _write_one(draft: Draft, index: int, asked: PromptRequest, put: Put) -> str:
    """Give out a text line by line, without secrets; return why it ends, in OpenAI's words."""
    text, n_given, reason = "", 0, ""
    n_held = max(map(len, asked.stop), default=1) - 1  # may be the beginning of a stop text
    with closing(draft.pieces):
        while not reason:
            try:
                text += next(draft.pieces)
            except StopIteration as end:
                reason = "stop" if end.value == "stop" else "length"
            places = [place for stop in asked.stop if (place := text.find(stop, n_given)) >= 0]
            if places:
                text, reason = text[: min(places)], "stop"
            whole = len(text) if reason else text.rfind("\n") + 1
            if holds_secret(asked.prompt, text[:whole]):
                return "content_filter"
            n_certain = whole if reason else min(whole, len(text) - n_held)
            if n_certain > n_given:
                put(part_of(index, text[n_given:n_certain]))
                n_given = n_certain
    return reason


async def _read_body(request: Request) -> bytes:
    """Return the body; HTTPException where it is too large, or said to be no JSON."""
    # A page in a browser can send nothing that says so, unless it asks first.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "the body must be application/json")
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY_BYTES:
            raise HTTPException(413, f"a body has at most {MAX_BODY_BYTES} bytes")
    return bytes(data)


async def _unless_gone(request: Request, work: Awaitable[Table]) -> Table:
    """Return what `work` does; it is cancelled, and ClientDisconnect raised, if nobody waits."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


async def _join(parts: Parts, n: int) -> Table:
    """Return the whole of an answer with `n` choices."""
    choices, cost = [part_of(index, "")["choices"][0] for index in range(n)], {}
    async for part in parts:
        cost = part
        for choice in part["choices"]:
            before = choices[choice["index"]]["text"]
            choices[choice["index"]] = choice | {"text": before + choice["text"]}
    return cost | {"choices": choices}


async def _events(head: Table, first: Table, parts: Parts, says_cost: bool) -> AsyncIterator[str]:
    """Yield a stream's events; an error that comes too late for a status is one of them."""
    async with aclosing(parts):
        try:
            yield wire.write_event(head | first)
            async for part in parts:
                if says_cost or "usage" not in part:
                    yield wire.write_event(head | part)
        except Exception as error:  # noqa: BLE001
            yield wire.write_event(wire.error_table(_fault(error)))
    yield "data: [DONE]\n\n"


def _fault(error: Exception) -> HTTPException:
    """Return what to say of an error of ours; its text, which may hold what was asked, is lost."""
    log.error("a request failed: %s", type(error).__name__)
    return HTTPException(500, "the server failed; its log says how")


def _answer_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse(wire.error_table(error), error.status_code, error.headers)
