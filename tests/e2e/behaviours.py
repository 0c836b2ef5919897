"""The rows of the table of editors: what inline completion must do in each of them, step by step.

The texts expected are those that stand five times in the file and in the repository, or whatever
the model has.
"""

import signal
import time
from collections.abc import Callable
from functools import partial

from tests.e2e.conformance import (
    CALL,
    CODE,
    OTHER,
    START,
    WIDE,
    Behaviour,
    Editor,
    UnsupportedError,
    holds,
    see,
    see_what_is_sure,
)
from tests.e2e.offline import without_network
from tests.waiting import wait_for

SETTLE_S = 0.8  # longer than any editor waits before it asks
MOST = 5  # texts for whoever asks by hand


def begin(editor: Editor, name: str, typed: str = "vo") -> None:
    """Type the beginning of the call in a new file, and see the rest of it in grey."""
    editor.fresh(name, START)
    editor.type(f"result = {typed}")
    see(editor, CALL[len(typed) :])


def appears(editor: Editor) -> None:
    begin(editor, "appears.py", "v")
    assert editor.text().rstrip("\n").endswith("result = v")


def typed_along(editor: Editor) -> None:
    begin(editor, "along.py", "v")
    editor.type("olum")
    see(editor, CALL[5:])
    editor.press("accept")
    holds(editor, f"result = {CALL}")


def typed_along_and_accepted_at_once(editor: Editor) -> None:
    begin(editor, "at_once.py", "v")
    editor.type("ol")
    editor.press("accept")
    holds(editor, f"result = {CALL}")


def diverging(editor: Editor) -> None:
    begin(editor, "diverging.py")
    editor.type("z")
    see(editor, "")
    editor.press("leave")
    assert editor.text().rstrip("\n").endswith("result = voz")


def slow_and_old(editor: Editor) -> None:
    """The server is held up, asked twice, and let go on."""
    editor.fresh("slow.py", START)
    editor.type("resul")
    time.sleep(SETTLE_S)
    editor.server.signal(signal.SIGSTOP)
    try:
        editor.type("t = v")
        time.sleep(SETTLE_S)  # asked, not yet answered
        editor.press("back")
        editor.type("pr")
        time.sleep(SETTLE_S)
    finally:
        editor.server.signal(signal.SIGCONT)
    wait_for(lambda: editor.ghost() != CALL[1:], "no old answer", 5)
    time.sleep(2 * SETTLE_S)  # by now the old answer would have come
    assert not editor.ghost().startswith(CALL[1:])
    for _ in range(2):
        editor.press("back")
    editor.type("vo")
    see(editor, CALL[2:])


def accepted(editor: Editor) -> None:
    begin(editor, "accepted.py")
    editor.press("accept")
    holds(editor, f"result = {CALL}")
    assert editor.saved().decode().rstrip("\n") == f"{CODE}result = {CALL}"


def accepted_by_word(editor: Editor) -> None:
    begin(editor, "word.py")
    editor.press("word")
    holds(editor, "result = volume")
    see(editor, CALL[6:])
    editor.press("accept")
    holds(editor, f"result = {CALL}")


def accepted_by_line(editor: Editor) -> None:
    begin(editor, "line.py")
    editor.press("line")
    holds(editor, f"result = {CALL}")


def turned_to(editor: Editor, is_meant: Callable[[str], bool], why: str) -> str:
    """Ask by hand, and turn to a text of a kind; the model need not have one."""
    editor.press("ask")
    text = wait_for(editor.ghost, "a suggestion, asked for by hand", 60)
    for _ in range(MOST):
        if is_meant(text):
            return text
        before = text
        editor.press("next")
        wait_for(lambda: editor.ghost() not in ("", before), "another", 30)  # noqa: B023
        text = editor.ghost()
    raise UnsupportedError(why)


