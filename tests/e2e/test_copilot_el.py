"""The next edit in copilot.el, unmodified, with our server as the one that it starts.

copilot.el and the packages that it needs (track-changes, jsonrpc, compat, editorconfig) are looked
for in $FORETYPE_COPILOT_EL, a folder of package folders. Tried: copilot.el 0.9.0, commit 277ca35.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.served import ServerProgram
from tests.programs import run_program

PACKAGES = os.environ.get("FORETYPE_COPILOT_EL", "")
TEXT = "def load(url):\n" + "    data = fetch(url)\n    other = 1\n" * 3
TIMEOUT_S = 240
SCRIPT = """\
(setq copilot-server-executable "{server}" copilot-server-args '("lsp")
      copilot-lsp-server-version nil copilot-max-char-warning-disable t
      copilot-indent-offset-warning-disable t
      python-indent-guess-indent-offset nil)
(require 'copilot)
(require 'copilot-nes)
(defun until (condition)
  (let ((end (+ (float-time) 90)))
    (while (and (not (funcall condition)) (< (float-time) end))
      (accept-process-output nil 0.1)))
  (unless (funcall condition) (error "Nothing came")))
(defun ask ()
  (until (lambda () (unless copilot-nes--edit (copilot-nes--request) (sit-for 0.5)
                            (accept-process-output nil 1))
           copilot-nes--edit)))
(find-file "{file}")
(copilot-mode 1)
(copilot-nes-mode 1)
(set-window-buffer (selected-window) (current-buffer))
(copilot--on-doc-focus (selected-window))
(search-forward "fetch(url")
(dolist (key (string-to-list ", timeout=5"))
  (insert key)
  (copilot--track-changes-signal copilot--track-changes-id))
(forward-line 1)
(ask)
(copilot-nes-accept) ; goes there
(princ (format "%d " (line-number-at-pos)))
(copilot-nes-accept)
(copilot--track-changes-signal copilot--track-changes-id)
(ask)
(copilot-nes-accept)
(copilot-nes-accept)
(princ (buffer-string))
"""

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_copilot_el_goes_there_and_makes_it(tmp_path: Path, _shared_cache_folder: Path) -> None:
    if not PACKAGES or shutil.which("emacs") is None:
        pytest.skip("FORETYPE_COPILOT_EL does not name a folder of packages, or there is no Emacs")
    server = ServerProgram(tmp_path, _shared_cache_folder)
    file = tmp_path / "a.py"
    file.write_text(TEXT, encoding="utf-8")
    script = SCRIPT.replace("{server}", str(server.path)).replace("{file}", str(file))
    (tmp_path / "script.el").write_text(script, encoding="utf-8")
    folders = [path for package in Path(PACKAGES).iterdir() for path in (package, package / "lisp")]
    paths = [argument for path in folders for argument in ("-L", str(path))]
    command = ["emacs", "-Q", "--batch", *paths, "-l", str(tmp_path / "script.el")]
    run = run_program(command, timeout=TIMEOUT_S, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "4 " + TEXT.replace("fetch(url)", "fetch(url, timeout=5)"), run.stderr
