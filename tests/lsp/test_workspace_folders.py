"""The workspace's folders after what a client says of them."""

from typing import Any

import pytest

from tests.lsp.test_protocol import Bench, new_server

ONE, TWO = ({"uri": f"file:///{name}", "name": name} for name in ("one", "two"))


@pytest.mark.parametrize(
    ("added", "removed", "roots"),
    [
        ([TWO], [], ["file:///one", "file:///two"]),
        ([TWO], [ONE], ["file:///two"]),
        ([], [ONE], []),
        ([ONE | {"name": "another"}], [ONE], ["file:///one"]),  # renamed
        ([TWO, ONE], [ONE, TWO], ["file:///one", "file:///two"]),  # in another order
    ],
)
def test_folders_are_what_is_left_after_a_change(
    added: list[Any], removed: list[Any], roots: list[str]
) -> None:
    bench = Bench(new_server())
    params = {"capabilities": {}, "workspaceFolders": [ONE]}
    bench.receive(id=0, method="initialize", params=params)
    event = {"added": added, "removed": removed}
    bench.receive(method="workspace/didChangeWorkspaceFolders", params={"event": event})
    assert sorted(bench.server.workspace.roots) == roots
    bench.server.session.stop(10)
