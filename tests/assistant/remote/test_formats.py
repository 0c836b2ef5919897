"""Each provider's way of asking and answering, on plain values."""

from typing import Any

import pytest

from assistant.errors import RemoteError
from assistant.remote.formats import (
    FORMATS,
    TEMPLATES,
    Piece,
    fill_template,
    read_piece,
    tidy_answer,
    write_body,
)
from assistant.remote.settings import RemoteSettings


class Format:
    """A provider's format with settings."""

    def __init__(self, settings: RemoteSettings) -> None:
        self.settings = settings
        self.path = FORMATS[settings.provider].path

    def body(self, **changes: Any) -> dict[str, Any]:
        table: dict[str, Any] = {
            "prefix": "a = ", "suffix": "\nb = 2\n", "language": "python", "single_line": True,
        }  # fmt: skip
        return write_body(self.settings, **(table | changes))

    def piece(self, table: dict[str, Any]) -> Piece:
        return read_piece(table, self.settings)

    def tidy(self, text: str, document: str = "") -> str:
        return tidy_answer(text, self.settings, document)


def backend(provider: str, **changes: Any) -> Format:
    table: dict[str, Any] = {
        "mode": "race", "provider": provider, "model": "m", "max_new_tokens": 32,
    }  # fmt: skip
    if not FORMATS[provider].url:
        table["url"] = "https://models.example"
    if provider == "vllm":
        table["template"] = "qwen"
    return Format(RemoteSettings(**(table | changes)))


def test_openai_takes_a_suffix() -> None:
    format_ = backend("openai")
    assert format_.path == "/v1/completions"
    assert format_.body() == {
        "model": "m",
        "prompt": "a = ",
        "suffix": "\nb = 2\n",
        "max_tokens": 32,
        "temperature": 0,
        "stop": ["\n"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_several_lines_stop_elsewhere() -> None:
    assert backend("openai").body(single_line=False)["stop"] == ["\n\n\n"]


def test_vllm_gets_markers_and_no_suffix() -> None:
    body = backend("vllm").body()
    assert body["prompt"] == "<|fim_prefix|>a = <|fim_suffix|>\nb = 2\n<|fim_middle|>"
    assert "suffix" not in body
    assert len(body["stop"]) <= 4


def test_mistral_speaks_of_prompt_and_suffix() -> None:
    format_ = backend("mistral")
    body = format_.body()
    assert format_.path == "/v1/fim/completions"
    assert (body["prompt"], body["suffix"], body["max_tokens"]) == ("a = ", "\nb = 2\n", 32)


def test_deepseek_is_beneath_its_own_address() -> None:
    format_ = backend("deepseek")
    assert format_.path == "/completions"
    assert "stream_options" not in format_.body()


def test_ollama_lets_the_server_place_the_suffix() -> None:
    body = backend("ollama").body()
    assert (body["prompt"], body["suffix"]) == ("a = ", "\nb = 2\n")
    assert body["options"] == {"num_predict": 32, "temperature": 0, "stop": ["\n"]}


def test_ollama_takes_a_raw_prompt_with_a_template() -> None:
    body = backend("ollama", template="starcoder").body()
    assert body["prompt"] == "<fim_prefix>a = <fim_suffix>\nb = 2\n<fim_middle>"
    assert body["raw"] is True
    assert "suffix" not in body


def test_llamacpp_needs_no_model() -> None:
    format_ = backend("llamacpp", model="")
    body = format_.body()
    assert (body["input_prefix"], body["input_suffix"]) == ("a = ", "\nb = 2\n")
    assert "model" not in body


def test_chat_marks_the_gap() -> None:
    order, text = backend("openai-chat").body()["messages"]
    assert "python" in order["content"]
    assert "rest of the line" in order["content"]
    assert text["content"] == "a = <GAP/>\nb = 2\n"


@pytest.mark.parametrize("provider", FORMATS)
@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("x + 1", "x + 1"),
        ("```python\nx + 1\n```", "x + 1"),
        ("```\nx + 1\n```\n", "x + 1"),
        ("\n  ```c++\nx + 1\n```\nThis adds one.", "x + 1"),
        ("```x + 1```", "x + 1"),
        ("```python", ""),
        ("x + 1\n```\nThis adds one.", "x + 1\n"),
        ("x = '```'", "x = '```'"),
        ("x<GAP/>", "x"),
        ("x<|endoftext|>y", "x"),
        ("x<|im_end|>\n<|im_start|>user", "x"),
        ("x<fim_middle>y", "x"),
        ("x<\uff5cfim\u2581end\uff5c>y", "x"),
        ("x</s>", "x"),
        ("x [/INST]", "x "),
        ("a <b> c < d | e > f", "a <b> c < d | e > f"),
    ],
)
def test_answers_lose_fences_and_markers(provider: str, text: str, tidy: str) -> None:
    """2026-11-29: only chats lost fences, and only the markers of the own template were cut."""
    assert backend(provider).tidy(text) == tidy


def test_fences_and_markers_of_the_document_are_code() -> None:
    document = "MARK = '<|endoftext|>'\nHTML = '<s>'\n# ```\n"
    for text in ("x<|endoftext|>y", "x</s>y"):
        assert backend("openai").tidy(text, document) == text
    assert backend("openai").tidy("```\nx", "```\n") == "```\nx"
    assert backend("vllm").tidy("x<|endoftext|>y", document) == "x"  # a stop of its own


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_hold_both_sides(name: str) -> None:
    template = TEMPLATES[name]
    prompt = fill_template(template, "PREFIX-TEXT", "SUFFIX-TEXT")
    assert prompt.count("PREFIX-TEXT") == prompt.count("SUFFIX-TEXT") == 1
    assert (prompt.index("SUFFIX") < prompt.index("PREFIX-")) or not template.suffix_first


