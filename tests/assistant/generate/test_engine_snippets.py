"""The engine shows the network code of other files: only where it was trained on that."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from assistant.generate.engine import Engine
from assistant.index.builder import build_from_texts
from assistant.index.folder_index import FolderIndex
from assistant.request import CompletionRequest
from assistant.settings import Settings
from assistant.snippets.cache import SnippetCache
from tests.scripted import scripted_backend

STORE = "class ParcelStore:\n    def put_parcel(self, parcel, shelf):\n        return parcel\n"
MAIN = "from shop.store import ParcelStore\n\nstore = ParcelStore(1)\n"


def engine(folder: Path, *, snippet_tokens: int, **changes: bool) -> Engine:
    """Return an engine over a small repository, whose network knows `MAIN` by heart."""
    build_from_texts(folder, [("shop/store.py", STORE), ("shop/main.py", MAIN)])
    memory = FolderIndex(folder)
    backend = scripted_backend(MAIN, suffix_tokens=64, snippet_tokens=snippet_tokens)
    made = Engine(
        Settings(show="eager", **changes),  # type: ignore[arg-type]
        open_model=lambda *_: backend,
        index=lambda _: memory,
        snippets=SnippetCache(is_waiting=True),
    )
    made.load()
    return made


def asked(made: Engine) -> Mapping[str, int]:
    """Return what the prompt at the end of a half-written line held."""
    offset = MAIN.index("(1)")
    request = CompletionRequest(
        path="shop/main.py", text=MAIN[:offset] + "\n", offset=offset, deadline_ms=60_000
    )
    return made.respond(request).trace.prompt


def test_network_trained_on_snippets_is_shown_them(tmp_path: Path) -> None:
    plain = asked(engine(tmp_path / "a", snippet_tokens=0))
    shown = asked(engine(tmp_path / "b", snippet_tokens=100))
    assert plain["snippets shown"] == 0
    assert shown["snippets shown"] == 1
    assert plain["all"] + 10 < shown["all"] <= plain["all"] + 100


@pytest.mark.parametrize("off", ["snippets", "index"])
def test_setting_switches_them_off(off: str, tmp_path: Path) -> None:
    made = engine(tmp_path / "a", snippet_tokens=100, **{off: False})
    assert asked(made)["snippets shown"] == 0
