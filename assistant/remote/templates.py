"""Prompts of models that mark the gap themselves, for servers that take plain text only."""

from typing import NamedTuple

from assistant.remote.errors import withheld


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
