"""The behaviours of `conformance` in a real Emacs, once with eglot and once with lsp-mode."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.behaviours import BEHAVIOURS
from tests.e2e.conformance import CALL, START, Behaviour, judge, see_what_is_sure
from tests.e2e.emacs import CLIENTS, InEmacs, need, type_timeout, wait_for_edit
from tests.waiting import wait_for

RESULTS = os.environ.get("FORETYPE_RESULTS")  # read before the fixtures take it away

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module", params=list(CLIENTS))
def scripted(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    _shared_cache_folder: Path,
) -> Iterator[tuple[str, InEmacs]]:
    client = str(request.param)
    need(client)
    driven = InEmacs(tmp_path_factory.mktemp("emacs"), client, _shared_cache_folder)
    try:
        driven.wait_for_client()
        yield f"Emacs, {client}", driven
    finally:
        driven.close()


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.title)
def test_emacs_conforms(
    scripted: tuple[str, InEmacs], behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    if RESULTS:
        monkeypatch.setenv("FORETYPE_RESULTS", RESULTS)
    name, editor = scripted
    if (reason := judge(behaviour, name, editor)) is not None:
        pytest.skip(reason)


@pytest.mark.parametrize("client", CLIENTS)
def test_what_setup_writes_makes_grey_text_appear(
    client: str, tmp_path: Path, _shared_cache_folder: Path
) -> None:
    need(client)
    driven = InEmacs(tmp_path, client, _shared_cache_folder, by_setup=True)
    try:
        driven.wait_for_client()
        driven.fresh("appears.py", START)
        driven.type("result = v")
        # By the file alone a beginning of the call, if the network is not loaded yet.
        wait_for(lambda: driven.ghost() and CALL[1:].startswith(driven.ghost()), "the call")
    finally:
        driven.close()


SAID = """(with-current-buffer "*Messages*" (goto-char (point-max))
  (and (re-search-backward "^foretype: .*" nil t) (match-string 0)))"""


def test_emacs_shows_the_statistics(scripted: tuple[str, InEmacs]) -> None:
    _, driven = scripted
    driven.run_command("foretype-stats")
    window = '(get-buffer-window "*foretype stats*")'
    text = f"(and {window} (with-current-buffer (window-buffer {window}) (buffer-string)))"
    wait_for(lambda: driven.ask(text).startswith("In the last 30 days"), "the statistics", 60)
    driven.ask(f"(progn (quit-window t {window}) t)")


def test_emacs_says_why_and_shows_less(scripted: tuple[str, InEmacs]) -> None:
    _, driven = scripted
    driven.ask('(progn (foretype-show "quiet") t)')
    driven.wait_for_client()
    assert driven.ask("(plist-get foretype-settings :show)") == "quiet"
    driven.fresh("why.py", START)
    driven.type("unheard_of = ")

    def told() -> bool:  # at first the network may not be loaded
        driven.run_command("foretype-why")
        return "not sure enough" in driven.ask(SAID)

    wait_for(told, "the reason", pause_s=1)
    driven.fresh("less.py", START)
    driven.type("result = vo")
    see_what_is_sure(driven, CALL[2:])


# An answer of another program that takes two seconds to read.
BUSY = """(progn (font-lock-ensure) (make-process
  :name "busy" :command '("sh" "-c" "sleep 0.5; echo answer") :filter (lambda (&rest _)
    (write-region "" nil "{flag}" nil 'silent)
    (let ((end (+ 2 (float-time)))) (while (< (float-time) end))))) t)"""


@pytest.mark.parametrize("shown", ["text", "edit"])
def test_emacs_dismisses_though_it_was_busy(
    scripted: tuple[str, InEmacs], shown: str, tmp_path: Path
) -> None:
    _, driven = scripted
    look = "(test-edit)" if shown == "edit" else "(test-ghost)"
    if shown == "edit":
        type_timeout(driven, "busy_edit.py")
    else:
        driven.fresh("busy.py", START)
        driven.type("result = vo")
    wait_for(lambda: driven.ask(look), "what is shown")
    flag = tmp_path / "busy"
    driven.ask(BUSY.replace("{flag}", str(flag)))
    wait_for(flag.exists, "Emacs at work")
    driven.press("dismiss")
    wait_for(lambda: driven.ask(look) == "", "end of what was shown", 20)


def test_emacs_draws_the_next_edit_goes_there_and_makes_it(scripted: tuple[str, InEmacs]) -> None:
    _, driven = scripted
    type_timeout(driven, "edits.py")
    wait_for_edit(driven, "4:, timeout=5|2:  next edit: line 4")
    driven.press("accept")
    wait_for_edit(driven, "4:, timeout=5")
    driven.press("accept")
    wait_for(lambda: driven.text().count("timeout=5") == 2 or None, "change")
    wait_for_edit(driven, "5:, timeout=5|4:  next edit: line 5")


def test_emacs_hides_a_dismissed_edit_for_good(scripted: tuple[str, InEmacs]) -> None:
    _, driven = scripted
    type_timeout(driven, "waved.py")
    wait_for_edit(driven, "4:, timeout=5|2:  next edit: line 4")
    driven.press("dismiss")
    wait_for(lambda: driven.ask("(test-edit)") == "", "end of the edit")
    driven.run_command("foretype-next-edit")
    wait_for(lambda: "no edit is due" in driven.ask(SAID) or driven.ask("(test-edit)"), "answer")
    assert "4:, timeout=5" not in driven.ask("(test-edit)")
