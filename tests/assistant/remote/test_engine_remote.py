"""The engine with a remote side: the local answer comes first, and comes as fast."""

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant.generate import engine as engine_module
from assistant.generate.cache import Suggestion, SuggestionCache
from assistant.generate.engine import Engine
from assistant.generate.response import Offer
from assistant.remote.policy import Remote
from assistant.remote.settings import RemoteSettings, open_configured, remote_settings_path
from assistant.request import Cancel, CompletionRequest
from assistant.settings import Settings
from tests.doubles import tiny_folder
from tests.programs import ROOT
from tests.remote_server import (
    END,
    RemoteServer,
    chunk,
    completion,
    event,
    head,
    plain,
    remote_server,
)
from tests.scripted import SAMPLE, scripted_backend
from tests.waiting import wait_for

OTHER = "def answer():\n    return "  # the scripted network does not know it


class Bench:
    """An engine with a scripted network, and a server beside it."""

    monkeypatch: pytest.MonkeyPatch

    def __init__(
        self,
        folder: Path,
        server: RemoteServer,
        changes: dict[str, Any],
        settings: dict[str, Any],
        *,
        load: bool = True,
    ) -> None:
        table: dict[str, Any] = {
            "mode": "fallback", "provider": "openai", "url": server.url, "model": "m",
            "send_code_to": "127.0.0.1",
        }  # fmt: skip
        (folder / "sample.py").write_text(SAMPLE)
        self.server = server
        self.remote = Remote(RemoteSettings(**(table | changes)), folder.joinpath)
        backend = scripted_backend()
        self.engine = Engine(Settings(**settings), lambda *_: backend, remote=self.remote)
        if load:
            self.engine.load()

    def complete(self, text: str, cancel: Cancel | None = None) -> list[tuple[str, str]]:
        found = self.engine.complete(request_at_end(text), cancel)
        return [(item.text, item.source) for item in found]

    def settle(self) -> None:
        wait_for(lambda: not self.remote._sender._inflight)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bench]]:
    opened: list[Bench] = []
    contexts: list[Any] = []

    def opener(
        *replies: Any, remote: dict[str, Any] | None = None, load: bool = True, **settings: Any
    ) -> Bench:
        contexts.append(remote_server(*replies))
        server = contexts[-1].__enter__()
        opened.append(Bench(tmp_path, server, remote or {}, settings, load=load))
        opened[-1].monkeypatch = monkeypatch
        return opened[-1]

    yield opener
    for item in opened:
        item.remote.close(20.0)
    for context in contexts:
        context.__exit__(None, None, None)


def test_only_asks_the_server_and_loads_no_model(bench: Callable[..., Bench]) -> None:
    own = bench(completion("42"), remote={"mode": "only"})
    assert not own.engine.base_name
    assert own.complete(OTHER) == [("42", "remote")]


@pytest.mark.parametrize(
    ("replies", "remote", "said"),
    [
        ([plain("500 Oops")], {}, "the server was not asked, or gave nothing of use"),
        (completion("42"), {"deny": ("sample.py",)}, "the server was not asked"),
        (completion("42"), {"trust": 0.05}, "not sure enough ("),
        (completion(")"), {}, "what came to mind would break the text"),
    ],
)
def test_why_the_server_alone_shows_nothing_is_said_of_the_server(
    replies: Any, remote: dict[str, Any], said: str, bench: Callable[..., Bench]
) -> None:
    """It was `nothing like the text before the cursor is known`, or `not sure enough (0%)`."""
    own = bench(replies, remote=remote | {"mode": "only"}, show="quiet")
    assert own.complete(OTHER) == []
    words = own.engine.last_trace().words()
    assert words.startswith(said)
    assert "(0%" not in words


def test_a_missing_local_model_is_made_up_for(bench: Callable[..., Bench]) -> None:
    own = bench(completion("41 + 1"), load=False, index=False)
    assert own.complete(OTHER) == [("41 + 1", "remote")]
    assert own.server.received[0].table["prompt"] == OTHER


def test_a_local_answer_is_not_kept_waiting(bench: Callable[..., Bench]) -> None:
    sure = {"min_confidence": 1.0}  # nothing local is sure enough
    own = bench(["hang"], remote=sure, show="eager")
    local = own.complete(SAMPLE[: SAMPLE.index("handle]")])
    assert local
    assert local[0][1] != "remote"


