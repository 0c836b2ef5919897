"""What the doctor says of the remote fallback."""

from pathlib import Path

import pytest

from assistant.doctor.installation import remote
from assistant.settings import Settings

ON = 'mode = "fallback"\nprovider = "mistral"\nmodel = "m"\nkey_env = "TEST_KEY"\n'
HOST = "codestral.mistral.ai"
YES = f'send_code_to = "{HOST}"\n'


@pytest.fixture
def written(private_home: Path) -> Path:
    path = private_home / "config" / "foretype" / "remote.toml"
    path.parent.mkdir()
    return path


def test_off_is_said_plainly() -> None:
    finding = remote(Settings())
    assert (finding.state, finding.found) == ("ok", "off: no code leaves this machine")


def test_forbidden_is_off(written: Path) -> None:
    written.write_text(ON + YES)
    assert remote(Settings(allow_remote=False)).found.startswith("off: ")


def test_wrong_settings_are_broken(written: Path) -> None:
    written.write_text('mode = "always"\n')
    finding = remote(Settings())
    assert finding.state == "broken"
    assert finding.fix == f"correct {written}, or delete it"


def test_what_a_request_would_lack_is_told(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written.write_text(ON)
    finding = remote(Settings())
    assert finding.state == "warning"
    assert f'send_code_to = "{HOST}"' in finding.fix
    written.write_text(ON + YES)
    finding = remote(Settings())
    assert finding.state == "warning"
    assert "TEST_KEY (key_env) is not set" in finding.found
    monkeypatch.setenv("TEST_KEY", "abc")
    finding = remote(Settings())
    assert (finding.state, finding.fix) == ("ok", "")
    assert "abc" not in finding.found
    assert f"fallback: mistral at {HOST}" in finding.found
    written.write_text(ON + YES + 'ca_file = "/nonexistent.pem"\n')
    finding = remote(Settings())
    assert finding.state == "warning"
    assert "ca_file: cannot open /nonexistent.pem" in finding.found
