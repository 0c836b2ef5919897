"""VS Code where the server is not installed yet, or what is named is none."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conformance import CALL, START
from tests.e2e.test_vscode import OpenWindow, open_window, programs, write_program  # noqa: F401
from tests.e2e.vscode import VSCode
from tests.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

# Stands for the real one, which would fetch 100 MB: makes the environment that it is told to.
UV = """\
#!/bin/sh
echo "$@" >>'{place}/uv.log'
for last; do :; done
case $1 in
  venv)
    while [ ! -e '{place}/go' ]; do sleep 0.1; done
    mkdir -p "$last/bin"
    printf '#!/bin/sh\necho "$ORT_DISABLE_TELEMETRY $*" >>%s\nexec %s "$@"\n' \
      '{place}/python.log' '{python}' >"$last/bin/python"
    cp "$last/bin/python" "$last/bin/foretype"
    chmod +x "$last/bin/"* ;;
esac
"""


@pytest.fixture
def bare(
    open_window: OpenWindow,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[VSCode]:
    """A window where no server is installed, and a way to install one."""
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    window = open_window(None)
    uv = window.folder.parent / "home" / ".local" / "bin" / "uv"  # its PATH is a login shell's
    uv.parent.mkdir(parents=True)
    uv.write_text(UV.format(place=tmp_path, python=sys.executable))
    uv.chmod(0o755)
    file = window.folder / "first.py"
    file.write_bytes(START)
    window.open(file)
    wait_for(lambda: "server not installed" in window.status(), "the status bar item", 120)
    yield window
    (tmp_path / "go").touch()


def test_first_hour_without_a_server(bare: VSCode, tmp_path: Path) -> None:
    """Each command answers at once, whatever toast waits; a second installation does not start."""
    wait_for(lambda: "not installed yet" in bare.complaints(), "a toast")
    bare.command("foretype: Menu")
    wait_for(lambda: "Install the server" in bare.picks(), "the menu")
    bare.page.press("Escape")
    for title in ("Select Model", "Why Nothing Here?", "Run Doctor", "Restart Server"):
        bare.command("Notifications: Clear All Notifications")
        wait_for(lambda: bare.complaints() == "", "a clean screen")
        bare.command(f"foretype: {title}")
        wait_for(lambda: "not installed yet" in bare.complaints(), f"an answer to {title}", 10)
    bare.click_button(".notification-toast", "Install...")
    bare.pick("In a private environment")
    bare.click_button(".monaco-dialog-box", "Install")
    wait_for((tmp_path / "uv.log").exists, "an installation")
    bare.command("foretype: Install Server")
    wait_for(lambda: "being installed already" in bare.complaints(), "a refusal")
    (tmp_path / "go").touch()
    wait_for(lambda: ", ready" in bare.status(), "a ready server", 120)
    assert (tmp_path / "uv.log").read_text().count("venv") == 1
    assert (tmp_path / "python.log").read_text().splitlines()[-1] == "1 -I -m foretype lsp"
    bare.page.press("Control+End")
    bare.page.type("result = vo")
    bare.wait_for_ghost(CALL[2:], 60)
    bare.command("Welcome: Open Walkthrough...")
    bare.pick("Get started with foretype")
    steps = "[...document.querySelectorAll('h3.step-title')].map((e) => e.textContent).join()"
    wait_for(lambda: "If nothing happens" in bare.page.evaluate(steps), "the walkthrough", 60)
    assert "Install the server" not in bare.page.evaluate(steps)


def test_program_that_does_not_answer_is_given_up_for_the_next_start(
    open_window: OpenWindow,  # noqa: F811
    tmp_path: Path,
) -> None:
    window = open_window(write_program(tmp_path, "exec sleep 1000"))
    file = window.folder / "first.py"
    file.write_bytes(START)
    window.open(file)
    wait_for(lambda: "loading" in window.status(), "a start", 120)
    write_program(tmp_path, f"exec '{sys.executable}' foretype.py \"$@\"")
    window.command("foretype: Restart Server")
    wait_for(lambda: ", ready" in window.status(), "a ready server", 120)
