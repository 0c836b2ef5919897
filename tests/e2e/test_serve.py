"""`foretype serve` as a process: asked by foretype's own remote side, told to end, not possible."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from assistant.cli.serve import main
from assistant.remote.ledger import Ledger
from assistant.remote.settings import remote_settings_path
from model.paths import state_folder
from tests.e2e.raw_client import ServerProcess

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

COMMAND = [sys.executable, "-m", "foretype", "serve", "--port", "0"]
KEY = "a-key-of-some-length"
WAIT_S = 120.0
TEXT = "def read_lines(path):\n    with open(path) as file:\n        return file."


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command; give the process and its address."""
    process = subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            line = process.stdout.readline()
            assert "foretype-python at http" in line, process.stderr.read()
            yield process, line.split()[-1]
        finally:
            process.kill()


def refusal(*options: str, **environ: str) -> tuple[int, str]:
    done = subprocess.run(
        [*COMMAND, *options],
        env=os.environ | environ, capture_output=True, text=True, timeout=WAIT_S,
    )  # fmt: skip
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_own_remote_side_asks_it_through_consent_and_ledger(
    tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETYPE_SERVE_KEY", KEY)
    with running() as (_, url):
        address = url.removesuffix("/v1")
        settings = remote_settings_path()
        settings.parent.mkdir(parents=True, exist_ok=True)
        table = (
            f'mode = "only"\nprovider = "openai"\nmodel = "foretype-python"\nurl = "{address}"\n'
            'key_env = "FORETYPE_SERVE_KEY"\ntotal_s = 60\nread_s = 60\n'
        )
        asked = {"model": "foretype-python", "prompt": TEXT, "suffix": "\n", "stop": "\n"}
        headers = {"Authorization": f"Bearer {KEY}"}
        direct = httpx2.post(f"{url}/completions", json=asked | {"max_tokens": 128},
                             headers=headers, timeout=WAIT_S)  # fmt: skip
        expected = direct.json()["choices"][0]["text"]
        assert expected.strip()
        file = tmp_path / "a.py"
        file.write_text(TEXT + "\n")
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
        shown = []
        for consent in ("", 'send_code_to = "127.0.0.1"\n'):
            settings.write_text(table + consent)
            options = {"deadline_ms": 60_000, "index": False, "show": "eager"}
            with ServerProcess(command=[sys.executable, "-m", "foretype", "lsp"]) as editor:
                client = editor.client
                client.initialize(rootUri=tmp_path.as_uri(), initializationOptions=options)
                client.open(file.as_uri(), TEXT + "\n")
                items = client.inline(file.as_uri(), 2, len(TEXT.splitlines()[2]))["items"]
                shown.append([item["insertText"] for item in items])
    assert shown[0] == []
    assert [bool(text) and expected.startswith(text) for text in shown[1]] == [True]
    rows = Ledger(state_folder()).rows()
    assert [(row["host"], row["model"]) for row in rows] == [("127.0.0.1", "foretype-python")]


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_answers_who_has_asked(shared_cache: Path, number: int) -> None:
    with running() as (process, url):
        body = json.dumps(
            {"model": "foretype-python", "prompt": TEXT * 20, "max_tokens": 256, "stream": True}
        )
        port = int(url.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port), WAIT_S) as client:
            head = (
                f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            )
            client.sendall(f"POST /v1/completions HTTP/1.1\r\n{head}\r\n\r\n{body}".encode())
            received = client.recv(65_536)
            process.send_signal(number)
            while data := client.recv(65_536):
                received += data
        assert b"data: [DONE]" in received
        # A shell that starts the tests in the background has them, and us, ignore the latter.
        is_heard = number == signal.SIGINT and signal.getsignal(number) is not signal.SIG_IGN
        assert process.wait(WAIT_S) == (130 if is_heard else 0)
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.skipif(os.name == "nt", reason="there is no such signal")
def test_told_to_end_as_soon_as_it_has_said_where_it_is_it_ends(shared_cache: Path) -> None:
    """It was killed, or heard the signal and went on for ever."""
    with running() as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="this machine has one such address")
def test_the_address_that_it_says_answers(shared_cache: Path) -> None:
    with running("--host", "127.0.0.2") as (_, url):
        assert httpx2.get(f"{url}/models", timeout=WAIT_S).status_code == 200


def test_other_addresses_need_keys(tmp_path: Path) -> None:
    code, said = refusal("--host", "0.0.0.0")
    assert code == 2
    assert "needs --keys" in said
    (tmp_path / "keys").write_text("short\n")
    (tmp_path / "keys").chmod(0o600)
    code, said = refusal("--host", "0.0.0.0", "--keys", str(tmp_path / "keys"))
    assert (code, said.count("\n")) == (1, 1)


def test_what_cannot_be_had_is_one_line(tmp_path: Path, shared_cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = refusal("--port", str(taken.getsockname()[1]))
    assert (code, said.count("\n")) == (1, 1)
    for options in (
        ["--model", "no-such"],
        ["--keys", str(tmp_path / "missing")],
        ["--tls-certificate", str(tmp_path / "missing")],
    ):
        code, said = refusal(*options)
        assert (code, said.count("\n")) == (1, 1), said
    assert refusal("--deadline", "0")[0] == refusal("--port", "70000")[0] == 2


@pytest.mark.parametrize("name", ["starlette", "uvicorn"])
def test_extra_that_is_missing_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda wanted: None if wanted == name else find(wanted)
    )
    assert main([]) == 1
    said = capsys.readouterr().err
    assert (said.count("\n"), "foretype[serve]" in said) == (1, True)
