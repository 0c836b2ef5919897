"""What goes over the wire: OpenAI's requests, checked, its answers and errors; Prometheus' counts.

What would change the text and is not done here is refused by name, never passed over.
"""

import json
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException

from model.config import ConfigError, from_table
from model.files import parse_json

MAX_STOPS, MAX_STOP_CHARS = 16, 100
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
_FIXED = ("temperature", "presence_penalty", "frequency_penalty", "echo")
_RANGES = {"n": (1, 8), "max_tokens": (1, 1 << 20)} | dict.fromkeys(_FIXED, (0, 0))
_BOUNDS_S = ("0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "+Inf")
Table = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptRequest:
    """What a client asks for, by OpenAI's names; `path` is ours."""

    model: str
    prompt: str
    suffix: str = ""
    path: str = ""  # of the file, as the network is told
    n: int = 1
    max_tokens: int = 16
    stop: tuple[str, ...] = ()
    stream: bool = False
    stream_options: tuple[str, ...] = ()  # those that are on
    temperature: float = 0
    presence_penalty: float = 0
    frequency_penalty: float = 0
    echo: bool = False
    # Without effect where the likeliest text is written.
    seed: int = 0
    top_p: float = 1
    user: str = ""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                only = f"{low}: nothing else is done here" if low == high else f"in {low}..{high}"
                raise ConfigError(f"{name} must be {only}")
        lengths = [len(text) for text in self.stop]
        if len(lengths) > MAX_STOPS or not all(1 <= n <= MAX_STOP_CHARS for n in lengths):
            raise ConfigError(f"stop takes {MAX_STOPS} texts of 1..{MAX_STOP_CHARS} characters")


def parse_request(data: bytes, model: str) -> PromptRequest:
    """Return what a body asks of the model that is served; HTTPException says what is wrong."""
    try:
        if not isinstance(table := parse_json(data), dict):
            raise HTTPException(400, "the body is not a JSON object")
        table = {name: value for name, value in table.items() if value is not None}
        if isinstance(table.get("stop"), str):
            table["stop"] = [table["stop"]]
        if isinstance(options := table.get("stream_options"), dict):
            table["stream_options"] = [name for name, is_on in options.items() if is_on]
        asked = from_table(PromptRequest, table)
    except ConfigError as error:
        raise HTTPException(400, str(error)) from error
    except ValueError as error:
        raise HTTPException(400, "the body is not JSON") from error
    if asked.model != model:
        raise HTTPException(404, f"this server has the model {model!r} and no other")
    return asked


def answer_head(model: str) -> Table:
    """Return what all parts of an answer begin with."""
    id_, now = f"cmpl-{uuid.uuid4().hex}", int(time.time())
    return {"id": id_, "object": "text_completion", "created": now, "model": model}


def part_of(index: int, text: str, reason: str | None = None) -> Table:
    """Return what comes next of a choice; with `reason`, its end."""
    return {"choices": [{"index": index, "text": text, "logprobs": None, "finish_reason": reason}]}


def cost_of(n_read: int, n_written: int) -> Table:
    """Return what an answer cost, in tokens."""
    usage = {"prompt_tokens": n_read, "completion_tokens": n_written}
    return {"choices": [], "usage": usage | {"total_tokens": n_read + n_written}}


def error_table(error: HTTPException) -> Table:
    """Return what OpenAI's clients read of an error."""
    kind = "invalid_request_error" if error.status_code < 500 else "server_error"
    code = _CODES.get(error.status_code)
    return {"error": {"message": error.detail, "type": kind, "param": None, "code": code}}


def write_event(table: Table) -> str:
    """Return one event of a stream."""
    return f"data: {json.dumps(table, ensure_ascii=False)}\n\n"


class Metrics(defaultdict[str, float]):
    """Counts of one server since its start, by series; they hold no text and no key."""

    def __init__(self) -> None:
        super().__init__(float)

    def count_answer(self, seconds: float, cost: Table) -> None:
        """Count a completion that was written to its end."""
        for name in ("prompt_tokens", "completion_tokens"):
            self[f"{name}_total"] += cost["usage"][name]
        for bound in _BOUNDS_S:
            self[f'completion_seconds_bucket{{le="{bound}"}}'] += seconds <= float(bound)
        self["completion_seconds_sum"] += seconds
        self["completion_seconds_count"] += 1

    def text(self) -> str:
        """Return them as Prometheus reads them."""
        return "".join(f"foretype_{name} {value:.15g}\n" for name, value in self.items())
