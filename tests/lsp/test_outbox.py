"""Messages go out in order; a client that does not read holds its sender up and loses nothing."""

import json
import threading

from lsp.framing import MAX_WAITING, Outbox

TIMEOUT_S = 10.0


class SlowClient:
    """Takes nothing until it is told to."""

    def __init__(self) -> None:
        self.reads = threading.Event()
        self.data = b""

    def write(self, data: bytes) -> None:
        assert self.reads.wait(TIMEOUT_S)
        self.data += data

    def numbers(self) -> list[int]:
        bodies = self.data.split(b"Content-Length: ")[1:]
        return [json.loads(body.partition(b"\r\n\r\n")[2])["n"] for body in bodies]


def test_nothing_is_lost_while_the_client_does_not_read() -> None:
    client = SlowClient()
    outbox = Outbox(client.write, on_broken=lambda: None)
    n_put = 0
    is_full = threading.Event()

    def put_all() -> None:
        nonlocal n_put
        for number in range(3 * MAX_WAITING):
            if number == MAX_WAITING:
                is_full.set()
            outbox.wait_for_room()
            outbox.put({"n": number})
            n_put += 1

    sender = threading.Thread(target=put_all)
    sender.start()
    assert is_full.wait(TIMEOUT_S)
    sender.join(0.1)
    assert n_put == MAX_WAITING + 1  # the one more is being written
    client.reads.set()
    sender.join(TIMEOUT_S)
    outbox.close(TIMEOUT_S)
    assert client.numbers() == list(range(3 * MAX_WAITING))


def test_closing_gives_up_on_a_client_that_does_not_read() -> None:
    client = SlowClient()
    outbox = Outbox(client.write, on_broken=lambda: None)
    outbox.put({"n": 0})
    outbox.close(0.01)
    assert client.data == b""
    client.reads.set()
    outbox.close(TIMEOUT_S)
    assert client.numbers() == [0]


def test_client_that_is_gone_is_told_once_and_blocks_nobody() -> None:
    told = []

    def write(data: bytes) -> None:
        raise BrokenPipeError

    outbox = Outbox(write, on_broken=lambda: told.append(1))
    for number in range(3 * MAX_WAITING):
        outbox.wait_for_room()
        outbox.put({"n": number})
    outbox.close(TIMEOUT_S)
    assert told == [1]
