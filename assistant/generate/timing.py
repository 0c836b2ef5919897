"""What a request costs on its way through the engine; numbers only, no text."""

from dataclasses import dataclass

from assistant.generate.backend import Draft


@dataclass(kw_only=True, slots=True)
class Timing:
    """What one request cost; for the answer and for its log line."""

    started: float  # time.monotonic() seconds
    source: str = "local"
    prompt_tokens: int = 0
    new_tokens: int = 0
    reused_tokens: int = 0
    first_token_at: float = 0.0

    def add(self, draft: Draft) -> None:
        """Count in what one draft cost."""
        self.prompt_tokens = draft.prompt_tokens
        self.reused_tokens = draft.reused_tokens
        self.new_tokens += draft.new_tokens
        self.first_token_at = self.first_token_at or draft.first_token_at

    def ms(self, at: float) -> float:
        """Return the milliseconds from the start to `at`, a time.monotonic() value."""
        return 1_000 * (at - self.started)
