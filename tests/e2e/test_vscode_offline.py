"""The extension that brings all libraries, installed in a real VS Code by its own dialog.

FORETYPE_OFFLINE_VSIX names what `editors/vscode/package --offline` made; test_vscode.py says what
else is needed. That nothing is fetched is sure only where there is no network; here registries and
proxies are set to where nobody is.
"""

import os
from pathlib import Path

import pytest

from tests.e2e.conformance import CALL, START
from tests.e2e.test_vscode import FOLDER
from tests.e2e.vscode import VSCode, find_programs
from tests.waiting import wait_for

VSIX = os.environ.get("FORETYPE_OFFLINE_VSIX")  # before the fixtures take it away

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(1_200),
    pytest.mark.skipif(not VSIX, reason="FORETYPE_OFFLINE_VSIX names no extension"),
]


def test_it_installs_its_server_and_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = find_programs(FOLDER)
    if isinstance(programs, str):
        pytest.skip(programs)
    for name in ("PIP_INDEX_URL", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    window = VSCode(programs, tmp_path, vsix=Path(str(VSIX)), machine={})
    try:
        file = window.folder / "first.py"
        file.write_bytes(START)
        window.open(file)
        wait_for(lambda: "server not installed" in window.status(), "the status bar item", 120)
        window.command("foretype: Install Server")
        window.click_button(".monaco-dialog-box", "Install")
        wait_for(lambda: ", ready" in window.status(), "a ready server", 600)
        window.page.press("Control+End")
        window.page.type("result = vo")
        window.wait_for_ghost(CALL[2:], 60)
    finally:
        window.close()
