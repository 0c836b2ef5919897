"""One attempt against a server that misbehaves: each fault has a name, and each one ends."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import RemoteError
from assistant.remote import connection
from assistant.remote.connection import MAX_ANSWER_BYTES, parse_object
from tests.remote_faults import FAULTS
from tests.remote_lines import Line, ask, connected, kind
from tests.remote_server import END, chunk, completion, event, head, plain, remote_server
from tests.rounds import count


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_a_name_and_ends(name: str, lines: list[Line]) -> None:
    reply, expected = FAULTS[name]
    limits = (0.3, 0.6) if expected == "too slow" else (60.0, 120.0)
    flight, _, outcomes = ask(lines, reply, read_s=limits[0], total_s=limits[1])
    assert kind(flight) == expected
    assert outcomes == [expected]
    assert flight.bytes_received <= MAX_ANSWER_BYTES + (1 << 17)
    assert "sk-secret" not in str(flight.error)
    assert not lines[0].sender._inflight
    count(1)


@pytest.mark.parametrize(
    "value", ["99999999999999999999", "3600", "Wed, 21 Oct 2093 07:28:00 GMT", "31"]
)
def test_a_long_wait_is_not_waited(value: str, lines: list[Line]) -> None:
    reply = [plain("429 Slow Down", extra=f"Retry-After: {value}\r\n")]
    flight, _, outcomes = ask(lines, reply, total_s=20.0)
    assert outcomes == ["busy"]
    assert flight.error is not None
    assert flight.error.retry_after_s is not None
    assert 30 < flight.error.retry_after_s <= 3_600


@pytest.mark.parametrize("value", ["soon", "-5", "Wed, 99 Oct"])
def test_a_senseless_wait_is_none(value: str, lines: list[Line]) -> None:
    reply = [plain("429 Slow Down", extra=f"Retry-After: {value}\r\n")]
    flight, _, outcomes = ask(lines, reply)
    assert flight.error is not None
    assert flight.error.retry_after_s is None
    assert outcomes == ["busy"]


def test_cookies_are_not_kept(lines: list[Line]) -> None:
    reply = completion("x")
    reply[0] = head(extra="Set-Cookie: track=1; Path=/\r\n")
    with connected(lines, reply) as (line, server):
        line.ask(), line.ask()
        assert all("cookie" not in request.headers for request in server.received)


@pytest.mark.parametrize("case", ["expired", "other name", "unknown authority", "good"])
def test_certificates_are_checked(case: str, lines: list[Line], tmp_path: Any) -> None:
    import datetime

    import trustme

    authority = trustme.CA()
    ended = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = authority.issue_cert(
        "other.example" if case == "other name" else "127.0.0.1",
        **({"not_before": datetime.datetime(2019, 1, 1, tzinfo=datetime.UTC), "not_after": ended}
           if case == "expired" else {}),
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(tls)
    ca_file = tmp_path / "ca.pem"
    (trustme.CA() if case == "unknown authority" else authority).cert_pem.write_to_path(ca_file)
    with connected(lines, completion("x"), tls=tls, ca_file=str(ca_file)) as (line, server):
        flight = line.ask()
        assert kind(flight) == ("ok" if case == "good" else "unreachable")
        if case != "good":
            assert "certificate" in str(flight.error)
            assert server.received == []
            assert line.outcomes == ["unreachable"]


@pytest.mark.parametrize("status", [400, 422])
def test_a_request_that_a_server_does_not_take_names_the_settings_for_it(
    status: int, lines: list[Line]
) -> None:
    """As where a server that knows no `suffix` is asked without a template."""
    with connected(lines, [plain(f"{status} No", b'{"error": "no suffix"}')]) as (line, _):
        said = f"the server takes no such request ({status}); see provider, model and template"
        assert str(line.ask().error) == said


def test_stopping_works_under_tls(lines: list[Line], tmp_path: Any) -> None:
    import trustme

    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with connected(lines, ["hang"], tls=tls, ca_file=str(tmp_path / "ca.pem")) as (line, server):
        flight = line.start()
        server.wait_received()
        flight.halt()
        server.wait_closed()


def test_certificates_that_are_none_are_named_before_anything_is_sent(
    lines: list[Line], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All three were `holds no certificates`, after the request had been written down as sent."""
    (tmp_path / "key.pem").write_text("no certificate")
    monkeypatch.setattr(connection, "_open_trust", connection._open_trust.__wrapped__)  # unkept
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    for ca_file, said in (
        ("/nonexistent.pem", "ca_file: cannot open /nonexistent.pem: No such file"),
        (str(tmp_path / "key.pem"), f"ca_file '{tmp_path}/key.pem' holds no certificates"),
        ("", "what SSL_CERT_FILE or SSL_CERT_DIR names holds no certificates"),
    ):
        line = Line("https://127.0.0.1:1", ca_file=ca_file)
        lines.append(line)
        assert str(line.ask().error).startswith(said)
        assert line.outcomes == []
        assert line.sender.obstacle.startswith(said)