def told(text: str, logprob: float) -> list[Any]:
    """A completion of one piece, with the server's word on it."""
    word = {"token_logprobs": [logprob]}
    last = {"text": "", "finish_reason": "stop"}
    pieces = [{"text": text, "logprobs": word}, last]
    return [head(), *(chunk(event({"choices": [piece]})) for piece in pieces), END]


def request_at_end(text: str) -> CompletionRequest:
    return CompletionRequest(path="sample.py", text=text, offset=len(text), deadline_ms=60_000)


def unsure(bench: Bench) -> None:
    """Make the network's line likely wrong, in its own judgement."""
    bench.engine._cache.clear()
    original = engine_module.offer_lines

    def offer_lines(*args: Any) -> list[Offer]:
        return [
            offer._replace(suggestion=dataclasses.replace(offer.suggestion, probability=0.2))
            for offer in original(*args)
        ]

    bench.monkeypatch.setattr(engine_module, "offer_lines", offer_lines)


def test_the_next_keystroke_has_the_servers_answer(bench: Callable[..., Bench]) -> None:
    reply = [0.3, *told("hand_over(1)", -0.01)]  # too late for the first key
    own = bench(reply, remote={"min_confidence": 1.0}, show="eager")
    unsure(own)
    text = SAMPLE[: SAMPLE.index("handle]")]
    assert own.complete(text)[0][1] != "remote"
    own.settle()
    assert own.complete(text) == [("hand_over(1)", "remote")]
    assert own.complete(text + "hand") == [("_over(1)", "remote")]
    assert len(own.server.received) == 1


def test_the_surer_side_is_shown(bench: Callable[..., Bench]) -> None:
    own = bench(told("hand_over(1)", -6.0), remote={"min_confidence": 1.0}, show="eager")
    unsure(own)
    text = SAMPLE[: SAMPLE.index("handle]")]
    local = own.complete(text)
    own.settle()
    assert own.complete(text)[0][0] == local[0][0]


def test_what_the_local_side_believes_is_cut_as_one_types() -> None:
    before = CompletionRequest(path="a.py", text="x = ", offset=4)
    kept = Suggestion(
        text="name.first", source="network", finish_reason="stop", logprob=0.0,
        multi_line=False, beliefs=(("name.first", 0.5), ("name.last", 0.2), ("value", 0.1)),
    )  # fmt: skip
    cache = SuggestionCache()
    cache.put(before, (kept,))
    found = cache.get(CompletionRequest(path="a.py", text="x = name", offset=8))
    assert found is not None
    assert found[0].beliefs == ((".first", 0.5), (".last", 0.2))


def test_who_asks_for_several_gets_both_sides(bench: Callable[..., Bench]) -> None:
    own = bench(told("hand_over(1)", -0.01), remote={"min_confidence": 1.0}, show="eager")
    unsure(own)
    text = SAMPLE[: SAMPLE.index("handle]")]
    request = CompletionRequest(
        path="sample.py", text=text, offset=len(text), n=3, deadline_ms=60_000
    )
    own.engine.complete(request)
    own.settle()
    found = own.engine.complete(request)
    assert found[0].text == "hand_over(1)"
    assert any(item.text == "handle]" for item in found)


@pytest.mark.parametrize(
    ("show", "logprob", "is_shown"),
    [
        ("quiet", -0.01, True),
        ("quiet", -1.5, False),
        ("balanced", -0.3, True),
        ("balanced", -6.0, False),
        ("eager", -1.5, True),
    ],
)
def test_a_servers_text_must_be_sure_enough(
    show: str, logprob: float, is_shown: bool, bench: Callable[..., Bench]
) -> None:
    own = bench(told("41 + 1", logprob), remote={"mode": "only"}, show=show)
    assert own.complete(OTHER) == ([("41 + 1", "remote")] if is_shown else [])
    weighed = own.engine.respond(request_at_end(OTHER)).trace.remote
    assert (weighed["probability"] >= weighed["threshold"]) is is_shown


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("x = (|)\n", ")"),  # only what stands behind the cursor already
        ("def f():\n    |\n    return total\n", "return total"),  # the next line again
        ("x = 1|\n", ")"),  # closes what nobody opened
    ],
)
def test_a_sure_server_does_not_outvote_the_rules(
    text: str, typed: str, bench: Callable[..., Bench]
) -> None:
    own = bench(told(typed, -0.001), remote={"mode": "only"}, show="eager")
    offset = text.index("|")
    request = CompletionRequest(
        path="sample.py", text=text.replace("|", ""), offset=offset, deadline_ms=60_000
    )
    assert own.engine.complete(request) == []