def several_lines(editor: Editor) -> None:
    editor.fresh("lines.py", START + b"def last(width, height, depth):")
    editor.type("\n")
    time.sleep(SETTLE_S)
    before = editor.text()
    turned_to(editor, lambda text: "\n" in text, "the model had no text of several lines")
    time.sleep(SETTLE_S)  # what was asked for may have come after what came by itself
    shown = editor.ghost()
    editor.press("accept")
    spaced = " ".join((before.rstrip("\n ") + " " + shown).split())
    try:
        wait_for(lambda: " ".join(editor.text().split()).endswith(spaced[-200:]), "the lines", 15)
    except AssertionError as error:
        raise AssertionError(f"{error}: {shown!r}; there is {editor.text()[-300:]!r}") from None


def undone(editor: Editor) -> None:
    begin(editor, "undone.py")
    editor.press("accept")
    holds(editor, f"result = {CALL}")
    editor.press("undo")
    wait_for(lambda: not editor.text().rstrip().endswith(CALL), "the text before accepting")
    assert "print(spoken, 5)" in editor.text()


def asked(editor: Editor) -> None:
    """Where nothing comes by itself, and to the last of the texts and back to the first."""
    editor.fresh("asked.py", START)
    editor.type("zq = zv - ")
    time.sleep(2 * SETTLE_S)
    assert editor.ghost() == ""
    editor.press("ask")
    first = wait_for(editor.ghost, "a suggestion, asked for by hand", 60)
    seen = [first]
    for _ in range(MOST):
        editor.press("next")
        wait_for(lambda: editor.ghost() not in ("", seen[-1]), "another", 30)
        if (text := editor.ghost()) == first:
            break
        seen.append(text)
    assert 2 <= len(set(seen)) == len(seen) <= MOST
    editor.press("previous")
    see(editor, seen[-1])
    editor.press("accept")
    holds(editor, f"zq = zv - {seen[-1]}")


def cycled(editor: Editor) -> None:
    editor.fresh("cycled.py", START)
    editor.type("result = ")
    see(editor, CALL)
    editor.press("next")
    wait_for(lambda: editor.ghost() not in ("", CALL), "another", 60)
    other = editor.ghost()
    editor.press("previous")
    see(editor, CALL)
    editor.press("next")
    see(editor, other)
    editor.press("accept")
    holds(editor, f"result = {other}")


def dismissed(editor: Editor) -> None:
    begin(editor, "dismissed.py")
    editor.press("dismiss")
    see(editor, "")
    time.sleep(SETTLE_S)
    assert editor.ghost() == ""


def bracketed(editor: Editor) -> None:
    editor.fresh("bracketed.py", START)
    editor.type("border = perimeter(")
    if not editor.text().rstrip("\n").endswith(")"):  # no brackets are closed by this editor
        editor.type(")")
        editor.press("left")
    wait_for(editor.ghost, "a suggestion")
    editor.press("accept")
    holds(editor, f"border = {OTHER}")


def on_disk(editor: Editor, name: str, content: str, typed: str, rest: str) -> None:
    """Type, take what is offered, and compare the file with what must be in it."""
    editor.fresh(name, content.encode())
    eol = "\r\n" if "\r\n" in content else "\n"
    editor.type(typed)
    see(editor, rest)
    editor.press("accept")
    holds(editor, typed.rpartition("\n")[2] + rest)
    expected = content + typed.replace("\n", eol) + rest
    assert editor.saved().decode().rstrip("\r\n") == expected


def crlf(editor: Editor) -> None:
    on_disk(editor, "crlf.py", CODE.replace("\n", "\r\n"), "yes = 1\nresult = vo", CALL[2:])


def tabs(editor: Editor) -> None:
    content = CODE.replace("    ", "\t") + "def f():\n\tx = 1\n\ty\t= 2\n"
    on_disk(editor, "tabs.py", content, "result = vo", CALL[2:])


def beyond_ascii(editor: Editor, encoding: str) -> None:
    editor.speak(encoding)
    on_disk(editor, f"wide_{encoding}.py", CODE, "spoken = ", WIDE)
    editor.fresh(f"wide_line_{encoding}.py", f"{CODE}s = '🦊😀'; result".encode())
    editor.type(" = vo")
    turned_to(editor, lambda text: text == CALL[2:], "the model had no such text")
    editor.press("accept")
    holds(editor, f"s = '🦊😀'; result = {CALL}")


