"""What becomes of a suggestion in Emacs as other things happen around it; with eglot."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conformance import CALL, START
from tests.e2e.emacs import InEmacs, need, type_timeout, wait_for_edit
from tests.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DRAWN = """(seq-some (lambda (it) (overlay-get it 'after-string)) (overlays-in 1 (point-max)))"""
ASKS = "(and (memq 'foretype--after-command post-command-hook) t)"


@pytest.fixture(scope="module")
def emacs(
    tmp_path_factory: pytest.TempPathFactory, _shared_cache_folder: Path
) -> Iterator[InEmacs]:
    need("eglot")
    driven = InEmacs(tmp_path_factory.mktemp("emacs"), "eglot", _shared_cache_folder)
    try:
        driven.wait_for_client()
        yield driven
    finally:
        driven.close()


def show_call(emacs: InEmacs, name: str) -> None:
    """Have the rest of the call shown in a new file."""
    emacs.fresh(name, START)
    emacs.type("result = vo")
    wait_for(lambda: emacs.ghost() == CALL[2:] or None, f"call; {emacs.ghost()!r}", 20)


def test_words_are_taken_as_fast_as_the_key_repeats(emacs: InEmacs) -> None:
    show_call(emacs, "words.py")
    emacs._run("send-keys", "M-Right", "M-Right", "M-Right")
    wait_for(lambda: emacs.text().endswith("result = volume(width") or None, "three words")
    assert emacs.ghost() == ", height, depth)"


def test_another_major_mode_leaves_no_text_behind(emacs: InEmacs) -> None:
    show_call(emacs, "mode.py")
    emacs.ask("(progn (fundamental-mode) t)")
    assert emacs.ask(DRAWN) == ""


def test_a_next_edit_outside_of_what_is_narrowed_to_ends_nothing(emacs: InEmacs) -> None:
    type_timeout(emacs, "narrowed.py")
    wait_for_edit(emacs, "4:, timeout=5|2:  next edit: line 4")
    emacs.ask("(progn (narrow-to-region (line-beginning-position) (line-end-position)) t)")
    emacs.press("left")
    wait_for_edit(emacs, "")
    assert emacs.ask(ASKS) == "t"


def test_a_server_of_others_is_not_ended(emacs: InEmacs) -> None:
    emacs.fresh("others.py", START)
    others = "((symbol-function 'eglot--server-info) (lambda (_) '(:name \"pylsp\")))"
    emacs.ask(f'(cl-letf ({others}) (foretype-show "quiet") t)')
    assert emacs.ask("(and (eglot-current-server) (jsonrpc-running-p (eglot-current-server)) t)")


def test_an_answer_on_its_way_draws_nothing_where_the_mode_was_ended(emacs: InEmacs) -> None:
    show_call(emacs, "off.py")
    again = "(foretype--ask (current-buffer) (cl-incf foretype--tick))"
    emacs.ask(f"(progn {again} (foretype-mode -1) t)")
    emacs.ask("(progn (sleep-for 1) t)")
    assert emacs.ask(DRAWN) == ""
    asked = "(condition-case it (foretype-ask) (user-error (cadr it)))"
    assert "off in this buffer" in emacs.ask(asked)
    emacs.ask("(progn (foretype-mode 1) t)")


def test_lines_are_taken_one_by_one(emacs: InEmacs) -> None:
    emacs.fresh("lines.py", b"import os\n")
    items = r'(list (list (point) "volume(a,\n  b)" ""))'
    emacs.ask(f'(progn (setq foretype--items {items} foretype--after "") (foretype--draw) t)')
    emacs._run("send-keys", "M-Down", "M-Down")
    wait_for(lambda: emacs.text().endswith("\nvolume(a,\n  b)") or None, "two lines", 20)
