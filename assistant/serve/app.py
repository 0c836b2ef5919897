"""A team's server: its addresses, the queue before the one network, and what goes over the wire.

That is OpenAI's requests, checked, its answers and errors, and Prometheus' counts. What would
change the text and is not done here is refused by name, never passed over.
"""

import asyncio
import functools
import json
import logging
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import aclosing, closing
from dataclasses import dataclass
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
from assistant.serve.callers import Callers, Turns
from model.config import ConfigError, from_table
from model.files import parse_json

MAX_STOPS, MAX_STOP_CHARS = 16, 100
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
_FIXED = ("temperature", "presence_penalty", "frequency_penalty", "echo")
_RANGES = {"n": (1, 8), "max_tokens": (1, 1 << 20)} | dict.fromkeys(_FIXED, (0, 0))
_BOUNDS_S = ("0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "+Inf")
Table = dict[str, Any]
MAX_BODY_BYTES = 1 << 20
CONTEXT_SHARE = 4  # an answer takes at most one part in so many of the network's context

Endpoint = Callable[[Request], Awaitable[Response]]
Parts = AsyncGenerator[Table]
Put = Callable[[Table], object]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptRequest:
    """What a client asks for, by OpenAI's names; `path` is ours."""

    model: str
    prompt: str
    suffix: str = ""
    path: str = ""  # of the file, as the network is told
    n: int = 1
    max_tokens: int = 16
    stop: tuple[str, ...] = ()
    stream: bool = False
    stream_options: tuple[str, ...] = ()  # those that are on
    temperature: float = 0
    presence_penalty: float = 0
    frequency_penalty: float = 0
    echo: bool = False
    # Without effect where the likeliest text is written.
    seed: int = 0
    top_p: float = 1
    user: str = ""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                only = f"{low}: nothing else is done here" if low == high else f"in {low}..{high}"
                raise ConfigError(f"{name} must be {only}")
        lengths = [len(text) for text in self.stop]
        if len(lengths) > MAX_STOPS or not all(1 <= n <= MAX_STOP_CHARS for n in lengths):
            raise ConfigError(f"stop takes {MAX_STOPS} texts of 1..{MAX_STOP_CHARS} characters")


def parse_request(data: bytes, model: str) -> PromptRequest:
    """Return what a body asks of the model that is served; HTTPException says what is wrong."""
    try:
        if not isinstance(table := parse_json(data), dict):
            raise HTTPException(400, "the body is not a JSON object")
        table = {name: value for name, value in table.items() if value is not None}
        if isinstance(table.get("stop"), str):
            table["stop"] = [table["stop"]]
        if isinstance(options := table.get("stream_options"), dict):
            table["stream_options"] = [name for name, is_on in options.items() if is_on]
        asked = from_table(PromptRequest, table)
    except ConfigError as error:
        raise HTTPException(400, str(error)) from error
    except ValueError as error:
        raise HTTPException(400, "the body is not JSON") from error
    if asked.model != model:
        raise HTTPException(404, f"this server has the model {model!r} and no other")
    return asked


def part_of(index: int, text: str, reason: str | None = None) -> Table:
    """Return what comes next of a choice; with `reason`, its end."""
    return {"choices": [{"index": index, "text": text, "logprobs": None, "finish_reason": reason}]}


def error_table(error: HTTPException) -> Table:
    """Return what OpenAI's clients read of an error."""
    kind = "invalid_request_error" if error.status_code < 500 else "server_error"
    code = _CODES.get(error.status_code)
    return {"error": {"message": error.detail, "type": kind, "param": None, "code": code}}


def write_event(table: Table) -> str:
    """Return one event of a stream."""
    return f"data: {json.dumps(table, ensure_ascii=False)}\n\n"


class Metrics(defaultdict[str, float]):
    """Counts of one server since its start, by series; they hold no text and no key."""

    def __init__(self) -> None:
        super().__init__(float)

    def count_answer(self, seconds: float, cost: Table) -> None:
        """Count a completion that was written to its end."""
        for name in ("prompt_tokens", "completion_tokens"):
            self[f"{name}_total"] += cost["usage"][name]
        for bound in _BOUNDS_S:
            self[f'completion_seconds_bucket{{le="{bound}"}}'] += seconds <= float(bound)
        self["completion_seconds_sum"] += seconds
        self["completion_seconds_count"] += 1

    def text(self) -> str:
        """Return them as Prometheus reads them."""
        return "".join(f"foretype_{name} {value:.15g}\n" for name, value in self.items())


class CompletionServer:
    """One loaded model, asked by many; `app` is what a web server runs."""

    def __init__(
        self,
        backend: LocalBackend,
        callers: Callers,
        deadline_s: int,
        network: Executor,
        host: str = "127.0.0.1",
    ) -> None:
        """`deadline_s` is for an answer, its turn waited for; `network` is one thread.

        `host` is the address at which it listens.
        """
        self._backend, self._callers, self._deadline_s = backend, callers, deadline_s
        self._network, self._turns, self._metrics = network, Turns(), Metrics()
        routes = [
            Route("/v1/completions", self._guarded(self._complete), methods=["POST"]),
            Route("/v1/models", self._guarded(self._list_models)),
            Route("/metrics", self._guarded(self._show_metrics)),
            Route("/health", self._say_healthy),
        ]
        # Without keys, no page in a browser may reach us by a name of its own.
        names = ["*"] if callers.digests else ["localhost", "127.0.0.1", "[::1]", host]
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
        asked = parse_request(await _read_body(request), self._backend.label)
        caller: bytes = request.state.caller
        self._callers.count(caller)
        parts = self._write(asked, caller)
        head: Table = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion"}
        head |= {"created": int(time.time()), "model": asked.model}
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
    usage = {"prompt_tokens": len(job.prompt.ids), "completion_tokens": n_written}
    return {"choices": [], "usage": usage | {"total_tokens": sum(usage.values())}}


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
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind.strip().lower() != "application/json":
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
            yield write_event(head | first)
            async for part in parts:
                if says_cost or "usage" not in part:
                    yield write_event(head | part)
        except Exception as error:  # noqa: BLE001
            yield write_event(error_table(_fault(error)))
    yield "data: [DONE]\n\n"


def _fault(error: Exception) -> HTTPException:
    """Return what to say of an error of ours; its text, which may hold what was asked, is lost."""
    log.error("a request failed: %s", type(error).__name__)
    return HTTPException(500, "the server failed; its log says how")


def _answer_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse(error_table(error), error.status_code, error.headers)