def form_feed(editor: Editor) -> None:
    on_disk(editor, "feed.py", f"a = 1\n\x0c\nb = 2\n{CODE}", "result = vo", CALL[2:])


def goes_on_typing(editor: Editor, text: str) -> None:
    """Wait for this text, as a person would go on typing until there is one."""
    for _ in range(30):
        try:
            return see(editor, text, seconds=2)
        except AssertionError:
            editor.type("z")
            editor.press("back")
    return see(editor, text)


def several_folders(editor: Editor) -> None:
    """Each has lines that the other lacks; the server knows both folders' own."""
    start = b"def g(alpha, beta):\n    archive = "
    editor.fresh("in_first.py", start)
    editor.type("su")
    see(editor, "mmarise_first(alpha, beta)")
    editor.second("in_second.py", start)
    editor.type("su")
    see(editor, "mmarise_second(alpha, beta)")
    editor.press("accept")
    holds(editor, "archive = summarise_second(alpha, beta)")


def offline(editor: Editor) -> None:
    if not without_network():
        raise UnsupportedError("the machine of this run cannot take the network from a program")
    begin(editor, "offline.py")
    assert editor.server.pids()
    assert not editor.server.has_network()


def read_only(editor: Editor) -> None:
    editor.read_only("readonly.py", START + b"result = ")
    time.sleep(SETTLE_S)
    assert editor.complaints() == ""
    assert editor.text().rstrip("\n").endswith("\nresult = ")


def untitled(editor: Editor) -> None:
    editor.untitled()
    editor.type("import os\n")
    editor.type(3 * "border = perimeter(left, right)\nprint(border)\n")
    editor.type("border = pe")
    turned_to(editor, lambda text: text == OTHER[2:], "the model had no such text")
    editor.press("accept")
    holds(editor, f"border = {OTHER}")


def many_documents(editor: Editor) -> None:
    for number in range(12):
        editor.fresh(f"many_{number}.py", START + b"n = %d\n" % number)
        if number in (0, 6, 11):
            editor.type("result = vo")
            see_what_is_sure(editor, CALL[2:])


def crash(editor: Editor) -> None:
    begin(editor, "crash.py")
    editor.server.signal(signal.SIGKILL)
    time.sleep(SETTLE_S)
    editor.fresh("after_crash.py", START)
    editor.type("result = vo")
    goes_on_typing(editor, CALL[2:])


BEHAVIOURS = [
    Behaviour("grey text appears", appears),
    Behaviour("typing along keeps it", typed_along),
    Behaviour(
        "typing along and accepting at once doubles nothing", typed_along_and_accepted_at_once
    ),
    Behaviour("another key clears it", diverging),
    Behaviour("a slow old answer does not replace a newer one", slow_and_old),
    Behaviour("accept, and the file on disk", accepted),
    Behaviour("accept a word", accepted_by_word),
    Behaviour("accept a line", accepted_by_line),
    Behaviour("several lines", several_lines),
    Behaviour("undo after accept", undone),
    Behaviour("asking by hand: up to five texts, one after another", asked),
    Behaviour("next and previous suggestion", cycled),
    Behaviour("dismiss", dismissed),
    Behaviour("an auto-closed bracket is replaced", bracketed),
    Behaviour("CRLF file", crlf),
    Behaviour("tabs", tabs),
    *(
        Behaviour(
            f"beyond ASCII and the astral plane, positions in {encoding}",
            partial(beyond_ascii, encoding=encoding),
        )
        for encoding in ("utf-8", "utf-16", "utf-32")
    ),
    Behaviour("form feed", form_feed),
    Behaviour("read-only file", read_only),
    Behaviour("buffer without a file", untitled),
    Behaviour("many documents", many_documents),
    Behaviour("several workspace folders", several_folders),
    Behaviour("no network", offline),
    Behaviour("the server crashes and comes back", crash),
]
