"""`foretype serve` among many: who is let in, whose turn it is, and clients that behave badly."""

import asyncio
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import openai
import pytest

from tests.completion_service import WAIT_S, Service, serving
from tests.scripted import SAMPLE
from tests.waiting import wait_for

KEYS = ("first-key-0123456789", "second-key-0123456789")
PROMPT = SAMPLE[: SAMPLE.index("return [line")]


def metric(service: Service, name: str, key: str = "") -> float:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    address = f"http://127.0.0.1:{service.port}/metrics"
    lines = httpx2.get(address, headers=headers).text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines)
    return float(values.get(f"foretype_{name}", 0))


def create(service: Service, key: str = "none", **changes: Any) -> Any:
    asked = {"model": "scripted", "prompt": PROMPT, "max_tokens": 8} | changes
    return service.client(key).completions.create(**asked)


def raw_request(service: Service, **changes: Any) -> bytes:
    body = json.dumps({"model": "scripted", "prompt": PROMPT, "max_tokens": 100} | changes)
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


def test_without_its_key_nobody_is_answered_but_health() -> None:
    with serving(keys=KEYS) as service:
        for key in ("wrong-key-0123456789", KEYS[0][:-1], KEYS[0] + "0", "ü", "x" * 9_000):
            with pytest.raises((openai.AuthenticationError, UnicodeEncodeError)):
                create(service, key)
        base = f"http://127.0.0.1:{service.port}"
        for path in ("/v1/models", "/metrics"):
            refused = httpx2.get(base + path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            assert refused.json()["error"]["code"] == "invalid_api_key"
        assert httpx2.get(f"{base}/health").json() == {"status": "ok"}
        assert not service.runtime.reached.is_set()
        assert all(create(service, key).choices[0].text for key in KEYS)


def test_without_keys_a_page_in_a_browser_does_not_reach_it() -> None:
    with serving() as service:
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
            refused = httpx2.get(f"{service.url}/models", headers={"Host": host})
            assert refused.status_code == 400
        for host in (f"localhost:{service.port}", "127.0.0.1", f"[::1]:{service.port}"):
            answered = httpx2.get(f"{service.url}/models", headers={"Host": host})
            assert answered.status_code == 200
        plain = httpx2.post(f"{service.url}/completions", content=b"{}")
        assert plain.status_code == 415


def test_wrong_addresses_and_methods_are_errors_of_the_same_form() -> None:
    with serving() as service:
        assert httpx2.get(f"{service.url}/completions").json()["error"]["message"]
        assert httpx2.get(f"{service.url}/completions").status_code == 405
        missing = httpx2.post(f"{service.url}/chat/completions", json={})
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, None)


@pytest.mark.parametrize("has_length", [True, False])
def test_oversized_body_is_refused(has_length: bool) -> None:
    with serving() as service:
        data = b'{"prompt": "' + b"x" * (3 << 20) + b'"}'
        pieces = data if has_length else (data[i : i + 65_536] for i in range(0, len(data), 65_536))
        headers = {"Content-Type": "application/json"}
        answer = httpx2.post(f"{service.url}/completions", content=pieces, headers=headers)
        assert answer.status_code == 413
        assert "bytes" in answer.json()["error"]["message"]
        assert create(service).choices[0].text  # and the server goes on


def test_rate_is_limited_by_key() -> None:
    with serving(keys=KEYS, per_minute=3) as service:
        for _ in range(3):
            create(service, KEYS[0])
        with pytest.raises(openai.RateLimitError) as caught:
            create(service, KEYS[0])
        assert 1 <= int(caught.value.response.headers["retry-after"]) <= 20
        assert create(service, KEYS[1]).choices[0].text


def test_heavy_client_delays_another_by_one_answer() -> None:
    with serving(keys=KEYS) as service, ThreadPoolExecutor(24) as pool:
        service.runtime.gate.clear()
        order: list[str] = []
        lock = threading.Lock()

        def ask(name: str, key: str) -> None:
            create(service, key)
            with lock:
                order.append(name)

        heavy = [pool.submit(ask, "heavy", KEYS[0]) for _ in range(12)]
        wait_for(lambda: metric(service, "waiting", KEYS[0]) == 11)
        light = pool.submit(ask, "light", KEYS[1])
        wait_for(lambda: metric(service, "waiting", KEYS[0]) == 12)
        service.runtime.gate.set()
        for each in (*heavy, light):
            each.result(WAIT_S)
        assert order.index("light") <= 4  # third by turns; clients hear of it in any order


def test_too_many_waiting_requests_of_one_key_are_refused() -> None:
    with serving(keys=KEYS) as service, ThreadPoolExecutor(40) as pool:
        service.runtime.gate.clear()
        asked = [pool.submit(create, service, KEYS[0]) for _ in range(35)]
        wait_for(lambda: sum(each.done() for each in asked) == 2)
        assert metric(service, "waiting", KEYS[0]) == 32
        service.runtime.gate.set()
        faults = [type(each.exception(WAIT_S)) for each in asked if each.exception(WAIT_S)]
        assert faults == [openai.RateLimitError] * 2


