"""Prompts: what typing leaves in place, and the room that each part gets."""

import copy
import dataclasses
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.generate.prompt import Prompt, build_prompt, prompt_tokens, snippet_header
from assistant.request import CompletionRequest
from model import fim
from model.fim import Snippet
from model.folder import FolderInfo
from tests.scripted import SAMPLE, small_tokenizer

TOKENIZER = small_tokenizer()
INFO = FolderInfo(
    name="small", block_size=256, suffix_tokens=32, snippet_tokens=0,
    languages=("python",), licence="MIT",
)  # fmt: skip
MAX_NEW = 32
ROOM = prompt_tokens(INFO.block_size, MAX_NEW)
LONG = "".join(f"def function_{i}(value):\n    return value + {i}\n\n\n" for i in range(200))


def prompt_at(
    text: str,
    offset: int,
    info: FolderInfo = INFO,
    snippets: Sequence[Snippet] = (),
    path: str = "pkg/module.py",
) -> Prompt:
    request = CompletionRequest(path=path, text=text, offset=offset)
    return build_prompt(TOKENIZER, info, request, max_new_tokens=MAX_NEW, snippets=snippets)


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
@settings(max_examples=60)
def test_prompt_fits_and_ends_at_the_cursor(offset: int) -> None:
    prompt = prompt_at(LONG, offset)
    assert len(prompt.ids) <= ROOM
    prefix = spelled(prompt).partition("<|fim_middle|>")[2].encode() + prompt.tail
    assert LONG[:offset].encode().endswith(prefix)


def test_prefix_uses_most_of_its_room() -> None:
    for offset in range(3_000, 3_400, 7):
        assert len(prompt_at(LONG, offset).ids) > 0.5 * ROOM


def test_typing_appends_tokens_but_for_rare_steps() -> None:
    start = LONG.index("def function_150")
    rest = LONG[start + 600 :]
    prompts = [prompt_at(LONG[:at] + rest, at).ids for at in range(start, start + 600)]
    moved = sum(later[: len(ids)] != ids for ids, later in pairwise(prompts))
    assert 1 <= moved <= 600 // 100


def test_text_after_the_suffix_budget_changes_nothing() -> None:
    before = prompt_at(LONG, 400)
    assert prompt_at(LONG[:2_000] + "changed", 400) == before


@pytest.mark.parametrize(("typed", "closer"), [("pri(", ")"), ("f([", "])"), ('"', '"')])
def test_closers_that_an_editor_puts_in_leave_what_was_read(typed: str, closer: str) -> None:
    below, others = "\nend = 1\n", dataclasses.replace(INFO, languages=())
    before = prompt_at("total = " + below, 8).ids
    after = prompt_at("total = " + typed + closer + below, 8 + len(typed))
    assert after.ids[: len(before)] == before
    assert after.suffix == closer + below
    assert closer + below in spelled(
        prompt_at("total = " + typed + closer + below, 8 + len(typed), others)
    )


def test_rest_of_the_line_thaws_the_suffix() -> None:
    before = prompt_at("call(a\nmore\n", 6)
    assert prompt_at("call(a)\nmore\n", 6) != before


def test_line_longer_than_the_room_is_cut() -> None:
    text = "x" * 50 + "y = [" + "12, " * 2_000
    prompt = prompt_at(text, len(text))
    assert len(prompt.ids) <= ROOM
    assert len(prompt.ids) > 0.4 * ROOM


def test_marker_in_a_buffer_is_plain_text() -> None:
    prompt = prompt_at("a = '<|fim_middle|>'\nb = ", 25)
    middle = TOKENIZER.special_id("<|fim_middle|>")
    assert prompt.ids.count(middle) == 1


def test_path_is_cut_from_the_left_to_one_line() -> None:
    prompt = prompt_at("x", 1, path="a\nb/" * 80 + "module.py")
    path = spelled(prompt).partition("\n")[0]
    assert path.endswith("b/module.py")
    assert len(path) <= 96


@pytest.mark.parametrize("max_new_tokens", [32, 250, 512])
def test_some_context_is_left_whatever_the_length_asked_for(max_new_tokens: int) -> None:
    assert prompt_tokens(256, max_new_tokens) >= 64


def test_prefix_first_folder_is_asked_in_its_own_order() -> None:
    asked = prompt_at("total = pri(1)\n", 11, dataclasses.replace(INFO, fim_layout="psm"))
    order = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
    found = [id_ for id_ in asked.ids if id_ in map(TOKENIZER.special_id, order)]
    assert found == [TOKENIZER.special_id(name) for name in order]
    assert asked.ids[-1] == TOKENIZER.special_id("<|fim_middle|>")


