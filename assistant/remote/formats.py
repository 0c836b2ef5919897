"""The wire formats of servers of code models: how a request is written, how an answer is read.

A table of plain functions that do no input or output. Facts of public documentation: OpenAI's
completions and chat (also DeepSeek's, vLLM's and llama-cpp-python's), Mistral's FIM, Ollama's
generate, llama.cpp's infill. Models that mark the gap themselves have templates, for servers that
take plain text only.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from assistant.remote.errors import RemoteError, withheld

if TYPE_CHECKING:
    from assistant.remote.settings import RemoteSettings

_MAX_STOPS = 4  # more are refused by OpenAI
_CUT_REASONS = frozenset({"length", "max_tokens", "model_length", "limit"})
_GAP = "<GAP/>"
_CHAT_ORDER = (
    "You complete {language} source code at a cursor. The user sends a piece of a file in which "
    f"{_GAP} marks the cursor. Answer with the text that belongs in place of {_GAP} and nothing "
    "else: no explanation, no code fence, no repetition of what is already there. {lines}"
)


class Template(NamedTuple):
    """How prefix and suffix become one text, and what the model writes when it is done."""

    before: str  # ahead of the first part
    between: str
    after: str  # behind the second part: the model goes on from here
    stops: tuple[str, ...]
    suffix_first: bool = False


def fill_template(template: Template, prefix: str, suffix: str) -> str:
    """Return the prompt; RemoteError (withheld) if the text holds a marker, which would end it."""
    for marker in (template.before, template.between, template.after, *template.stops):
        if marker.strip() and (marker.strip() in prefix or marker.strip() in suffix):
            raise withheld("the text around the cursor holds one of the model's markers")
    first, second = (suffix, prefix) if template.suffix_first else (prefix, suffix)
    return f"{template.before}{first}{template.between}{second}{template.after}"


_PIPED = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
_STARCODER = Template(
    "<fim_prefix>", "<fim_suffix>", "<fim_middle>", ("<|endoftext|>", "<file_sep>", "<fim_pad>")
)
TEMPLATES: dict[str, Template] = {
    "qwen": Template(
        *_PIPED, ("<|endoftext|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|im_end|>")
    ),
    "starcoder": _STARCODER,
    "granite": _STARCODER,
    "granite4": Template(*_PIPED, ("<|end_of_text|>", "<|fim_pad|>", "<|filename|>")),
    "deepseek": Template(  # a full-width bar and a low block, unlike all the others
        "<\uff5cfim\u2581begin\uff5c>",
        "<\uff5cfim\u2581hole\uff5c>",
        "<\uff5cfim\u2581end\uff5c>",
        ("<\uff5cend\u2581of\u2581sentence\uff5c>", "<|EOT|>"),
    ),
    "codestral": Template("[SUFFIX]", "[PREFIX]", "", ("</s>",), suffix_first=True),
    "codegemma": Template(*_PIPED, ("<|file_separator|>", "<end_of_turn>", "<eos>")),
    "codellama": Template("<PRE> ", " <SUF>", " <MID>", ("<EOT>",)),
    "foretype": Template(
        _PIPED[0] + _PIPED[1], _PIPED[2], "", ("<|end|>", "<|file_sep|>"), suffix_first=True
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The text around the cursor as it leaves the machine, and how much is wanted."""

    prefix: str
    suffix: str
    language: str
    single_line: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One object of a streamed answer; a field that it lacks is empty, or None."""

    text: str = ""
    finish_reason: str | None = None  # "stop" or "length"
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    logprob: float | None = None  # of its tokens together, if the server says


@dataclass(frozen=True, kw_only=True, slots=True)
class WireFormat:
    """What a provider is known to take and to say."""

    path: str  # after the base address
    # RemoteError (withheld) if this text cannot be asked about.
    write: Callable[[Window, "RemoteSettings"], dict[str, Any]]
    read: Callable[[Mapping[str, Any]], Piece]
    url: str = ""  # the usual base address; empty: there is none
    stream_type: str = "text/event-stream"
    template: Literal["no", "may", "must"] = "no"  # must: it refuses a suffix
    # yes: documented to give them; others may refuse a request that asks
    logprobs: Literal["no", "may", "yes"] = "no"


def read_piece(table: Mapping[str, Any], settings: "RemoteSettings") -> Piece:
    """Read one object of an answer; RemoteError (not understood) if it is of another format."""
    if table.get("error"):
        raise RemoteError("not understood", "the server reports an error instead of text")
    return FORMATS[settings.provider].read(table)


def tidy_answer(text: str, settings: "RemoteSettings") -> str:
    """Return a text without what format and model add: a code fence, a marker let through."""
    if settings.template:
        for stop in TEMPLATES[settings.template].stops:
            text = text.partition(stop)[0]
    if settings.provider != "openai-chat":
        return text
    head, fence, rest = text.partition("```")
    if fence and not head.strip():
        first, _, body = rest.partition("\n")
        inside = body if " " not in first.strip() else rest
        text = inside.partition("```")[0].removesuffix("\n")
    return text.replace(_GAP, "")


def _write_completion(window: Window, settings: "RemoteSettings") -> dict[str, Any]:
    """OpenAI's, in which Mistral and DeepSeek know no option for the usage."""
    text, stops = _prompt(window, settings)
    body = text | _common(settings) | {"stop": stops[:_MAX_STOPS]}
    if settings.asks_logprobs:
        body["logprobs"] = 1
    if settings.provider in ("openai", "vllm"):
        body["stream_options"] = {"include_usage": True}
    return body


