"""While a secret is typed in `race` mode, key by key, nothing of it reaches the server."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import pytest

from assistant.remote import payload
from assistant.request import CompletionRequest
from tests.remote_desk import Desk
from tests.remote_server import completion
from tests.secret_gallery import GALLERY, Planted, code, leaked

pytestmark = pytest.mark.slow
N_CHARS = 3  # of a secret that must not be seen
N_EVERY, STEP = 10, 4  # so many keys one by one, then every fourth, and the last two


def keys(item: Planted) -> Iterator[tuple[str, int]]:
    """Yield the file and the cursor: before the secret, at its keys, and at those behind it."""
    n = len(item.secret)
    n_head = len(item.head)
    typed = sorted({*range(min(n, n_head + N_EVERY)), *range(n_head, n, STEP), n - 1, n})
    for n_typed in typed:
        text = code(item, item.secret[:n_typed])
        yield text, text.index(item.before) + len(item.before) + n_typed
    after = text.index(item.before + item.secret + item.after) + len(
        item.before + item.secret + item.after
    )
    yield text, after  # the next line


def type_all(desk: Desk, items: Sequence[Planted]) -> list[tuple[str, list[str]]]:
    """Type all secrets at a race's remote side; return which pieces of which one were received."""
    found = []
    settings = desk.remote.settings
    desk.remote._sender._times = deque()  # any number a minute
    for item in items:
        begin = len(desk.server.received)
        for text, cursor in keys(item):
            request = CompletionRequest(path="a.py", text=text, offset=cursor)
            desk.remote.before(request, blocks=True)
            desk.settle()
        bodies = [each.body.decode() for each in desk.server.received[begin:]]
        frame = code(item, item.head)
        request = CompletionRequest(path="a.py", text=frame, offset=0)
        frame += payload.build_payload(request, settings, single_line=True).body.decode()
        if pieces := [piece for body in bodies for piece in leaked(item, body, frame, N_CHARS)]:
            found.append((item.name, pieces))
    return found


def test_no_key_sends_any_of_a_secret(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(completion("x"), mode="race")
    assert type_all(desk, GALLERY) == []
    assert len(desk.server.received) > len(GALLERY)  # what stands around it is asked about
    for body in (each.body.decode() for each in desk.server.received):
        assert "def first()" in body


def test_without_the_check_at_the_cursor_most_leave(
    open_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A control: it shows that the test above would see it."""
    monkeypatch.setattr(payload, "open_secret", lambda *_: None)
    desk = open_desk(completion("x"), mode="race")
    some = GALLERY[::10]
    assert len(type_all(desk, some)) > len(some) // 2
