"""2026-11-30: an answer on its way drew a next edit again that had just been waved away, in Emacs.

Cause: one asked for by hand was taken whatever had happened since. In a real Emacs, in batch, with
the server's side played.
"""

import shutil
from pathlib import Path

import pytest

from tests.programs import run_program

PACKAGE = Path(__file__).parents[2] / "editors" / "emacs" / "foretype.el"
PLAY = r"""
(setq answers nil told nil)
(fset 'foretype--ask-server (lambda (_method _kind on-answer) (push on-answer answers) t))
(fset 'foretype--request (lambda (_method params _) (push (plist-get params :command) told)))
(fset 'foretype--point-of (lambda (place) (1+ (plist-get place :character))))
(insert "data = fetch(url)")
(foretype-mode 1)
(setq answer '(:edits [(:text "data = fetch(url, 5)"
                        :range (:start (:character 0) :end (:character 17)))]))
(foretype-next-edit)
(funcall (pop answers) answer)
(unless foretype--edit (error "not drawn"))
(foretype-next-edit)
(foretype-dismiss-edit)
(funcall (pop answers) answer)
(when foretype--edit (error "drawn again"))
(unless (equal told '("foretype.dismissNextEdit")) (error "not told"))
(foretype-next-edit)
(funcall (pop answers) '(:edits []))
"""


@pytest.mark.skipif(shutil.which("emacs") is None, reason="emacs is not installed")
def test_emacs_drops_the_answer_to_a_question_before_a_dismissal(tmp_path: Path) -> None:
    script = tmp_path / "play.el"
    script.write_text(PLAY, encoding="utf-8")
    command = ["emacs", "-Q", "--batch", "-l", str(PACKAGE), "-l", str(script)]
    done = run_program(command, timeout=120)
    assert (done.returncode, done.stderr) == (0, "foretype: no edit is due here\n")
