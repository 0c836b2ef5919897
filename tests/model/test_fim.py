"""The order of the parts, written out once and held."""

from hypothesis import given, settings
from hypothesis import strategies as st

from model import fim
from tests.scripted import small_tokenizer

TOKENIZER = small_tokenizer("qwen2")
END, PREFIX, SUFFIX, MIDDLE, FILE = (
    TOKENIZER.special_id(name)
    for name in (
        "<|end|>",
        "<|fim_prefix|>",
        "<|fim_suffix|>",
        "<|fim_middle|>",
        "<|file_sep|>",
    )
)


def ids(text: str) -> list[int]:
    return TOKENIZER.encode(text)


def test_header_names_a_file_and_holds_a_snippet() -> None:
    snippet = fim.header(TOKENIZER, "pkg/a.py", "x = 1\n")
    assert snippet == [FILE, *ids("pkg/a.py\nx = 1\n")]
    assert fim.header(TOKENIZER, "pkg/b.py") == [FILE, *ids("pkg/b.py\n")]


def test_suffix_comes_first_so_that_typing_appends() -> None:
    asked = fim.prompt(TOKENIZER, [FILE], ids("def f"), ids("\nend"))
    assert asked == [FILE, PREFIX, SUFFIX, *ids("\nend"), MIDDLE, *ids("def f")]
    longer = fim.prompt(TOKENIZER, [FILE], [*ids("def f"), *ids("(")], ids("\nend"))
    assert longer[: len(asked)] == asked


def test_prefix_first_is_the_order_of_other_servers() -> None:
    asked = fim.prompt(TOKENIZER, [], ids("a"), ids("b"), "psm")
    assert asked == [PREFIX, *ids("a"), SUFFIX, *ids("b"), MIDDLE]


def test_example_encodes_prefix_and_middle_as_one_string() -> None:
    found = fim.example(TOKENIZER, [], ("return sel", "f.count", "\n"))
    assert found == [PREFIX, SUFFIX, *ids("\n"), MIDDLE, *ids("return self.count"), END]


def test_psm_example_keeps_the_parts_apart() -> None:
    found = fim.example(TOKENIZER, [], ("a", "b", "c"), "psm")
    assert found == [PREFIX, *ids("a"), SUFFIX, *ids("c"), MIDDLE, *ids("b"), END]


def test_plain_text_ends() -> None:
    assert fim.plain(TOKENIZER, [FILE], "x") == [FILE, *ids("x"), END]


@settings(max_examples=100)
@given(
    parts=st.tuples(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20)),
    layout=st.sampled_from(["spm", "psm"]),
)
def test_parts_can_be_read_back(parts: tuple[str, str, str], layout: fim.Layout) -> None:
    prefix, middle, suffix = parts
    found = fim.example(TOKENIZER, [], parts, layout)
    text: dict[int, bytes] = {}
    for id_ in found:
        if TOKENIZER.is_special(id_):
            marker = id_
            text[marker] = b""
        else:
            text[marker] += TOKENIZER.token_bytes(id_)
    if layout == "spm":
        expected = {SUFFIX: suffix, MIDDLE: prefix + middle, PREFIX: "", END: ""}
    else:
        expected = {PREFIX: prefix, SUFFIX: suffix, MIDDLE: middle, END: ""}
    assert text == {marker: part.encode() for marker, part in expected.items()}


def test_something_is_read_at_the_first_word_of_a_file() -> None:
    """2026-11-30: a network asked from left to right had an empty prompt there: ValueError."""
    assert fim.prompt(TOKENIZER, [], [], [], "left") == [END]
    assert fim.prompt(TOKENIZER, [], ids("a"), [], "left") == ids("a")