def _write_chat(window: Window, settings: "RemoteSettings") -> dict[str, Any]:
    lines = "Write at most the rest of the line." if window.single_line else ""
    order = _CHAT_ORDER.format(language=window.language or "some", lines=lines).strip()
    messages = [
        {"role": "system", "content": order},
        {"role": "user", "content": f"{window.prefix}{_GAP}{window.suffix}"},
    ]
    body = {"messages": messages, "stream_options": {"include_usage": True}} | _common(settings)
    return body | {"logprobs": True} if settings.asks_logprobs else body


def _write_ollama(window: Window, settings: "RemoteSettings") -> dict[str, Any]:
    text, stops = _prompt(window, settings)
    options = {"num_predict": settings.max_new_tokens, "temperature": 0, "stop": stops}
    body = text | {"model": settings.model, "stream": True, "options": options}
    if settings.template:
        body["raw"] = True
    return body | {"logprobs": True} if settings.asks_logprobs else body


def _write_infill(window: Window, settings: "RemoteSettings") -> dict[str, Any]:
    body = {
        "input_prefix": window.prefix,
        "input_suffix": window.suffix,
        "n_predict": settings.max_new_tokens,
        "temperature": 0,
        "stop": _stops(window),
        "cache_prompt": True,
        "stream": True,
    }
    return body | {"n_probs": 1} if settings.asks_logprobs else body


def _common(settings: "RemoteSettings") -> dict[str, Any]:
    return {
        "model": settings.model,
        "max_tokens": settings.max_new_tokens,
        "temperature": 0,
        "stream": True,
    }


def _prompt(window: Window, settings: "RemoteSettings") -> tuple[dict[str, Any], list[str]]:
    """Return the text for a server that takes a suffix, or one prompt with markers; and stops."""
    if not settings.template:
        return {"prompt": window.prefix, "suffix": window.suffix}, _stops(window)
    template = TEMPLATES[settings.template]
    prompt = fill_template(template, window.prefix, window.suffix)
    return {"prompt": prompt}, [*_stops(window), *template.stops]


def _stops(window: Window) -> list[str]:
    return ["\n"] if window.single_line else ["\n\n\n"]


