"""The wire formats of servers of code models, as data: what is asked, and where the answer is.

Facts of public documentation: OpenAI's completions and chat (also DeepSeek's, vLLM's and
llama-cpp-python's), Mistral's FIM, Ollama's generate, llama.cpp's infill. Models that mark the gap
themselves have templates, for servers that take plain text only.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from assistant.errors import RemoteError, withheld

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
_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+#-]*$\n?)?", re.MULTILINE)  # and a language


class Template(NamedTuple):
    """How prefix and suffix become one text, and what the model writes when it is done."""

    before: str  # ahead of the first part
    between: str
    after: str  # behind the second part: the model goes on from here
    stops: tuple[str, ...]
    suffix_first: bool = False

    @property
    def markers(self) -> list[str]:
        """All that means something to the model."""
        parts = (self.before, self.between, self.after, *self.stops)
        return [part.strip() for part in parts if part.strip()]


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
# Of any model, for a server need not run the one that it is said to run.
_MARKERS = sorted({re.escape(marker) for each in TEMPLATES.values() for marker in each.markers})
_MARKER = re.compile(
    "|".join([r"<[|\uff5c][^\s<>|\uff5c]{1,40}[|\uff5c]>", rf"{_GAP}|\[/?INST\]", *_MARKERS])
)


class WireFormat(NamedTuple):
    """What a provider is known to take and to say."""

    path: str  # after the base address
    body: Mapping[str, Any]  # of a request; texts in braces stand for its values
    # Where an object of the answer keeps its text, reason to end, tokens read and written, and
    # logarithms of probabilities; and what is true in the last one.
    answer: str
    last: str = ""
    url: str = ""  # the usual base address; empty: there is none
    stream_type: str = "text/event-stream"
    template: Literal["no", "may", "must"] = "no"  # must: it refuses a suffix
    # yes: documented to give them; others may refuse a request that asks
    logprobs: Literal["no", "may", "yes"] = "no"


class Piece(NamedTuple):
    """One object of a streamed answer; a field that it lacks is empty, or None."""

    text: str = ""
    finish_reason: str | None = None  # "stop" or "length"
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    logprob: float | None = None  # of its tokens together, if the server says


_COMMON = {"model": "{model}", "max_tokens": "{limit}", "temperature": 0, "stream": True}
_GAPPED = {"prompt": "{prefix}", "suffix": "{suffix}"}
_COMPLETION = _GAPPED | _COMMON | {"stop": "{few stops}", "logprobs": "{1 if asked}"}
_USAGE = {"stream_options": {"include_usage": True}}  # Mistral and DeepSeek know no such option
_MESSAGES = [{"role": "system", "content": "{order}"}, {"role": "user", "content": "{gapped}"}]
_CHAT = {"messages": _MESSAGES, "logprobs": "{true if asked}"} | _COMMON
_CHOICE = "text finish_reason prompt_tokens completion_tokens logprobs"
FORMATS: dict[str, WireFormat] = {
    "openai": WireFormat(
        "/v1/completions", _COMPLETION | _USAGE, _CHOICE, template="may", logprobs="may"
    ),
    "openai-chat": WireFormat("/v1/chat/completions", _CHAT | _USAGE, _CHOICE, logprobs="may"),
    "mistral": WireFormat(
        "/v1/fim/completions", _COMPLETION, _CHOICE, url="https://codestral.mistral.ai"
    ),
    "deepseek": WireFormat(
        "/completions", _COMPLETION, _CHOICE, url="https://api.deepseek.com/beta", logprobs="yes"
    ),
    "ollama": WireFormat(
        "/api/generate",
        _GAPPED
        | {"model": "{model}", "stream": True, "raw": "{true if raw}"}
        | {"options": {"num_predict": "{limit}", "temperature": 0, "stop": "{stops}"}}
        | {"logprobs": "{true if asked}"},
        "response done_reason prompt_eval_count eval_count logprobs",
        last="done",
        url="http://127.0.0.1:11434",
        stream_type="application/x-ndjson",
        template="may",
        logprobs="yes",
    ),
    "llamacpp": WireFormat(
        "/infill",
        {"input_prefix": "{prefix}", "input_suffix": "{suffix}", "n_predict": "{limit}"}
        | {"temperature": 0, "stop": "{stops}", "cache_prompt": True, "stream": True}
        | {"n_probs": "{1 if asked}"},
        "content stop_type tokens_evaluated tokens_predicted completion_probabilities",
        last="stop",
        url="http://127.0.0.1:8080",
        logprobs="yes",
    ),
}
FORMATS["vllm"] = FORMATS["openai"]._replace(
    url="http://127.0.0.1:8000", template="must", logprobs="yes"
)


def write_body(
    settings: "RemoteSettings", prefix: str, suffix: str, *, language: str, single_line: bool
) -> dict[str, Any]:
    """Return a request's body; RemoteError (withheld) if this text cannot be asked about."""
    template = TEMPLATES.get(settings.template)
    stops = ["\n" if single_line else "\n\n\n", *(template.stops if template else ())]
    lines = "Write at most the rest of the line." if single_line else ""
    values = {
        "{model}": settings.model,
        "{limit}": settings.max_new_tokens,
        "{prefix}": fill_template(template, prefix, suffix) if template else prefix,
        "{suffix}": None if template else suffix,
        "{stops}": stops,
        "{few stops}": stops[:_MAX_STOPS],
        "{order}": _CHAT_ORDER.format(language=language or "some", lines=lines).strip(),
        "{gapped}": f"{prefix}{_GAP}{suffix}",
        "{1 if asked}": 1 if settings.asks_logprobs else None,
        "{true if asked}": True if settings.asks_logprobs else None,
        "{true if raw}": True if template else None,
    }
    body: dict[str, Any] = _fill(FORMATS[settings.provider].body, values)
    return body


