"""2026-11-30: `foretype egress` ended with a trace where the extra `remote` is not installed.

Cause: it took the headers' function from the module that imports the HTTP client. Every command is
loaded here as a plain installation has it. `tune --help` asked to install PyTorch.
"""

import sys

from foretype import COMMANDS
from tests.programs import run_program

EXTRAS = (
    "httpx2 keyring torch safetensors tokenizers rensa matplotlib distributed starlette uvicorn"
)
PROGRAM = f"""
import sys
sys.modules.update(dict.fromkeys({EXTRAS.split()!r}))  # importing one fails
import foretype
for words in [[name, "--help"] for name in {sorted(COMMANDS)!r}] + [["egress"]]:
    try:
        code = foretype.main(words)
    except SystemExit as end:
        code = end.code
    print("ended", *words, code or 0)
"""


def test_every_command_says_what_it_does() -> None:
    run = run_program([sys.executable, "-c", PROGRAM], timeout=300)
    ends = [line for line in run.stdout.splitlines() if line.startswith("ended ")]
    expected = [f"ended {name} --help 0" for name in sorted(COMMANDS)]
    assert ends == [*expected, "ended egress 0"], run.stderr
