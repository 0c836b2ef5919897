"""The wire formats that servers of code models speak, each a Backend.

Facts of their public documentation: OpenAI's completions and chat (also DeepSeek's, vLLM's and
llama-cpp-python's), Mistral's FIM, Ollama's generate, llama.cpp's infill.
"""

from collections.abc import Callable, Mapping
from typing import Any

from assistant.remote.backend import (
    Backend,
    Framing,
    Piece,
    Question,
    choice_of,
    logprob_of,
    piece_of,
    raise_error,
)
from assistant.remote.errors import NotUnderstoodError
from assistant.remote.settings import RemoteSettings
from assistant.remote.templates import TEMPLATES, Template

_MAX_STOPS = 4  # more are refused by OpenAI
_LINE_STOPS = ("\n",)
_BLOCK_STOPS = ("\n\n\n",)


class OpenAi:
    """`/v1/completions`: with `suffix`, or with a template for models that want markers."""

    framing: Framing = "sse"

    def __init__(
        self,
        model: str,
        template: Template | None = None,
        *,
        root: str = "/v1",
        logprobs: bool = False,
    ) -> None:
        self._model = model
        self._template = template
        self._root = root
        self._logprobs = logprobs

    @property
    def path(self) -> str:
        """Where to post."""
        return f"{self._root}/completions"

    def body(self, question: Question) -> dict[str, Any]:
        """Return the request."""
        body: dict[str, Any] = {"model": self._model}
        if self._template is None:
            body |= {"prompt": question.prefix, "suffix": question.suffix}
            stops = _stops(question)
        else:
            body["prompt"] = self._template.prompt(question.prefix, question.suffix)
            stops = [*_stops(question), *self._template.stops][:_MAX_STOPS]
        if self._logprobs:
            body["logprobs"] = 1
        return body | {
            "max_tokens": question.max_new_tokens,
            "temperature": 0,
            "stop": stops,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def piece(self, table: Mapping[str, Any]) -> Piece:
        """Read one object of the answer."""
        choice = choice_of(table)
        return piece_of(
            choice.get("text"),
            choice.get("finish_reason"),
            table.get("usage"),
            logprob_of(choice.get("logprobs")),
        )

    def tidy(self, text: str) -> str:
        """Return the text up to a marker that the server let through."""
        for stop in self._template.stops if self._template else ():
            text = text.partition(stop)[0]
        return text


class DeepSeek(OpenAi):
    """DeepSeek's FIM completion: OpenAI's, at another path and without its usage option."""

    def __init__(self, model: str, *, logprobs: bool = False) -> None:
        super().__init__(model, root="", logprobs=logprobs)

    def body(self, question: Question) -> dict[str, Any]:
        """Return the request."""
        body = super().body(question)
        del body["stream_options"]  # documented for its chat only
        return body


class Mistral:
    """Mistral's `/v1/fim/completions`; answers in chunks like those of a chat."""

    framing: Framing = "sse"
    path = "/v1/fim/completions"

    def __init__(self, model: str) -> None:
        self._model = model

    def body(self, question: Question) -> dict[str, Any]:
        """Return the request."""
        return {
            "model": self._model,
            "prompt": question.prefix,
            "suffix": question.suffix,
            "max_tokens": question.max_new_tokens,
            "temperature": 0,
            "stop": _stops(question),
            "stream": True,
        }

    def piece(self, table: Mapping[str, Any]) -> Piece:
        """Read one object of the answer."""
        return _chat_piece(table)

    def tidy(self, text: str) -> str:
        """Return the text: nothing is added."""
        return text


_GAP = "<GAP/>"
_CHAT_ORDER = (
    "You complete {language} source code at a cursor. The user sends a piece of a file in which "
    f"{_GAP} marks the cursor. Answer with the text that belongs in place of {_GAP} and nothing "
    "else: no explanation, no code fence, no repetition of what is already there. {lines}"
)


class OpenAiChat:
    """`/v1/chat/completions`: for models that know no gap; the worst of the ways to ask."""

    framing: Framing = "sse"
    path = "/v1/chat/completions"

    def __init__(self, model: str, *, logprobs: bool = False) -> None:
        self._model = model
        self._logprobs = logprobs

    def body(self, question: Question) -> dict[str, Any]:
        """Return the request."""
        lines = "Write at most the rest of the line." if question.single_line else ""
        order = _CHAT_ORDER.format(language=question.language or "some", lines=lines).strip()
        more = {"logprobs": True} if self._logprobs else {}
        return more | {
            "model": self._model,
            "messages": [
                {"role": "system", "content": order},
                {"role": "user", "content": f"{question.prefix}{_GAP}{question.suffix}"},
            ],
            "max_tokens": question.max_new_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def piece(self, table: Mapping[str, Any]) -> Piece:
        """Read one object of the answer."""
        return _chat_piece(table)

    def tidy(self, text: str) -> str:
        """Return the text out of a code fence, which chat models add whatever one says."""
        head, fence, rest = text.partition("```")
        if fence and not head.strip():
            first, _, body = rest.partition("\n")
            inside = body if " " not in first.strip() else rest
            text = inside.partition("```")[0].removesuffix("\n")
        return text.replace(_GAP, "")


class Ollama:
    """Ollama's `/api/generate`: the server's own template, or ours with `raw`."""

    framing: Framing = "ndjson"
    path = "/api/generate"

    def __init__(
        self, model: str, template: Template | None = None, *, logprobs: bool = False
    ) -> None:
        self._model = model
        self._template = template
        self._logprobs = logprobs

    def body(self, question: Question) -> dict[str, Any]:
        """Return the request."""
        stops = _stops(question)
        asked: dict[str, Any] = {"prompt": question.prefix, "suffix": question.suffix}
        if self._template is not None:
            prompt = self._template.prompt(question.prefix, question.suffix)
            asked = {"prompt": prompt, "raw": True}
            stops += self._template.stops
        if self._logprobs:
            asked["logprobs"] = True
        options = {"num_predict": question.max_new_tokens, "temperature": 0, "stop": stops}
        return {"model": self._model, **asked, "stream": True, "options": options}

    def piece(self, table: Mapping[str, Any]) -> Piece:
        """Read one object of the answer."""
        raise_error(table)
        if not isinstance(table.get("response"), str):
            raise NotUnderstoodError("an object of the answer has no text in `response`")
        reason = table.get("done_reason") or "stop" if table.get("done") is True else None
        usage = {
            "prompt_tokens": table.get("prompt_eval_count"),
            "completion_tokens": table.get("eval_count"),
        }
        return piece_of(table["response"], reason, usage, logprob_of(table.get("logprobs")))

    def tidy(self, text: str) -> str:
        """Return the text: the server cuts its stops off."""
        return text


class LlamaCpp:
    """llama.cpp's `/infill`: the server knows its model's markers."""

    framing: Framing = "sse"
    path = "/infill"

    def __init__(self, *, logprobs: bool = False) -> None:
        self._logprobs = logprobs

    def body(self, question: Question) -> dict[str, Any]:
        """Return the request."""
        more = {"n_probs": 1} if self._logprobs else {}
        return more | {
            "input_prefix": question.prefix,
            "input_suffix": question.suffix,
            "n_predict": question.max_new_tokens,
            "temperature": 0,
            "stop": _stops(question),
            "cache_prompt": True,
            "stream": True,
        }

    def piece(self, table: Mapping[str, Any]) -> Piece:
        """Read one object of the answer."""
        raise_error(table)
        if not isinstance(table.get("content"), str):
            raise NotUnderstoodError("an object of the answer has no text in `content`")
        reason = None
        if table.get("stop") is True:
            is_cut = table.get("stopped_limit") is True or table.get("stop_type") == "limit"
            reason = "length" if is_cut else "stop"
        usage = {
            "prompt_tokens": table.get("tokens_evaluated"),
            "completion_tokens": table.get("tokens_predicted"),
        }
        probabilities = logprob_of(table.get("completion_probabilities"))
        return piece_of(table["content"], reason, usage, probabilities)

    def tidy(self, text: str) -> str:
        """Return the text: the server cuts its stops off."""
        return text


def backend_of(settings: RemoteSettings) -> Backend:
    """Return the format that checked settings name."""
    template, logprobs = TEMPLATES.get(settings.template), settings.asks_logprobs
    makers: dict[str, Callable[[], Backend]] = {
        "openai": lambda: OpenAi(settings.model, template, logprobs=logprobs),
        "openai-chat": lambda: OpenAiChat(settings.model, logprobs=logprobs),
        "mistral": lambda: Mistral(settings.model),
        "deepseek": lambda: DeepSeek(settings.model, logprobs=logprobs),
        "ollama": lambda: Ollama(settings.model, template, logprobs=logprobs),
        "llamacpp": lambda: LlamaCpp(logprobs=logprobs),
        "vllm": lambda: OpenAi(settings.model, template, logprobs=logprobs),
    }
    return makers[settings.provider]()


def _stops(question: Question) -> list[str]:
    return list(_LINE_STOPS if question.single_line else _BLOCK_STOPS)


def _chat_piece(table: Mapping[str, Any]) -> Piece:
    choice = choice_of(table)
    delta = choice.get("delta", {})
    if not isinstance(delta, Mapping):
        raise NotUnderstoodError("the `delta` of a choice is no object")
    return piece_of(
        delta.get("content"),
        choice.get("finish_reason"),
        table.get("usage"),
        logprob_of(choice.get("logprobs")),
    )