def _fill(shape: Any, values: Mapping[str, Any]) -> Any:
    """Return `shape` with its values in place; what has none is left out."""
    if isinstance(shape, list):
        return [_fill(part, values) for part in shape]
    if isinstance(shape, Mapping):
        filled = {name: _fill(part, values) for name, part in shape.items()}
        return {name: part for name, part in filled.items() if part is not None}
    return values.get(shape, shape) if isinstance(shape, str) else shape


def fill_template(template: Template, prefix: str, suffix: str) -> str:
    """Return the prompt; RemoteError (withheld) if the text holds a marker, which would end it."""
    if any(marker in prefix or marker in suffix for marker in template.markers):
        raise withheld("the text around the cursor holds one of the model's markers")
    first, second = (suffix, prefix) if template.suffix_first else (prefix, suffix)
    return f"{template.before}{first}{template.between}{second}{template.after}"


def read_piece(table: Mapping[str, Any], settings: "RemoteSettings") -> Piece:
    """Read one object of an answer; RemoteError (not understood) if it is of another format."""
    if table.get("error"):
        raise RemoteError("not understood", "the server reports an error instead of text")
    known = FORMATS[settings.provider]
    name, reason, prompt_tokens, new_tokens, logprobs = known.answer.split()
    table = _flatten(table) if known.answer == _CHOICE else table
    text, said = table.get(name), table.get(reason)
    if not isinstance(text, str):
        raise RemoteError("not understood", f"an object of the answer has no text in `{name}`")
    if known.last:
        is_cut = table.get("stopped_limit") is True  # as llama.cpp once said it
        said = ("limit" if is_cut else said or "stop") if table.get(known.last) is True else None
    is_over = isinstance(said, str) and bool(said)
    return Piece(
        text=text,
        finish_reason=("length" if said in _CUT_REASONS else "stop") if is_over else None,
        prompt_tokens=_count(table.get(prompt_tokens)),
        new_tokens=_count(table.get(new_tokens)),
        logprob=_sum_logprobs(table.get(logprobs)),
    )


def _flatten(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a choice and the usage as one table; completions have a text, chats a `delta`."""
    choices, usage = table.get("choices"), table.get("usage")
    if not isinstance(choices, list):
        raise RemoteError("not understood", "an object of the answer has no `choices`")
    choice = choices[0] if choices else {}  # the last one may hold only the usage
    delta = choice.get("delta", {}) if isinstance(choice, Mapping) else None
    if not isinstance(delta, Mapping):
        raise RemoteError("not understood", "a choice of the answer is no object")
    text = choice.get("text", delta.get("content"))
    usage = usage if isinstance(usage, Mapping) else {}
    return {**usage, **choice, "text": "" if text is None else text}


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
    # Neither NaN nor a whole number of hundreds of digits passes.
    if not all(type(number) in (int, float) and abs(number) < 1e9 for number in numbers):
        return None
    return float(sum(min(number, 0.0) for number in numbers))


def tidy_answer(text: str, settings: "RemoteSettings", document: str) -> str:
    """Return a text without what models add: a code fence around it, a marker let through.

    A fence or a marker that the document holds itself is code like any other.
    """
    own = TEMPLATES[settings.template].stops if settings.template else ()
    for match in _MARKER.finditer(text):
        marker = match[0]
        if marker in own or not (marker in document or marker.replace("/", "") in document):
            text = text[: match.start()]
            break
    fence = _FENCE.search(text)
    if fence is None or _FENCE.search(document):
        return text
    if text[: fence.start()].strip():
        return text[: fence.start()]
    return text[fence.end() :].partition("```")[0].removesuffix("\n")
