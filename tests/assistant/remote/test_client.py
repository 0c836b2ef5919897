"""One attempt against a server that misbehaves: each fault has a name, and each one ends."""

import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from assistant.remote.client import MAX_ANSWER_BYTES
from tests.remote_faults import FAULTS
from tests.remote_lines import Line, ask, kind
from tests.remote_server import completion, head, plain, remote_server


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    opened: list[Line] = []
    yield opened
    for line in opened:
        line.transport.close()


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_a_name_and_ends(name: str, lines: list[Line]) -> None:
    reply, expected = FAULTS[name]
    limits = (0.3, 0.6) if expected == "too slow" else (5.0, 8.0)
    flight, _, notes = ask(lines, reply, read_s=limits[0], total_s=limits[1])
    assert kind(flight) == expected
    assert notes.outcomes == [expected]
    assert flight.bytes_received <= MAX_ANSWER_BYTES + (1 << 17)
    assert "sk-secret" not in str(flight.error)
    assert lines[0].transport.n_inflight == 0


@pytest.mark.parametrize(
    "value", ["99999999999999999999", "3600", "Wed, 21 Oct 2093 07:28:00 GMT", "31"]
)
def test_a_long_wait_is_not_waited(value: str, lines: list[Line]) -> None:
    reply = [plain("429 Slow Down", extra=f"Retry-After: {value}\r\n")]
    flight, _, notes = ask(lines, reply, total_s=20.0)
    assert notes.outcomes == ["busy"]
    assert flight.error is not None
    assert flight.error.retry_after_s is not None
    assert 30 < flight.error.retry_after_s <= 3_600


@pytest.mark.parametrize("value", ["soon", "-5", "Wed, 99 Oct"])
def test_a_senseless_wait_is_none(value: str, lines: list[Line]) -> None:
    reply = [plain("429 Slow Down", extra=f"Retry-After: {value}\r\n")]
    flight, _, notes = ask(lines, reply)
    assert flight.error is not None
    assert flight.error.retry_after_s is None
    assert notes.outcomes == ["busy"] * 3


def test_cookies_are_not_kept(lines: list[Line]) -> None:
    reply = completion("x")
    reply[0] = head(extra="Set-Cookie: track=1; Path=/\r\n")
    with remote_server(reply) as server:
        line = Line(server.url)
        lines.append(line)
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
    with remote_server(completion("x"), tls=tls) as server:
        line = Line(server.url, ca_file=str(ca_file))
        lines.append(line)
        flight = line.ask()
        assert kind(flight) == ("ok" if case == "good" else "unreachable")
        if case != "good":
            assert "certificate" in str(flight.error)
            assert server.received == []
            assert line.notes.outcomes == ["unreachable"]


def test_stopping_works_under_tls(lines: list[Line], tmp_path: Any) -> None:
    import trustme

    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with remote_server(["hang"], tls=tls) as server:
        line = Line(server.url, ca_file=str(tmp_path / "ca.pem"))
        lines.append(line)
        flight = line.start()
        server.wait_received()
        flight.stop()
        server.wait_closed()


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"ca_file": "/nonexistent.pem"}, "ca_file"), ({"proxy": "socks5://127.0.0.1:1"}, "proxies")],
)
def test_a_client_that_cannot_be_made_is_an_error(
    changes: dict[str, Any], said: str, lines: list[Line]
) -> None:
    line = Line("http://127.0.0.1:1", **changes)
    lines.append(line)
    flight = line.ask()
    assert said in str(flight.error)
    assert line.notes.outcomes == ["failed"]


def test_a_proxy_gets_the_request(lines: list[Line]) -> None:
    with remote_server(completion("x")) as proxy:
        line = Line("http://127.0.0.1:9", proxy=proxy.url)
        lines.append(line)
        assert line.ask().text == "x"
        assert proxy.received[0].path == "http://127.0.0.1:9/v1/completions"
