"""Prompts of models that mark the gap themselves, for servers that take plain text only.

A marker inside the user's own text would end the prompt where they did not mean it to, so such text
is not sent at all. Knows models' published markers, and nothing of servers.
"""

from dataclasses import dataclass

from assistant.remote.errors import WithheldError


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """How prefix and suffix become one text, and what the model writes when it is done."""

    before: str  # ahead of the first part
    between: str
    after: str  # behind the second part: the model goes on from here
    suffix_first: bool = False
    stops: tuple[str, ...] = ()

    def prompt(self, prefix: str, suffix: str) -> str:
        """Return the prompt; WithheldError if the text holds one of the markers."""
        first, second = (suffix, prefix) if self.suffix_first else (prefix, suffix)
        for marker in (self.before, self.between, self.after, *self.stops):
            if marker.strip() and (marker.strip() in prefix or marker.strip() in suffix):
                raise WithheldError("the text around the cursor holds one of the model's markers")
        return f"{self.before}{first}{self.between}{second}{self.after}"


_STARCODER = Template(
    before="<fim_prefix>",
    between="<fim_suffix>",
    after="<fim_middle>",
    stops=("<|endoftext|>", "<file_sep>", "<fim_pad>"),
)
_PIPED = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")

TEMPLATES: dict[str, Template] = {
    "qwen": Template(
        before=_PIPED[0],
        between=_PIPED[1],
        after=_PIPED[2],
        stops=("<|endoftext|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|im_end|>"),
    ),
    "starcoder": _STARCODER,
    "granite": _STARCODER,
    "granite4": Template(
        before=_PIPED[0],
        between=_PIPED[1],
        after=_PIPED[2],
        stops=("<|end_of_text|>", "<|fim_pad|>", "<|filename|>"),
    ),
    "deepseek": Template(  # a full-width bar and a low block, unlike all the others
        before="<\uff5cfim\u2581begin\uff5c>",
        between="<\uff5cfim\u2581hole\uff5c>",
        after="<\uff5cfim\u2581end\uff5c>",
        stops=("<\uff5cend\u2581of\u2581sentence\uff5c>", "<|EOT|>"),
    ),
    "codestral": Template(
        before="[SUFFIX]",
        between="[PREFIX]",
        after="",
        suffix_first=True,
        stops=("</s>",),
    ),
    "codegemma": Template(
        before=_PIPED[0],
        between=_PIPED[1],
        after=_PIPED[2],
        stops=("<|file_separator|>", "<end_of_turn>", "<eos>"),
    ),
    "codellama": Template(before="<PRE> ", between=" <SUF>", after=" <MID>", stops=("<EOT>",)),
    "foretype": Template(
        before=_PIPED[0] + _PIPED[1],
        between=_PIPED[2],
        after="",
        suffix_first=True,
        stops=("<|end|>", "<|file_sep|>"),
    ),
}