def test_certificates_below_the_home_are_found(
    lines: list[Line], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trustme

    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    remark = "# ausgestellt für das Büro\n".encode()
    (tmp_path / "ca.pem").write_bytes(remark + authority.cert_pem.bytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with connected(lines, completion("x"), tls=tls, ca_file="~/ca.pem") as (line, _):
        assert line.ask().text == "x"


def test_a_proxy_of_the_environment_may_lack_its_scheme(
    lines: list[Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    with remote_server([plain("407 Who are you")]) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.removeprefix("http://"))
        line = Line("https://code.example", send_code_to="code.example")
        lines.append(line)
        assert kind(line.ask()) == "unreachable"
        assert (proxy.received[0].method, proxy.received[0].path) == ("CONNECT", "code.example:443")
    monkeypatch.setenv("https_proxy", "socks5://me:secret@127.0.0.1:1")
    said = "the proxy of HTTPS_PROXY or ALL_PROXY must be http(s)://HOST[:PORT][/PATH], got "
    assert str(line.ask().error) == f"{said}'127.0.0.1:1'"
    assert line.outcomes == ["unreachable"]


def test_a_proxy_passes_it_on(lines: list[Line]) -> None:
    with remote_server(completion("x")) as proxy:
        address = proxy.url.replace("//", "//user:p%40ss@")
        line = Line("http://127.0.0.1:9", proxy=address)
        lines.append(line)
        assert line.ask().text == "x"
        (request,) = proxy.received
        assert request.path == "http://127.0.0.1:9/v1/completions"
        assert request.headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"


def test_a_proxy_opens_a_tunnel_and_may_refuse(lines: list[Line]) -> None:
    with remote_server([plain("407 Who are you")]) as proxy:
        line = Line("https://127.0.0.1:9", proxy=proxy.url)
        lines.append(line)
        assert kind(line.ask()) == "unreachable"
        assert (proxy.received[0].method, proxy.received[0].path) == ("CONNECT", "127.0.0.1:9")


def test_an_answer_may_be_cut_anywhere(lines: list[Line]) -> None:
    data = event({"choices": [{"text": "größe 漢 😀"}]}).replace(b"\n", b"\r\n")
    data = b"\xef\xbb\xbf" + data + b": a comment\r\nevent: x\r\ndata:[DONE]\r\n\r\ndata: 1\r\n"
    pieces = [chunk(data[i : i + 1]) for i in range(len(data))]
    flight, _, outcomes = ask(lines, [head(), *pieces, END])
    assert (flight.text, outcomes) == ("größe 漢 😀", ["ok"])


@pytest.mark.parametrize(
    ("last", "expected"), [(b'{"response": "b", "done": true}', "ok"), (b'{"resp', "broken off")]
)
def test_a_last_line_end_may_be_missing(last: bytes, expected: str, lines: list[Line]) -> None:
    body = chunk(b'{"response": "a", "done": false}\n') + chunk(last)
    reply = [head(kind="application/x-ndjson"), body, END]
    flight, _, outcomes = ask(lines, reply, provider="ollama")
    assert outcomes == [expected]
    assert flight.text == ("ab" if expected == "ok" else "a")


@pytest.mark.parametrize(
    "text", ["", "1", "[]", "nul", "[" * 100_000, '{"a":' * 100_000, "1" * 5_000, '{"a": NaNN}']
)
def test_other_json_is_not_understood(text: str) -> None:
    with pytest.raises(RemoteError):
        parse_object(text.encode())


def test_brackets_in_texts_are_no_nesting() -> None:
    assert parse_object(json.dumps({"a": "[{" * 500 + '"'}).encode()) == {"a": "[{" * 500 + '"'}
