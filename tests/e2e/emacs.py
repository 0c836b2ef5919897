"""A real Emacs in tmux, with editors/emacs/foretype.el, for the conformance suite.

Keys go through the terminal; what is shown is asked of Emacs over its own server. lsp-mode, and
eglot before Emacs 29, are looked for in FORETYPE_EMACS_PACKAGES, a folder of package folders.
"""

import base64
import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.conformance import CALLS, UnsupportedError, furnish
from tests.e2e.served import ServerProgram
from tests.programs import ROOT, run_program
from tests.waiting import wait_for

SITE = Path("/usr/share/emacs/site-lisp/elpa")
# Read before the fixtures take it away.
PACKAGES = Path(os.environ.get("FORETYPE_EMACS_PACKAGES") or SITE)
CALL_S = 180.0

SET_UP = """\
(setq inhibit-startup-screen t make-backup-files nil create-lockfiles nil auto-save-default nil
      ring-bell-function 'ignore confirm-kill-processes nil python-indent-guess-indent-offset nil
      server-socket-dir "{place}" server-name "s" user-emacs-directory "{place}/d/"
      require-final-newline nil python-shell-interpreter "true")
(electric-indent-mode -1)
(electric-pair-mode 1)
{paths}
{client}
"""
# Not in the init file: what names us there is taken for a set-up done by hand.
LOOKS = """\
(defun test-ghost ()
  (and foretype--is-showing (overlay-get foretype--overlay 'after-string)))
(defun test-edit ()
  (mapconcat (lambda (it) (format "%d:%s" (line-number-at-pos (overlay-start it))
                                  (or (overlay-get it 'after-string)
                                      (overlay-get it 'face))))
             (reverse foretype--edit-overlays) "|"))
(require 'server)
(server-start)
"""
BY_HAND = """
(require 'foretype)
(setq foretype-command '({command}))
"""
HOOKS = {
    "eglot": "(add-hook 'python-mode-hook #'foretype-eglot-ensure)",
    "lsp-mode": "(foretype-lsp-setup)\n(add-hook 'python-mode-hook #'lsp)",
}
CLIENTS = {
    "eglot": "(setq eglot-sync-connect 30 eglot-autoreconnect 1)",
    "lsp-mode": """\
(load "lsp-mode-autoloads" nil t) ; Debian's does not provide itself
(setq lsp-auto-guess-root t lsp-restart 'auto-restart lsp-enable-suggest-server-download nil
      lsp-response-timeout 5 lsp-session-file "{place}/session" lsp-modeline-code-actions-enable nil
      lsp-headerline-breadcrumb-enable nil)""",
}
READY = {
    "eglot": """\
(defun test-ready ()
  (and (eglot-current-server) (eglot-managed-p)
       (equal "ready"
              (ignore-errors ; a busy machine may take longer than it waits
                (plist-get (jsonrpc-request (eglot-current-server) :workspace/executeCommand
                                            '(:command "foretype.status"))
                           :engine)))))
""",
    "lsp-mode": """\
(defun test-ready ()
  (and (foretype--workspace)
       (equal "ready"
              (ignore-errors ; it may have died since
                (gethash "engine" (let ((lsp--cur-workspace (foretype--workspace)))
                                    (lsp-request "workspace/executeCommand"
                                                 '(:command "foretype.status"))))))))
""",
}
NEGOTIATES = "(plist-get (alist-get 'general (lsp--client-capabilities)) :positionEncodings)"
ENCODINGS = {"eglot": "utf-16", "lsp-mode": "utf-32"}
KEYS = {
    "accept": ["Tab"],
    "dismiss": ["C-g"],
    "leave": ["C-g"],
    "undo": ["C-_"],
    "left": ["Left"],
    "right": ["Right"],
    "back": ["BSpace"],
    "word": ["M-Right"],
    "line": ["M-Down"],
    "ask": ["M-x", "foretype-ask", "Enter"],
    "next": ["M-n"],
    "previous": ["M-p"],
}


def folders_of_packages() -> list[Path]:
    found = [path for path in SITE.glob("*-*") if path.is_dir()]
    found += [path for path in PACKAGES.glob("*-*") if path.is_dir()] if PACKAGES != SITE else []
    return found


def has_library(name: str) -> bool:
    paths = [argument for folder in folders_of_packages() for argument in ("-L", str(folder))]
    ask = f'(kill-emacs (if (locate-library "{name}") 0 1))'
    command = ["emacs", "-Q", "--batch", *paths, "--eval", ask]
    return subprocess.run(command, capture_output=True, timeout=CALL_S).returncode == 0


