"""Addresses of people and machines: whose they are, and what stands in for them."""

import pytest

from assistant.privacy.redaction import find, redact
from tests.secret_gallery import drawn


@pytest.mark.parametrize(
    "address",
    [
        "93.184.0.34", "93.184.255.34", "20.19.18.17", "198.51.100.7", "172.32.0.1", "192.0.3.1",
        "2a00::1:2", "2a00:1450:4001:82b:0:0:0:200e", "3fff:1::2",
    ],
)  # fmt: skip
def test_an_address_of_a_machine_goes(address: str) -> None:
    assert [finding.kind for finding in find(f"host {address} is up")] == ["IP address"]
    assert [finding.start for finding in find(address)] == [0]


@pytest.mark.parametrize(
    "address",
    [
        "93.184.216.0", "93.184.216.255", "0.184.216.34", "19.19.19.19", "100.64.3.4", "198.18.3.4",
        "169.254.1.2", "224.93.184.34", "239.93.184.34", "240.1.2.34", "192.0.2.200", "127.93.1.2",
        "2a00::1", "2001:db8::1:2", "2a00:1450::g", "93.184.216.256", "1.93.184.216.34",
    ],
)  # fmt: skip
def test_an_address_of_nobody_stays(address: str) -> None:
    assert find(f"host {address} is up") == []


def test_numbers_of_stand_ins_go_round() -> None:
    text = " ".join(f"93.184.{n % 256}.{34 + n // 256}" for n in range(255))
    clean = redact(text)[0].split()
    assert clean == [*(f"192.0.2.{n}" for n in range(1, 255)), "192.0.2.1"]


def test_each_address_of_version_six_has_a_stand_in() -> None:
    clean, counts = redact("\n".join(f"2a00:1450::{n:x}:1" for n in range(1, 19)))
    assert clean.split() == [f"2001:db8::{n:x}" for n in range(1, 19)]
    assert redact(clean) == (clean, {}) and counts == {"IP address": 18}


@pytest.mark.parametrize(
    ("text", "is_somebody"),
    [
        ("ab@host.de", True),
        ("b@host.de", False),  # one letter before two is a product
        ("jane@host.cc", False),  # an ending of files
        ("jane@host.Io", False),
        ("jane@host.mat", False),
        ("Git@host.io", False),
        ("jane@Example.io", False),
        ("jane@mail.test.io", False),
        ("jane@test.host.io", True),
        ("jane@host.io(", False),
        ("@host.io", False),
        ("-@host.io", False),
    ],
)
def test_people_are_told_from_code(text: str, is_somebody: bool) -> None:
    assert bool(find(text)) is is_somebody


def test_an_example_hides_nobody_behind_it() -> None:
    assert len(find("me@test.com, a@.x, jane@firm.io, 10.0.0.1, 93.184.216.34, 2001:db8::1")) == 2


def test_what_a_key_block_left_of_a_mail_address_is_none() -> None:
    text = f"-----BEGIN RSA PRIVATE KEY-----\n{drawn(64)}\njane@firm.io"
    clean = redact(text)[0]
    assert "jane" not in clean and redact(clean) == (clean, {})
