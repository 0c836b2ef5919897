"""A real Neovim under a test's control: its keys, its ghost text, its messages.

Talks to `nvim --embed` in msgpack-RPC over the child's pipes. Knows nothing of completion servers.
"""

import subprocess
import time
from pathlib import Path
from typing import Any

import msgpack

from tests.waiting import WAIT_S, wait_for

REQUEST, RESPONSE = 0, 1

GHOST = """
local namespace = vim.api.nvim_get_namespaces()['foretype']
if not namespace then return nil end
local marks = vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true })
if #marks == 0 then return nil end
local lines = {}
for _, chunks in ipairs({ marks[1][4].virt_text, unpack(marks[1][4].virt_lines or {}) }) do
  local line = ''
  for _, chunk in ipairs(chunks) do
    if chunk[2] == 'ForetypeGhost' then line = line .. chunk[1] end
  end
  lines[#lines + 1] = line
end
return table.concat(lines, '\\n')
"""
CLIENT = """
local clients = vim.lsp.get_clients({ bufnr = 0, method = 'textDocument/inlineCompletion' })
return #clients > 0 and clients[1].initialized
  and #vim.api.nvim_get_autocmds({ event = 'CursorMovedI', buffer = 0 }) > 0
"""
TEXT = "return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, true), '\\n')"


def is_new_enough(nvim: str, version: str = "0.12") -> bool:
    """Say whether this program is a Neovim of this version or newer."""
    ask = f"+lua os.exit(vim.fn.has('nvim-{version}') == 1 and 0 or 1)"
    try:
        run = subprocess.run([nvim, "--clean", "--headless", ask], timeout=60, capture_output=True)
    except OSError:
        return False
    return run.returncode == 0


class Editor:
    """A running Neovim with one file, as a person sees it."""

    def __init__(self, nvim: str, configuration: Path, file: Path) -> None:
        self.file = file
        options = ["--embed", "--headless", "--clean", "-n", "-u", str(configuration)]
        self._process = subprocess.Popen(
            [nvim, *options, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin and self._process.stdout
        self._to, self._from = self._process.stdin, self._process.stdout
        self._unpacker = msgpack.Unpacker(strict_map_key=False)
        self._next_id = 0

    def _call(self, method: str, *arguments: object) -> Any:
        self._next_id += 1
        self._to.write(msgpack.packb([REQUEST, self._next_id, method, list(arguments)]))
        self._to.flush()
        while True:
            for message in self._unpacker:
                if message[:2] == [RESPONSE, self._next_id]:
                    assert message[2] is None, f"{method}: {message[2]}"
                    return message[3]
            data = self._from.read1(65536)  # type: ignore[attr-defined]
            assert data, f"Neovim ended during {method}"
            self._unpacker.feed(data)

    def lua(self, program: str) -> Any:
        return self._call("nvim_exec_lua", program, [])

    def keys(self, keys: str) -> None:
        self._call("nvim_input", keys)

    def messages(self) -> str:
        return str(self._call("nvim_exec2", "messages", {"output": True})["output"])

    def wait_for_client(self, seconds: float = WAIT_S) -> None:
        wait_for(lambda: self.lua(CLIENT), "language client", seconds)

    def ghost(self) -> str | None:
        shown = self.lua(GHOST)
        return str(shown) if shown else None

    def wait_for_ghost(self, text: str | None = None) -> str:
        """Wait for any ghost text, or for this one."""
        return wait_for(
            lambda: ghost if (ghost := self.ghost()) and text in (None, ghost) else None,
            f"ghost text {text or ''}".rstrip(),
        )

    def text(self) -> str:
        return str(self.lua(TEXT))

    def wait_for_line(self, text: str) -> None:
        """Wait until the cursor's line is this one."""
        end = time.monotonic() + 5
        while (line := self.lua("return vim.api.nvim_get_current_line()")) != text:
            assert time.monotonic() < end, f"{line!r} is not {text!r}; {self.messages()}"
            time.sleep(0.02)

    def write_and_quit(self) -> str:
        """Leave as a person does, and return what is on disk."""
        self._to.write(msgpack.packb([REQUEST, 0, "nvim_input", ["<Esc>:wq<CR>"]]))
        self._to.flush()
        assert self._process.wait(WAIT_S) == 0
        return self.file.read_text(encoding="utf-8")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._to.close()
        self._from.close()