class InEmacs:
    """Emacs as the conformance suite drives it; `by_setup`: with what `foretype setup` writes."""

    def __init__(self, place: Path, client: str, cache: Path, *, by_setup: bool = False) -> None:
        self._place, self._client = place, client
        self._folder, self._other = place / "workspace", place / "second"
        (place / "bin").mkdir()
        self.server = ServerProgram(place / "bin", cache)
        furnish(self.server, first=self._folder, second=self._other)
        first = self._folder / "first.py"
        first.write_bytes(b"first = 1\n")
        lisp = [*folders_of_packages(), *([] if by_setup else [ROOT / "editors" / "emacs"])]
        values = {
            "client": CLIENTS[client] + ("" if by_setup else BY_HAND + HOOKS[client]),
            "paths": "\n".join(f'(push "{folder}" load-path)' for folder in lisp),
            "command": f'"{self.server.path}" "lsp"',
            "place": str(place),
        }
        text = SET_UP
        for name, value in values.items():
            text = text.replace("{" + name + "}", value)
        init = place / ".emacs"
        init.write_text(text, encoding="utf-8")
        looks = place / "looks.el"
        looks.write_text(READY[client] + LOOKS, encoding="utf-8")
        if by_setup:
            self._set_up(self.server.path.parent)
        self._tmux = [str(shutil.which("tmux")), "-S", str(place / "t"), "-f", "/dev/null"]
        terminal = ["env", "TERM=tmux-256color", "LC_ALL=C.UTF-8"]
        emacs = [*terminal, "emacs", "-nw", "-Q", "-l", str(init), "-l", str(looks), str(first)]
        self._run("new-session", "-d", "-x", "100", "-y", "40", shlex.join(emacs))
        self._file = first
        wait_for(lambda: (place / "s").exists(), f"Emacs; {self.screen()}", 60)

    def _set_up(self, programs: Path) -> None:
        """Have `foretype setup emacs` add to the init file, `lsp` of our program left out."""
        environment = os.environ | {
            "HOME": str(self._place),
            "PATH": f"{programs}:{os.environ['PATH']}",
        }
        environment |= {"XDG_CONFIG_HOME": str(self._place / "config")}
        asked = ["setup", "emacs", "--client", self._client, "--write", "--yes"]
        command = [sys.executable, str(ROOT / "foretype.py"), *asked]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=CALL_S)

    def _run(self, *arguments: str) -> str:
        run = run_program([*self._tmux, *arguments], check=True, timeout=CALL_S)
        return run.stdout

    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    def ask(self, lisp: str) -> str:
        """The value of an expression in the buffer in front, a string or nil."""
        wrapped = (
            "(with-current-buffer (window-buffer (frame-selected-window)) (let ((value "
            f'{lisp})) (if value (base64-encode-string (encode-coding-string (format "%s" value)'
            ' \'utf-8) t) "")))'
        )
        command = ["emacsclient", "-s", str(self._place / "s"), "--eval", wrapped]
        run = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            run = run_program(command, timeout=CALL_S / 6)
        if run is None or "Quit" in run.stderr:  # a C-g of ours met it: not always with a word
            run = run_program(command, timeout=CALL_S)
        assert run.returncode == 0, run.stderr
        return base64.b64decode(run.stdout.strip().strip('"')).decode()

    def wait_for_client(self) -> None:
        def look() -> str:
            self._run("send-keys", "C-l")  # eglot connects after a command in the buffer
            return self.ask("(and (test-ready) t)")

        try:
            wait_for(look, "language client", 2 * CALL_S, pause_s=0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen()}") from None

    def _open(self, file: Path, content: bytes) -> None:
        self._file = file
        self._file.write_bytes(content)
        self._run("send-keys", "C-g")
        self.ask(f'(progn (switch-to-buffer (find-file-noselect "{self._file}")) (goto-char 1) t)')

    def fresh(self, name: str, content: bytes) -> None:
        self._begin(self._folder / name, content)

    def second(self, name: str, content: bytes) -> None:
        self._begin(self._other / name, content)

    def _begin(self, file: Path, content: bytes) -> None:
        self._open(file, content)
        self.wait_for_client()
        self.ask("(progn (goto-char (point-max)) t)")
        wait_for(lambda: self.ask("(buffer-name)") == file.name, "the buffer")

    def speak(self, encoding: str) -> None:
        if encoding != ENCODINGS[self._client]:
            raise UnsupportedError(f"this editor speaks {ENCODINGS[self._client]} only")
        if self._client == "lsp-mode" and not self.ask(NEGOTIATES):
            raise UnsupportedError("this lsp-mode agrees on no encoding, and counts characters")

    def untitled(self) -> None:
        raise UnsupportedError("buffers without a file have no language client")

    def read_only(self, name: str, content: bytes) -> None:
        self._open(self._folder / name, content)
        self.ask("(progn (read-only-mode 1) t)")

    def type(self, text: str) -> None:
        for key in text:
            if key == "\n":
                # Its own indenting is off, and with it what the others do on Enter.
                self._run("send-keys", "Enter")
                if (
                    self.ask("(buffer-substring (line-beginning-position 0) (1- (point)))")[-1:]
                    == ":"
                ):
                    self._run("send-keys", "-l", "    ")
            else:
                self._run("send-keys", "-l", "\\;" if key == ";" else key)

    def press(self, action: str) -> None:
        if KEYS[action] == ["C-g"]:
            time.sleep(0.5)  # a look of ours that is not quite over would swallow it
        self._run("send-keys", *KEYS[action])

    def run_command(self, name: str) -> None:
        self._run("send-keys", "M-x", name, "Enter")

    def ghost(self) -> str:
        return self.ask("(and (test-ghost) (substring-no-properties (test-ghost)))")

    def text(self) -> str:
        return self.ask("(buffer-substring-no-properties 1 (point-max))")

    def saved(self) -> bytes:
        self._run("send-keys", "C-g")
        self.ask("(progn (save-buffer) t)")
        return self._file.read_bytes()

    def complaints(self) -> str:
        return ""

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, timeout=CALL_S)


def need(client: str) -> None:
    for program in ("emacs", "emacsclient", "tmux"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if not has_library(client):
        pytest.skip(f"this Emacs has no {client} (FORETYPE_EMACS_PACKAGES may name a folder)")


def type_timeout(driven: InEmacs, name: str) -> None:
    """Add an argument to the first call and leave it."""
    driven.ask('(progn (setq foretype-settings \'(:show "balanced")) (foretype-show "balanced") t)')
    driven.fresh(name, CALLS.encode())
    driven.ask("(progn (goto-char 1) (forward-line 1) (end-of-line) (backward-char) t)")
    driven.type(", timeout=5")
    driven.press("left")


def wait_for_edit(driven: InEmacs, drawn: str) -> None:
    wait_for(lambda: driven.ask("(test-edit)") == drawn or None, f"next edit {drawn!r}")
