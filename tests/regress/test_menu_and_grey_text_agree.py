"""2026-11-29: while VS Code's own list was open, the grey text disagreed with it, or went away.

Cause: `selectedCompletionInfo`, which names the selected entry, was dropped unread, so the text did
not begin with it, and an editor shows only what does.
"""

from typing import Any

import pytest

from tests.e2e.scripted_server import mirror
from tests.lsp.test_protocol import INLINE, URI, Bench, bench, replace_text

__all__ = ["bench"]

LINE = "s = '😀'; x = val"
START, CURSOR = 14, 17  # in UTF-16 units


async def asked(bench: Bench, selected: Any) -> Any:
    replace_text(bench, 2, f"{LINE}\ny")
    context = {"triggerKind": 2, "selectedCompletionInfo": selected}
    place = {"line": 0, "character": CURSOR}
    params = {"textDocument": {"uri": URI}, "position": place, "context": context}
    bench.receive(id=1, method=INLINE, params=params)
    return (await bench.answer())["result"]["items"]


def entry(text: str, line: int = 0) -> dict[str, Any]:
    span = {"start": {"line": line, "character": START}, "end": {"line": line, "character": CURSOR}}
    return {"range": span, "text": text}


@pytest.mark.asyncio
async def test_the_grey_text_goes_on_where_the_selected_entry_ends(bench: Bench) -> None:
    (item,) = await asked(bench, entry("value_of"))
    assert item == {
        "insertText": "value_of" + mirror("s = '😀'; x = value_of"),
        "range": entry("")["range"],
    }


@pytest.mark.asyncio
@pytest.mark.parametrize("selected", [entry("two\nlines"), entry("x", line=1), entry("\ud800"), 5])
async def test_an_entry_that_cannot_be_followed_is_left_out(bench: Bench, selected: Any) -> None:
    (item,) = await asked(bench, selected)
    assert item["insertText"] == mirror(LINE)
