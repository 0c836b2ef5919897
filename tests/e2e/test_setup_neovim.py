"""A real Neovim loads what `foretype setup nvim --write` has written."""

import os
import shutil
from pathlib import Path

import pytest

from assistant.cli.setup import main
from tests.e2e.neovim import is_new_enough
from tests.programs import ROOT, run_program

NAMED_NVIM = os.environ.get("FORETYPE_NVIM")  # read before the fixtures take it away
UNPACKED = str(ROOT / ".venv/neovim/root/usr/bin/nvim")


@pytest.mark.e2e
def test_written_file_configures_the_server(private_home: Path) -> None:
    candidates = [NAMED_NVIM, shutil.which("nvim"), UNPACKED]
    nvim = next((name for name in candidates if name and is_new_enough(name)), None)
    if nvim is None:
        pytest.skip("no Neovim 0.12 or newer here (scripts/setup-neovim unpacks one on Debian)")
    folder = private_home / "config" / "nvim"
    folder.mkdir()
    (folder / "init.lua").write_text("vim.g.mine = 1\nreturn 1\n")
    assert main(["nvim", "--write", "--yes"]) == 0
    ask = "lua io.stdout:write(vim.lsp.config.foretype.cmd[#vim.lsp.config.foretype.cmd])"
    keys = "lua io.stdout:write(' ' .. vim.fn.maparg('<Tab>', 'i', false, true).desc)"
    done = run_program([nvim, "--headless", "-c", ask, "-c", keys, "-c", "qa!"], timeout=60)
    assert done.stdout.startswith("lsp foretype"), done.stderr
    assert "Error" not in done.stderr
