"""Prompts: what typing leaves in place, and the room that each part gets."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.generate.context import Window
from assistant.generate.prompt import Budget, Prompt, build, snippet_header
from model import fim
from model.fim import Snippet
from tests.scripted import SAMPLE, small_tokenizer

TOKENIZER = small_tokenizer()
BUDGET = Budget(block_size=256, suffix_tokens=32, max_new_tokens=32)
LONG = "".join(f"def function_{i}(value):\n    return value + {i}\n\n\n" for i in range(200))


def prompt_at(text: str, offset: int, n_before: int = 10_000) -> Prompt:
    start = max(0, offset - n_before)
    window = Window(prefix=text[start:offset], suffix=text[offset:], path="pkg/module.py")
    return build(TOKENIZER, BUDGET, window, prefix_start=start)


def spelled(prompt: Prompt) -> str:
    names = {TOKENIZER.special_id(name): name for name in ("<|fim_suffix|>", "<|fim_middle|>")}
    parts = [
        names[id_].encode() if id_ in names else TOKENIZER.token_bytes(id_) for id_ in prompt.ids
    ]
    return b"".join(parts).decode()


def test_prompt_has_path_suffix_and_prefix_without_its_tail() -> None:
    prompt = prompt_at("total = pri(1)\n", 11)
    assert spelled(prompt) == "pkg/module.py\n<|fim_suffix|>(1)\n<|fim_middle|>total ="
    assert prompt.tail == b" pri"


@given(st.integers(0, len(LONG)))
@settings(max_examples=60, deadline=None)
def test_prompt_fits_and_ends_at_the_cursor(offset: int) -> None:
    prompt = prompt_at(LONG, offset)
    assert len(prompt.ids) <= BUDGET.prompt_tokens
    prefix = spelled(prompt).partition("<|fim_middle|>")[2].encode() + prompt.tail
    assert LONG[:offset].encode().endswith(prefix)


def test_prefix_uses_most_of_its_room() -> None:
    for offset in range(3_000, 3_400, 7):
        assert len(prompt_at(LONG, offset).ids) > 0.5 * BUDGET.prompt_tokens


def test_typing_appends_tokens_but_for_rare_steps() -> None:
    start = LONG.index("def function_150")
    rest = LONG[start + 600 :]
    prompts = [prompt_at(LONG[:at] + rest, at).ids for at in range(start, start + 600)]
    moved = sum(later[: len(ids)] != ids for ids, later in pairwise(prompts))
    assert 1 <= moved <= 600 // 100


def test_window_start_does_not_matter_while_it_is_far_enough() -> None:
    offset = LONG.index("def function_150") + 20
    assert prompt_at(LONG, offset, 1_500) == prompt_at(LONG, offset, 3_000)


def test_text_after_the_suffix_budget_changes_nothing() -> None:
    before = prompt_at(LONG, 400)
    assert prompt_at(LONG[:2_000] + "changed", 400) == before


def test_rest_of_the_line_thaws_the_suffix() -> None:
    before = prompt_at("call(a\nmore\n", 6)
    assert prompt_at("call(a)\nmore\n", 6) != before


def test_line_longer_than_the_room_is_cut() -> None:
    text = "x" * 50 + "y = [" + "12, " * 2_000
    prompt = prompt_at(text, len(text))
    assert len(prompt.ids) <= BUDGET.prompt_tokens
    assert len(prompt.ids) > 0.4 * BUDGET.prompt_tokens


def test_marker_in_a_buffer_is_plain_text() -> None:
    prompt = prompt_at("a = '<|fim_middle|>'\nb = ", 25)
    middle = TOKENIZER.special_id("<|fim_middle|>")
    assert prompt.ids.count(middle) == 1


def test_path_is_cut_from_the_left_to_one_line() -> None:
    window = Window(prefix="x", suffix="", path="a\nb/" * 80 + "module.py")
    prompt = build(TOKENIZER, BUDGET, window)
    path = spelled(prompt).partition("\n")[0]
    assert path.endswith("b/module.py")
    assert len(path) <= 96


@pytest.mark.parametrize("max_new_tokens", [32, 250, 512])
def test_some_context_is_left_whatever_the_length_asked_for(max_new_tokens: int) -> None:
    budget = Budget(block_size=256, suffix_tokens=32, max_new_tokens=max_new_tokens)
    assert budget.prompt_tokens >= 64


def test_sample_fits_as_it_is() -> None:
    prompt = prompt_at(SAMPLE[:200], 200)
    assert SAMPLE[:150] in spelled(prompt)


SNIPPETS = [
    Snippet("a/b.py", "def one():\n    return 1"),
    Snippet("pkg/c.py", "def two(x):\n    pass"),
]
WITH = Budget(block_size=256, suffix_tokens=32, max_new_tokens=32, snippet_tokens=64)


def test_snippets_stand_before_the_file_as_in_training() -> None:
    text = "total = print"
    window = Window(prefix=text, suffix="\nend = 1\n", path="pkg/module.py")
    asked = build(TOKENIZER, WITH, window, snippets=SNIPPETS)
    header = snippet_header(TOKENIZER, "pkg/module.py", SNIPPETS, WITH.snippet_tokens)
    assert header == fim.header(TOKENIZER, "pkg/module.py", SNIPPETS)
    trained = fim.example(TOKENIZER, header, (text, "", "\nend = 1\n"))
    assert trained[: len(asked.ids)] == asked.ids


@given(st.integers(0, 80), st.lists(st.text(max_size=60), max_size=4))
@settings(max_examples=40, deadline=None)
def test_snippets_keep_their_budget_and_the_best_is_cut_last(room: int, texts: list[str]) -> None:
    snippets = [Snippet(f"m{n}.py", text) for n, text in enumerate(texts)]
    own = fim.header(TOKENIZER, "pkg/module.py")
    ids = snippet_header(TOKENIZER, "pkg/module.py", snippets, room)
    assert ids[-len(own) :] == own
    assert len(ids) - len(own) <= room
    full = fim.header(TOKENIZER, "pkg/module.py", snippets[-1:])
    if len(full) - len(own) <= room:
        assert ids[-len(full) :] == full


def test_no_budget_for_snippets_shows_none() -> None:
    window = Window(prefix="x = 1\n", suffix="", path="pkg/module.py")
    assert build(TOKENIZER, BUDGET, window, snippets=SNIPPETS) == build(TOKENIZER, BUDGET, window)