def test_sample_fits_as_it_is() -> None:
    prompt = prompt_at(SAMPLE[:200], 200)
    assert SAMPLE[:150] in spelled(prompt)


FILES_IN_FAMILIES = {  # as their authors write several files of a repository
    "qwen": (
        "psm",
        (
            "<|repo_name|>app<|file_sep|>\n<|file_sep|>pkg/c.py\nx = 1\n"
            "<|file_sep|>pkg/<|end|>.py\n<|fim_prefix|>total =<|fim_suffix|>(1)\n<|fim_middle|>"
        ),
    ),
    "starcoder2": (
        "spm",
        (
            "<|repo_name|>app<|file_sep|><|file_sep|>pkg/c.py\nx = 1"
            "<|file_sep|><|fim_prefix|><|fim_suffix|>(1)\n<|fim_middle|>pkg/<|end|>.py\ntotal ="
        ),
    ),
    "ours": (
        "spm",
        (
            "<|file_sep|>pkg/c.py\nx = 1"
            "<|file_sep|>pkg/<|end|>.py\n<|fim_prefix|><|fim_suffix|>(1)\n<|fim_middle|>total ="
        ),
    ),
}


@pytest.mark.parametrize("family", FILES_IN_FAMILIES)
def test_files_and_repository_stand_as_a_family_was_trained(family: str) -> None:
    layout, expected = FILES_IN_FAMILIES[family]
    tokenizer = copy.copy(small_tokenizer("qwen2"))
    names = ["file_sep", "fim_prefix", "fim_suffix", "fim_middle", "repo_name"]
    ids = {f"<|{name}|>": tokenizer.special_id(f"<|{name}|>") for name in names}
    if family != "ours":
        tokenizer.add_names({fim.REPOSITORY: ids["<|repo_name|>"]})
    if family == "starcoder2":
        tokenizer.add_names({fim.PATH_AFTER: ids["<|fim_prefix|>"]})
    info = dataclasses.replace(INFO, fim_layout=layout, snippet_tokens=64)
    asked = CompletionRequest(
        path="pkg/<|end|>.py", text="total = pri(1)\n", offset=11, repository="app<|file_sep|>"
    )
    snippet = Snippet("pkg/c.py", "x = 1")
    found = build_prompt(tokenizer, info, asked, max_new_tokens=MAX_NEW, snippets=[snippet])
    spelled_markers = {id_: name.encode() for name, id_ in ids.items()}
    parts = [spelled_markers.get(id_) or tokenizer.token_bytes(id_) for id_ in found.ids]
    assert b"".join(parts).decode() == expected
    n_written = expected.count("<|end|>") + ("app<" in expected)  # a user's, so text
    assert sum(id_ in spelled_markers for id_ in found.ids) == expected.count("<|") - n_written


SNIPPETS = [
    Snippet("a/b.py", "def one():\n    return 1"),
    Snippet("pkg/c.py", "def two(x):\n    pass"),
]
WITH = dataclasses.replace(INFO, snippet_tokens=64)


def test_snippets_stand_before_the_file_as_in_training() -> None:
    text, suffix = "total = print", "\nend = 1\n"
    asked = prompt_at(text + suffix, len(text), WITH, SNIPPETS)
    header = snippet_header(TOKENIZER, "pkg/module.py", SNIPPETS, WITH.snippet_tokens)
    assert header == [
        id_ for s in SNIPPETS for id_ in fim.header(TOKENIZER, s.path, s.text)
    ] + fim.header(TOKENIZER, "pkg/module.py")
    trained = fim.example(TOKENIZER, header, (text, "", suffix))
    assert trained[: len(asked.ids)] == asked.ids


@given(st.integers(0, 80), st.lists(st.text(max_size=60), max_size=4))
@settings(max_examples=40)
def test_snippets_keep_their_budget_and_the_best_is_cut_last(room: int, texts: list[str]) -> None:
    snippets = [Snippet(f"m{n}.py", text) for n, text in enumerate(texts)]
    own = fim.header(TOKENIZER, "pkg/module.py")
    ids = snippet_header(TOKENIZER, "pkg/module.py", snippets, room)
    assert ids[-len(own) :] == own
    assert len(ids) - len(own) <= room
    full = own
    if snippets:
        full = fim.header(TOKENIZER, snippets[-1].path, snippets[-1].text) + own
    if len(full) - len(own) <= room:
        assert ids[-len(full) :] == full


def test_no_budget_for_snippets_shows_none() -> None:
    shown = prompt_at("x = 1\n", 6, snippets=SNIPPETS)
    assert shown.ids == prompt_at("x = 1\n", 6).ids