def _read_choice(table: Mapping[str, Any]) -> Piece:
    """Completions have a `text`, chats a `delta`; the last chunk may hold only the usage."""
    choices = table.get("choices")
    if not isinstance(choices, list):
        raise RemoteError("not understood", "an object of the answer has no `choices`")
    choice = choices[0] if choices else {}
    delta = choice.get("delta", {}) if isinstance(choice, Mapping) else None
    if not isinstance(delta, Mapping):
        raise RemoteError("not understood", "a choice of the answer is no object")
    usage = table.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    text = choice.get("text") if "text" in choice else delta.get("content")
    if text is not None and not isinstance(text, str):
        raise RemoteError("not understood", "the text of an answer is no text")
    return Piece(
        text=text or "",
        finish_reason=_finish_reason(choice.get("finish_reason")),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        new_tokens=_count(usage.get("completion_tokens")),
        logprob=_sum_logprobs(choice.get("logprobs")),
    )


def _read_ollama(table: Mapping[str, Any]) -> Piece:
    reason = (table.get("done_reason") or "stop") if table.get("done") is True else None
    return Piece(
        text=_text(table, "response"),
        finish_reason=_finish_reason(reason),
        prompt_tokens=_count(table.get("prompt_eval_count")),
        new_tokens=_count(table.get("eval_count")),
        logprob=_sum_logprobs(table.get("logprobs")),
    )


def _read_infill(table: Mapping[str, Any]) -> Piece:
    is_cut = table.get("stopped_limit") is True or table.get("stop_type") == "limit"
    reason = ("length" if is_cut else "stop") if table.get("stop") is True else None
    return Piece(
        text=_text(table, "content"),
        finish_reason=reason,
        prompt_tokens=_count(table.get("tokens_evaluated")),
        new_tokens=_count(table.get("tokens_predicted")),
        logprob=_sum_logprobs(table.get("completion_probabilities")),
    )


def _text(table: Mapping[str, Any], name: str) -> str:
    text = table.get(name)
    if not isinstance(text, str):
        raise RemoteError("not understood", f"an object of the answer has no text in `{name}`")
    return text


def _finish_reason(reason: object) -> str | None:
    if not isinstance(reason, str) or not reason:
        return None
    return "length" if reason in _CUT_REASONS else "stop"


def _count(value: object) -> int | None:
    """Return a plausible number of tokens; servers' statistics are not to be trusted with more."""
    return value if type(value) is int and 0 <= value < 1 << 31 else None


def _sum_logprobs(given: object) -> float | None:
    """Return the sum of what a server says of a piece's tokens; None if it says nothing usable.

    It is a list of objects, such a list under `content`, or numbers under `token_logprobs`.
    """
    if isinstance(given, Mapping):
        given = given.get("token_logprobs") or given.get("content")
    if not isinstance(given, list) or not given:
        return None
    numbers: list[Any] = [
        each.get("logprob") if isinstance(each, Mapping) else each for each in given
    ]
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        return None
    return float(sum(min(number, 0.0) for number in numbers))


FORMATS: dict[str, WireFormat] = {
    "openai": WireFormat(
        path="/v1/completions",
        write=_write_completion,
        read=_read_choice,
        template="may",
        logprobs="may",
    ),
    "openai-chat": WireFormat(
        path="/v1/chat/completions", write=_write_chat, read=_read_choice, logprobs="may"
    ),
    "mistral": WireFormat(
        path="/v1/fim/completions",
        write=_write_completion,
        read=_read_choice,
        url="https://codestral.mistral.ai",
    ),
    "deepseek": WireFormat(
        path="/completions",
        write=_write_completion,
        read=_read_choice,
        url="https://api.deepseek.com/beta",
        logprobs="yes",
    ),
    "ollama": WireFormat(
        path="/api/generate",
        write=_write_ollama,
        read=_read_ollama,
        url="http://127.0.0.1:11434",
        stream_type="application/x-ndjson",
        template="may",
        logprobs="yes",
    ),
    "llamacpp": WireFormat(
        path="/infill",
        write=_write_infill,
        read=_read_infill,
        url="http://127.0.0.1:8080",
        logprobs="yes",
    ),
    "vllm": WireFormat(
        path="/v1/completions",
        write=_write_completion,
        read=_read_choice,
        url="http://127.0.0.1:8000",
        template="must",
        logprobs="yes",
    ),
}
