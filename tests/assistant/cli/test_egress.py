"""`foretype egress` as a user meets it."""

import json
from pathlib import Path
from typing import Any

import pytest

from assistant.cli.egress import main
from assistant.remote.ledger import Ledger
from assistant.remote.policy import Remote
from assistant.remote.settings import load_remote_settings, remote_settings_path
from assistant.settings import settings_path
from model.paths import state_folder
from tests.remote_server import completion, remote_server

TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
TEXT = f'token = "{TOKEN}"\nprint(\n'


def configure(url: str = "http://127.0.0.1:9", consent: str = "127.0.0.1", **more: str) -> None:
    path = remote_settings_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    table = {"mode": "only", "provider": "openai", "url": url, "model": "m",
             "send_code_to": consent} | more  # fmt: skip
    path.write_text("".join(f'{name} = "{value}"\n' for name, value in table.items()))


def fill(n: int = 2) -> None:
    ledger = Ledger(state_folder())
    for i in range(n):
        row = {
            "time": f"2026-01-{i + 1:02}T00:00:00.000Z", "provider": "openai",
            "host": "h", "model": "m", "file": f"a{i}\x1b.py", "ranges": ((0, 5), (5, 9)),
            "bytes_sent": 100, "redactions": {"JWT": 1},
        }  # fmt: skip
        id_ = ledger.begin(row)
        if i:
            row = {
                "outcome": "ok", "bytes_sent": 100, "bytes_received": 9,
                "latency_ms": 12.0, "prompt_tokens": 1, "new_tokens": 1,
            }  # fmt: skip
            ledger.end(id_, row)


def test_an_empty_ledger_says_so(capsys: Any) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == "Nothing has been sent.\n"


def test_the_last_requests_are_listed(capsys: Any) -> None:
    fill(3)
    assert main(["--limit", "2"]) == 0
    heads, *lines = capsys.readouterr().out.splitlines()
    assert heads.split()[:2] == ["time", "server"]
    assert lines.index("") == 2
    assert "a2?.py" in lines[1]
    assert "0-5,5-9" in lines[1]
    assert "\x1b" not in "".join(lines)


def test_a_damaged_ledger_is_told(capsys: Any) -> None:
    fill(1)
    Ledger(state_folder()).path.write_bytes(b"no database, but larger than a page" * 500)
    assert main([]) == 2
    assert "the ledger" in capsys.readouterr().err


def test_a_request_without_an_outcome_is_unknown(capsys: Any) -> None:
    fill(1)
    assert main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["requests"][0]["outcome"] == "unknown"


def test_totals_are_summed(capsys: Any) -> None:
    fill(2)
    assert main(["--json"]) == 0
    totals = json.loads(capsys.readouterr().out)["totals"]
    assert (totals["all"]["requests"], totals["all"]["bytes_sent"]) == (2, 200)
    assert (totals["all"]["prompt_tokens"], totals["all"]["new_tokens"]) == (1, 1)
    assert totals["today"]["requests"] == 0
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "all: 2 requests (1 ok), 200 bytes sent" in out
    assert "1 tokens read and 1 written" in out
    assert "today: 0 requests" in out


def test_all_requests_can_be_shown(capsys: Any) -> None:
    fill(25)
    assert main(["--limit", "0", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["requests"]) == 25
    assert main(["--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["requests"]) == 20


def test_a_dry_run_shows_the_very_bytes(
    capsysbinary: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.py").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    with remote_server(completion("x")) as server:
        configure(server.url)
        assert main(["--dry-run", "a.py:2:7"]) == 0
        shown = capsysbinary.readouterr()
        assert server.received == []  # nothing was sent
        _ask(tmp_path)
        assert server.received[0].body == shown.out
    assert TOKEN.encode() not in shown.out + shown.err
    assert b"replaced: 1 named secret" in shown.err
    assert f"POST {server.url}/v1/completions".encode() in shown.err


def _ask(folder: Path) -> None:
    from assistant.request import Cancel, CompletionRequest

    remote = Remote(load_remote_settings(), folder.joinpath)
    request = CompletionRequest(path="a.py", text=TEXT, offset=TEXT.index("print(") + 6)
    handle = remote.before(request, blocks=True)
    assert handle is not None
    handle.wait(1e12, Cancel())
    remote.close()


def test_a_dry_run_before_consent_says_what_is_missing(capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(TEXT)
    configure(consent="", key_env="SOME_KEY")
    assert main(["--dry-run", f"{tmp_path}/a.py:2:7"]) == 0
    said = capsys.readouterr().err
    assert 'send_code_to = "127.0.0.1"' in said
    assert "Bearer (the key)" in said


@pytest.mark.parametrize("setting", ["allow_remote = false", 'show = "off"'])
def test_a_dry_run_minds_the_settings(setting: str, capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(TEXT)
    configure()
    settings_path().write_text(setting)
    assert main(["--dry-run", f"{tmp_path}/a.py:2:7"]) == 1
    assert "allow_remote" in capsys.readouterr().err


def test_a_dry_run_minds_the_languages(capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(TEXT)
    configure()
    with remote_settings_path().open("a") as file:
        file.write('languages = ["rust"]\n')
    assert main(["--dry-run", f"{tmp_path}/a.py:2:7"]) == 1
    assert "languages" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "place", "said"),
    [
        (".env.py", "1:1", "excluded"),
        ("a.unknown", "1:1", "unknown language"),
        ("a.py", "1:14", "in a secret"),
    ],
)
def test_a_dry_run_says_why_nothing_would_be_sent(
    name: str, place: str, said: str, capsys: Any, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(TEXT)
    configure()
    assert main(["--dry-run", f"{tmp_path}/{name}:{place}"]) == 1
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    "args",
    [["nonsense"], ["--limit", "-1"], ["--dry-run", "a.py"], ["--dry-run", "gone.py:1:1"],
     ["--dry-run"]],
)  # fmt: skip
def test_bad_usage_is_one_line(args: list[str], capsys: Any) -> None:
    if args[0] == "--dry-run":
        configure()
    assert main(args) == 2
    said = capsys.readouterr().err
    assert said.startswith("foretype egress: ")
    assert said.count("\n") == 1


def test_a_dry_run_without_a_server_says_where_to_name_one(capsys: Any) -> None:
    assert main(["--dry-run", "a.py:1:1"]) == 2
    assert "remote.toml" in capsys.readouterr().err