def test_a_sure_local_answer_sends_nothing(bench: Callable[..., Bench]) -> None:
    own = bench(completion("x"), remote={"min_confidence": 0.0}, show="eager")
    assert own.complete(SAMPLE[: SAMPLE.index("handle]")])[0][1] != "remote"
    assert own.server.received == []


@pytest.mark.parametrize("settings", [{"allow_remote": False}, {"show": "off"}])
def test_restricted_settings_send_nothing(
    settings: dict[str, Any], bench: Callable[..., Bench]
) -> None:
    own = bench(completion("42"), remote={"mode": "race"}, **settings)
    own.complete(OTHER)
    own.settle()
    assert own.server.received == []


def test_files_that_are_never_completed_are_never_sent(
    tmp_path: Path, bench: Callable[..., Bench]
) -> None:
    own = bench(completion("42"), remote={"mode": "only"}, exclude=("sample.py",))
    assert own.complete(OTHER) == []
    assert own.server.received == []


def test_a_remote_text_goes_through_the_rules(bench: Callable[..., Bench]) -> None:
    own = bench(
        completion("ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"), remote={"mode": "only"}
    )
    assert own.complete(OTHER + '"') == []


def test_several_lines_are_asked_for_where_a_block_opens(bench: Callable[..., Bench]) -> None:
    own = bench(completion("\n    a = 1\n    return a"), remote={"mode": "only"})
    found = own.complete("def f():")
    assert own.server.received[0].table["stop"] != ["\n"]
    assert found
    assert found[0][0].count("\n") == 2


def test_a_cancelled_request_is_answered_with_nothing(bench: Callable[..., Bench]) -> None:
    own = bench(["hang"], remote={"mode": "only"})
    cancel = Cancel()
    cancel.set()
    assert own.complete(OTHER, cancel) == []


def test_off_is_the_default_and_opens_nothing(tmp_path: Path) -> None:
    assert open_configured(tmp_path.joinpath, pytest.fail) is None


def test_the_users_file_opens_it(tmp_path: Path) -> None:
    path = remote_settings_path()
    path.parent.mkdir(parents=True)
    path.write_text('mode = "race"\nprovider = "llamacpp"\n')
    said: list[str] = []
    remote = open_configured(tmp_path.joinpath, said.append)
    assert remote is not None
    assert said == [remote.complaint]
    remote.close()


PROGRAM = """
import sys
from assistant.cli.complete import main
code = main(["complete", "sample.py:2:8", "--model", "tiny"])
unwanted = {"http.client", "ssl", "asyncio", "assistant.remote.policy"}
loaded = unwanted & set(sys.modules)
sys.exit(f"{code} {sorted(loaded)}" if loaded or code > 1 else 0)
"""


def complaints(errors: str) -> str:
    """Leave out that there is nothing to suggest, which is up to the tiny model."""
    lines = errors.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("nothing to suggest"))


def test_with_the_remote_off_nothing_of_it_is_imported(tmp_path: Path) -> None:
    tiny_folder(tmp_path)
    (tmp_path / "sample.py").write_text("import os\nos.path\n")
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{PROGRAM}"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (run.returncode, complaints(run.stderr)) == (0, "")


def test_a_missing_client_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = RemoteSettings(mode="race", provider="openai", url="http://127.0.0.1:9", model="m")
    monkeypatch.setattr("assistant.remote.settings.load_remote_settings", lambda: settings)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said: list[str] = []
    assert open_configured(tmp_path.joinpath, said.append) is None
    assert re.search(r'needs httpx2: .* "foretype\[remote\]"', said[0])