@pytest.mark.parametrize("name", TEMPLATES)
def test_text_with_a_marker_is_not_sent(name: str) -> None:
    template = TEMPLATES[name]
    for text in (("x" + template.between, ""), ("", template.before + "x")):
        with pytest.raises(RemoteError, match="markers"):
            fill_template(template, *text)


PIECES: list[tuple[str, dict[str, Any], Piece]] = [
    ("openai", {"choices": [{"text": "x", "finish_reason": None}]}, Piece(text="x")),
    ("openai", {"choices": [{"text": "", "finish_reason": "length"}]},
     Piece(finish_reason="length")),
    ("openai", {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}},
     Piece(prompt_tokens=7, new_tokens=2)),
    ("openai", {"choices": [{"text": "x"}], "usage": {"prompt_tokens": -1}}, Piece(text="x")),
    ("mistral", {"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]},
     Piece(text="x", finish_reason="stop")),
    ("mistral", {"choices": [{"delta": {"role": "assistant"}}]}, Piece()),
    ("openai-chat", {"choices": [{"delta": {"content": None}}]}, Piece()),
    ("ollama", {"response": "x", "done": False}, Piece(text="x")),
    ("ollama", {"response": "", "done": True, "done_reason": "length",
                "prompt_eval_count": 5, "eval_count": 4},
     Piece(finish_reason="length", prompt_tokens=5, new_tokens=4)),
    ("ollama", {"response": "", "done": True}, Piece(finish_reason="stop")),
    ("llamacpp", {"content": "x", "stop": False}, Piece(text="x")),
    ("llamacpp", {"content": "", "stop": True, "stop_type": "limit", "tokens_predicted": 3,
                  "tokens_evaluated": 9},
     Piece(finish_reason="length", prompt_tokens=9, new_tokens=3)),
    ("llamacpp", {"content": "", "stop": True, "stopped_limit": True},
     Piece(finish_reason="length")),
    ("llamacpp", {"content": "", "stop": True, "stop_type": "eos"}, Piece(finish_reason="stop")),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "table", "expected"), PIECES)
def test_pieces_are_read(provider: str, table: dict[str, Any], expected: Piece) -> None:
    assert backend(provider).piece(table) == expected


@pytest.mark.parametrize(
    ("provider", "table"),
    [
        ("openai", {}),
        ("openai", {"choices": {}}),
        ("openai", {"choices": ["x"]}),
        ("openai", {"choices": [{"text": 3}]}),
        ("openai", {"error": {"message": "no"}, "choices": []}),
        ("mistral", {"choices": [{"delta": "x"}]}),
        ("mistral", {"choices": [{"delta": {"content": ["x"]}}]}),
        ("ollama", {"done": True}),
        ("ollama", {"error": "no such model"}),
        ("llamacpp", {"stop": True}),
        ("llamacpp", {"content": 1}),
    ],
)
def test_other_tables_are_not_understood(provider: str, table: dict[str, Any]) -> None:
    with pytest.raises(RemoteError):
        backend(provider).piece(table)


LOGPROBS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("openai", {"logprobs": 1},
     {"choices": [{"text": "a b", "logprobs": {"token_logprobs": [-0.5, -1.5], "tokens": []}}]}),
    ("vllm", {"logprobs": 1},
     {"choices": [{"text": "a b", "logprobs": {"token_logprobs": [-2.0]}}]}),
    ("deepseek", {"logprobs": 1},
     {"choices": [{"text": "a b", "logprobs": {"token_logprobs": [-2.0]}}]}),
    ("openai-chat", {"logprobs": True},
     {"choices": [{"delta": {"content": "a b"},
                   "logprobs": {"content": [{"logprob": -0.5}, {"logprob": -1.5}]}}]}),
    ("ollama", {"logprobs": True},
     {"response": "a b", "done": False, "logprobs": [{"token": "a b", "logprob": -2}]}),
    ("llamacpp", {"n_probs": 1},
     {"content": "a b", "stop": False, "completion_probabilities": [{"logprob": -2.0}]}),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "asked", "told"), LOGPROBS)
def test_how_sure_a_server_is_is_asked_and_read(
    provider: str, asked: dict[str, Any], told: dict[str, Any]
) -> None:
    format_ = backend(provider, logprobs="always")
    body = format_.body()
    assert {name: body[name] for name in asked} == asked
    assert format_.piece(told) == Piece(text="a b", logprob=-2.0)
    silent = backend(provider, logprobs="never").body()
    assert not asked.keys() & silent.keys()


def test_how_sure_it_is_is_asked_of_those_known_to_say() -> None:
    asking = {name for name in FORMATS if {"logprobs", "n_probs"} & backend(name).body().keys()}
    assert asking == {"vllm", "llamacpp", "ollama", "deepseek"}


@pytest.mark.parametrize(
    "told", [None, [], {}, 7, [None], ["x"], [{"logprob": None}], [float("nan")], [True],
             {"token_logprobs": [-1.0, None]}, {"content": "x"}],
)  # fmt: skip
def test_a_word_that_cannot_be_read_is_none(told: Any) -> None:
    table = {"choices": [{"text": "x", "logprobs": told}]}
    assert backend("openai").piece(table) == Piece(text="x")


def test_a_probability_above_one_is_one() -> None:
    table = {"choices": [{"text": "x", "logprobs": {"token_logprobs": [3.0]}}]}
    assert backend("openai").piece(table).logprob == 0.0
