"""`foretype serve` where it cannot begin: what is wrong is one line, and nothing is served."""

from pathlib import Path

import pytest

from assistant.cli.serve import main


def test_key_without_a_certificate_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "0", "--tls-key", "team.key"]) == 2  # not served without TLS
    assert capsys.readouterr().err == "foretype serve: --tls-key needs --tls-certificate\n"


@pytest.mark.usefixtures("shared_cache")
@pytest.mark.parametrize("text", [None, "no certificate"])
def test_certificate_that_cannot_be_used_is_named(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "team.pem").write_text(text)
    arguments = ["--port", "0", "--tls-certificate", str(tmp_path / "team.pem")]
    assert main(arguments) == 1
    said = f"foretype serve: no certificate and key in PEM could be read from {arguments[3]}: "
    assert capsys.readouterr().err.startswith(said)
