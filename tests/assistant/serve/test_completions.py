"""`foretype serve` asked by the official client: texts, streams, choices, stop texts, secrets."""

import json
from typing import Any

import httpx2
import openai
import pytest

from tests.completion_service import serving
from tests.scripted import SAMPLE

CUT = SAMPLE.index("return [line")
PROMPT, REST = SAMPLE[:CUT], SAMPLE[CUT:]
TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


def ask(**changes: Any) -> dict[str, Any]:
    return {"model": "scripted", "prompt": PROMPT, "max_tokens": 100} | changes


def test_client_gets_the_text_its_end_and_its_cost() -> None:
    with serving() as service:
        answer = service.client().completions.create(**ask(suffix="\n\n\nclass Counter:\n"))
        assert REST.startswith(answer.choices[0].text)
        assert answer.choices[0].text.startswith("return [line.rstrip")
        assert (answer.object, answer.model) == ("text_completion", "scripted")
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 100
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + 100


def test_stream_gives_the_same_text_in_lines() -> None:
    with serving() as service:
        client = service.client()
        whole = client.completions.create(**ask()).choices[0]
        stream = client.completions.create(
            **ask(stream=True, stream_options={"include_usage": True})
        )
        chunks = list(stream)
        assert "".join(c.choices[0].text for c in chunks if c.choices) == whole.text
        assert len(chunks) > 3
        assert all(c.choices[0].text.endswith("\n") for c in chunks[:-3])
        assert chunks[-2].choices[0].finish_reason == whole.finish_reason
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 100
        assert len({c.id for c in chunks}) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_text_ends_before_a_stop_text_though_that_is_in_several_tokens(stream: bool) -> None:
    with serving() as service:
        client = service.client()
        asked = ask(stop=["never", "\n\n\ncl"], stream=stream)
        if stream:
            chunks = list(client.completions.create(**asked))
            text = "".join(chunk.choices[0].text for chunk in chunks)
            reason = chunks[-1].choices[0].finish_reason
        else:
            choice = client.completions.create(**asked).choices[0]
            text, reason = choice.text, choice.finish_reason
        assert (text, reason) == (REST[: REST.index("\n\n\ncl")], "stop")


def test_one_stop_text_and_the_end_of_the_script() -> None:
    with serving(SAMPLE[: CUT + 30]) as service:
        client = service.client()
        line = client.completions.create(**ask(stop="(")).choices[0]
        assert (line.text, line.finish_reason) == ("return [line.rstrip", "stop")
        rest = client.completions.create(**ask()).choices[0]
        assert (rest.text, rest.finish_reason) == (REST[:30], "stop")


def test_choices_begin_differently() -> None:
    with serving() as service:
        choices = service.client().completions.create(**ask(n=3, max_tokens=3)).choices
        assert [choice.index for choice in choices] == [0, 1, 2]
        assert len({choice.text for choice in choices}) == 3
        chunks = list(service.client().completions.create(**ask(n=3, max_tokens=3, stream=True)))
        for choice in choices:
            own = [c.choices[0] for c in chunks if c.choices[0].index == choice.index]
            assert "".join(each.text for each in own) == choice.text


def test_line_ends_of_windows_are_read_as_our_own() -> None:
    with serving() as service:
        prompt = PROMPT.replace("\n", "\r\n")
        text = service.client().completions.create(**ask(prompt=prompt)).choices[0].text
        assert REST.startswith(text)
        assert text


def test_a_secret_is_never_written_not_even_in_part() -> None:
    script = f'{SAMPLE}\nNAME = "x"\nKEY = "{TOKEN}"\nREST = 1\n'
    prompt = script[: script.index("NAME")]
    with serving(script) as service:
        client = service.client()
        choice = client.completions.create(**ask(prompt=prompt, max_tokens=128)).choices[0]
        assert (choice.text, choice.finish_reason) == ('NAME = "x"\n', "content_filter")
        chunks = list(client.completions.create(**ask(prompt=prompt, max_tokens=128, stream=True)))
        assert "".join(chunk.choices[0].text for chunk in chunks) == choice.text
        within = client.completions.create(**ask(prompt=f'{prompt}KEY = "{TOKEN[:12]}'))
        assert within.choices[0].text == ""


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"model": "other"}, 404, "scripted"),
        ({"prompt": None}, 400, "prompt"),
        ({"prompt": ["a", "b"]}, 400, "prompt"),
        ({"prompt": [1, 2]}, 400, "prompt"),
        ({"temperature": 0.7}, 400, "temperature must be 0"),
        ({"logprobs": 2}, 400, "logprobs"),
        ({"best_of": 4}, 400, "best_of"),
        ({"echo": True}, 400, "echo"),
        ({"n": 0}, 400, "n must be"),
        ({"n": 9}, 400, "n must be"),
        ({"n": 1.0}, 400, "n must be"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"stop": [""]}, 400, "stop"),
        ({"stop": ["x"] * 17}, 400, "stop"),
        ({"stop": 3}, 400, "stop"),
        ({"suffix": 3}, 400, "suffix"),
        ({"stream": "yes"}, 400, "stream"),
        ({"frequency_penalty": 1}, 400, "frequency_penalty"),
        ({"no_such": 1}, 400, "no_such"),
    ],
)
def test_what_is_not_done_is_refused_by_name(
    changes: dict[str, Any], status: int, says: str
) -> None:
    with serving() as service:
        answer = httpx2.post(f"{service.url}/completions", json=ask(**changes))
        error = answer.json()["error"]
        assert answer.status_code == status
        assert says in error["message"]
        assert error["type"] == "invalid_request_error"
        assert not service.runtime.reached.is_set()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"3", b"\xff\xfe", b'{"n": ' + b"9" * 5_000 + b"}", b"[" * 100_000]
)
def test_what_is_no_request_is_one_error(body: bytes) -> None:
    with serving() as service:
        headers = {"Content-Type": "application/json"}
        answer = httpx2.post(f"{service.url}/completions", content=body, headers=headers)
        assert answer.status_code == 400
        assert "JSON" in answer.json()["error"]["message"]


def test_lone_surrogates_and_control_characters_are_text() -> None:
    with serving() as service:
        data = json.dumps(ask(prompt="\ud800\x00 x = ", suffix="\udfff"))
        headers = {"Content-Type": "Application/JSON"}  # names of types have no case
        answer = httpx2.post(f"{service.url}/completions", content=data, headers=headers)
        assert answer.status_code == 200


def test_client_sees_the_models_and_the_errors_as_its_own() -> None:
    with serving() as service:
        client = service.client()
        assert [model.id for model in client.models.list()] == ["scripted"]
        with pytest.raises(openai.NotFoundError):
            client.completions.create(**ask(model="other"))
        with pytest.raises(openai.BadRequestError):
            client.completions.create(**ask(temperature=1))


def test_long_answer_is_cut_at_a_quarter_of_the_context() -> None:
    with serving(SAMPLE * 4) as service:
        answer = service.client().completions.create(**ask(max_tokens=5_000))
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 512 // 4


def test_fault_of_the_network_says_nothing_of_the_text(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as service:
        service.runtime.max_len = 0  # so that its own check fails
        answer = httpx2.post(f"{service.url}/completions", json=ask(prompt="PRIVATE"))
        assert answer.status_code == 500
        assert answer.json()["error"]["type"] == "server_error"
        assert "AssertionError" in caplog.text
        assert "PRIVATE" not in caplog.text + answer.text
