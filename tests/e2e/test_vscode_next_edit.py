"""The next edit in a real VS Code with our extension and server: drawn, Tab, Tab, and on disk."""

import sys
from pathlib import Path

import pytest

from tests.e2e.conformance import CALLS
from tests.e2e.test_vscode import (  # noqa: F401  fixtures
    OpenWindow,
    open_window,
    programs,
    take_picture,
    write_program,
)
from tests.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

# Decorations put their text into the page as generated content, which no element's text holds.
DRAWN = """(() => {
  const found = [];
  for (const sheet of document.styleSheets) {
    let rules = [];
    try { rules = sheet.cssRules; } catch (error) { continue; }
    for (const rule of rules) {
      const text = rule.style && rule.style.content;
      if (text && rule.selectorText.includes('ced-') && rule.selectorText.includes('::after')) {
        const name = rule.selectorText.match(/\\.(ced-[\\w-]+)/);
        if (name && document.querySelector('.' + name[1])) found.push(text);
      }
    }
  }
  return found.join('|');
})()"""


def test_it_is_drawn_and_tab_goes_there_and_makes_it(
    open_window: OpenWindow,  # noqa: F811
    shared_cache: Path,
    tmp_path: Path,
) -> None:
    program = write_program(tmp_path, f"exec '{sys.executable}' foretype.py \"$@\"")
    window = open_window(program)
    file = window.folder / "a.py"
    file.write_text(CALLS, encoding="utf-8")
    window.open(file)
    wait_for(lambda: "ready" in window.status(), "a ready server", 180)
    page = window.page
    page.press("Control+Home")
    page.press("ArrowDown")
    page.press("End")
    page.press("ArrowLeft")
    page.type(", timeout=5", pause_s=0.02)
    page.press("ArrowDown")
    wait_for(lambda: "timeout=5" in page.evaluate(DRAWN), "the edit, drawn", 30)
    take_picture(window, "vscode-next-edit.png")
    page.press("Tab")
    wait_for(lambda: "next edit" not in page.evaluate(DRAWN), "the cursor there")
    take_picture(window, "vscode-next-edit-here.png")
    page.press("Tab")
    once = CALLS.replace("fetch(url)", "fetch(url, timeout=5)", 2)
    wait_for(lambda: window.text() == once, "the edit, made", 20)
    assert window.save(file, once) == once