def test_who_waits_too_long_is_told_so() -> None:
    with serving(deadline=1) as service, ThreadPoolExecutor(2) as pool:
        service.runtime.gate.clear()
        first = pool.submit(create, service)
        assert service.runtime.reached.wait(WAIT_S)
        with pytest.raises(openai.InternalServerError) as caught:
            create(service)
        assert caught.value.status_code == 503
        assert caught.value.response.headers["retry-after"] == "1"
        service.runtime.gate.set()
        assert isinstance(first.exception(WAIT_S), openai.InternalServerError)  # its time was up
        assert metric(service, "waiting") == 0


@pytest.mark.parametrize("stream", [False, True])
def test_client_that_leaves_stops_the_network(stream: bool) -> None:
    with serving(SAMPLE * 8) as service:
        service.runtime.gate.clear()
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(raw_request(service, stream=stream, max_tokens=128))
            assert service.runtime.reached.wait(WAIT_S)
        gone = 'requests_total{path="/v1/completions",status="499"}'
        wait_for(lambda: metric(service, gone) == 1)
        service.runtime.gate.set()
        create(service, max_tokens=1)
        assert service.runtime.n_calls < 20  # not the 128 of who left
        assert metric(service, "completion_seconds_count") == 1


def test_client_that_leaves_in_the_middle_of_a_stream_stops_it() -> None:
    with serving(SAMPLE * 8) as service:
        service.runtime.closes_at = 20  # a client could be too slow to do it in time
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(raw_request(service, stream=True, max_tokens=128))
            received = b""
            while b"data: " not in received:
                received += client.recv(65_536)
            wait_for(lambda: not service.runtime.gate.is_set())
        wait_for(lambda: not service.web.server_state.connections)
        metric(service, "waiting")  # the server has done what came before
        service.runtime.closes_at = 0
        service.runtime.gate.set()
        create(service, max_tokens=1)
        assert service.runtime.n_calls < 50  # not the 128 of who left


def test_waiting_client_that_leaves_makes_room() -> None:
    with serving() as service, ThreadPoolExecutor(2) as pool:
        service.runtime.gate.clear()
        first = pool.submit(create, service)
        assert service.runtime.reached.wait(WAIT_S)
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(raw_request(service))
            wait_for(lambda: metric(service, "waiting") == 1)
        wait_for(lambda: metric(service, "waiting") == 0)
        service.runtime.gate.set()
        assert first.result(WAIT_S).choices[0].text


@pytest.mark.asyncio
async def test_slow_reader_does_not_hold_the_network() -> None:
    """At the interface of the web server: its `send` waits while a client reads nothing."""
    with serving(SAMPLE * 8) as service:
        texts: dict[str, bytes] = {"slow": b"", "quick": b""}
        reads = {"slow": asyncio.Event(), "quick": asyncio.Event()}
        reads["quick"].set()

        async def ask(name: str) -> None:
            body = json.dumps({"model": "scripted", "prompt": PROMPT, "stream": True}).encode()
            messages = [{"type": "http.request", "body": body, "more_body": False}]
            headers = [(b"content-type", b"application/json"), (b"host", b"localhost")]

            async def receive() -> Any:
                if messages:
                    return messages.pop()
                return await asyncio.Event().wait()

            async def send(message: Any) -> None:
                await reads[name].wait()
                texts[name] += message.get("body", b"")

            scope = {"type": "http", "method": "POST", "path": "/v1/completions"}
            await service.server.app(scope | {"headers": headers}, receive, send)

        slow = asyncio.create_task(ask("slow"))
        await asyncio.to_thread(service.runtime.reached.wait, WAIT_S)
        await asyncio.wait_for(ask("quick"), WAIT_S)
        assert b"[DONE]" in texts["quick"]
        assert texts["slow"] == b""
        reads["slow"].set()
        await asyncio.wait_for(slow, WAIT_S)
        assert b"[DONE]" in texts["slow"]


def test_stop_lets_those_who_have_asked_be_answered() -> None:
    with ThreadPoolExecutor(3) as pool:
        with serving() as service:
            service.runtime.gate.clear()
            asked = [pool.submit(create, service) for _ in range(3)]
            wait_for(lambda: metric(service, "waiting") == 2)
        assert all(each.result(WAIT_S).choices[0].text for each in asked)
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"{service.url}/models")


def test_metrics_hold_counts_and_no_text() -> None:
    with serving() as service:
        create(service, prompt="PRIVATE = 1\n")
        text = httpx2.get(f"http://127.0.0.1:{service.port}/metrics").text
        assert "PRIVATE" not in text
        assert metric(service, "completion_tokens_total") == 8
        assert metric(service, 'completion_seconds_bucket{le="+Inf"}') == 1
        assert metric(service, 'requests_total{path="/v1/completions",status="200"}') == 1
        assert metric(service, "prompt_tokens_total") > 0


def test_many_who_type_keep_what_was_read() -> None:
    with serving() as service:
        prompts = [f"{PROMPT * 3}# {number}\n{PROMPT}" for number in range(12)]
        prompts = [prompt.replace("path", f"path{n}") for n, prompt in enumerate(prompts)]
        for prompt in prompts:
            create(service, prompt=prompt, max_tokens=1)
        before = service.runtime.n_appended
        for prompt in prompts:
            create(service, prompt=f"{prompt}x", max_tokens=1)
        assert service.runtime.n_appended - before < 12 * 20
        assert before > 12 * 80
