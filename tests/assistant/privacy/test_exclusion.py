"""Which requests get no suggestion at all."""

import pytest

from assistant.privacy.exclusion import MAX_TEXT_CHARS, is_excluded, why_refused
from assistant.request import CompletionRequest
from assistant.settings import Settings


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        "deploy/.env.production",
        "prod.env",
        "/home/user/keys/server.pem",
        "id_rsa",
        "id_rsa.pub",
        "ID_ED25519",
        "tls/private.KEY",
        ".netrc",
        ".pypirc",
        ".npmrc",
        "credentials.json",
        "credentials",
        "infra/terraform.tfstate",
        "infra/terraform.tfstate.backup",
        "C:\\Users\\me\\.ssh\\config",
        "/home/user/.aws/config",
        ".ssh/known.py",
        ".Renviron",
        "worker/.dev.vars",
        ".dev.vars.staging",
        "ci-kubeconfig.yaml",
        "kubeconfig",
        "k8s/secret.yaml",
        "secret.yml",
    ],
)
def test_secret_files_are_excluded(path: str) -> None:
    assert is_excluded(path)


@pytest.mark.parametrize(
    "path", ["environment.py", "pem.py", "keyboard.py", "src/my_credentials.py", "a.tf", ""]
)
def test_ordinary_files_are_not_excluded(path: str) -> None:
    assert not is_excluded(path)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*_pb2.py", "api/v1/user_pb2.py", True),
        ("*_pb2.py", "api/user.py", False),
        ("generated/*", "/repo/src/generated/deep/a.py", True),
        ("generated/*", "/repo/src/regenerated/a.py", False),
        ("/vendor/", "vendor/a.py", True),
        ("private/", "private/pay.py", True),
        ("private", "private/pay.py", True),
        ("private", "src/private/deep/pay.py", True),
        ("**/private/**", "private/pay.py", True),
        ("**/x.py", "x.py", True),
        ("*.secret.py", "a.secret.py", True),
        ("PRIVATE/", "/w/Private/pay.py", True),
        ("private/", "privateer/pay.py", False),
    ],
)
def test_patterns_of_the_user_add(pattern: str, path: str, expected: bool) -> None:
    assert is_excluded(path, (pattern,)) is expected
    assert is_excluded(".env", (pattern,))


def request(
    path: str = "a.py", text: str = "x = ", language: str | None = None
) -> CompletionRequest:
    return CompletionRequest(path=path, text=text, offset=len(text), language=language)


@pytest.mark.parametrize(
    ("asked", "settings", "reason"),
    [
        (request(), Settings(), None),
        (request("notes", language="python"), Settings(), None),
        (request(), Settings(enabled=False), "disabled"),
        (request(".env", language="python"), Settings(), "excluded file"),
        (request(), Settings(exclude=("a.*",)), "excluded file"),
        (request("notes.txt"), Settings(), "unknown language"),
        (request(text="x" * (MAX_TEXT_CHARS + 1)), Settings(), "over 2000000 characters"),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_refusal_gives_its_reason(
    asked: CompletionRequest, settings: Settings, reason: str | None
) -> None:
    assert why_refused(asked, settings) == reason


def test_a_text_of_just_the_limit_is_completed() -> None:
    assert why_refused(request(text="x" * 2_000_000), Settings()) is None
