import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.generate.prompt import STEPS_PER_WINDOW, shown_path, window, window_start
from assistant.request import CompletionRequest

LINES = st.lists(st.text(alphabet="ab \u5b57\f", max_size=30), max_size=60).map("\n".join)


def cut(text, offset, *, prefix_chars=200, suffix_chars=100):
    request = CompletionRequest(path="a.py", text=text, offset=offset)
    return window(request, prefix_chars=prefix_chars, suffix_chars=suffix_chars)


def test_small_file_is_seen_whole():
    assert cut("abc\ndef\n", 5) == ("abc\nd", "ef\n")


@given(above=LINES, typed=LINES, n_chars=st.integers(4, 300))
@settings(max_examples=150)
def test_typing_only_appends_within_a_step(above, typed, n_chars):
    step = max(1, n_chars // STEPS_PER_WINDOW)
    starts = []
    for end in range(len(above), len(above) + len(typed) + 1):
        text = (above + typed)[:end]
        start = window_start(text + "\nwhat follows", end, n_chars)
        assert 0 <= end - start <= n_chars
        assert start == 0 or end - start >= min(end, n_chars - 3 * step)
        starts.append(start)
    assert starts == sorted(starts)
    n_moves = len(set(starts)) - 1
    assert n_moves <= len(typed) // step + 2


@given(text=LINES, n_chars=st.integers(4, 200), data=st.data())
@settings(max_examples=100)
def test_window_begins_at_a_line_unless_the_line_is_longer_than_a_step(text, n_chars, data):
    offset = data.draw(st.integers(0, len(text)))
    start = window_start(text, offset, n_chars)
    step = max(1, n_chars // STEPS_PER_WINDOW)
    if start and text[start - 1] != "\n":
        assert start % step == 0
        assert "\n" not in text[start : start + step - 1]


def test_one_endless_line_is_cut_in_steps():
    text = "x" * 10_000
    assert [window_start(text, offset, 400) for offset in (5_000, 5_050, 5_100, 5_101)] == [
        4_600,
        4_700,
        4_700,
        4_800,
    ]


@given(text=LINES, data=st.data(), n_chars=st.integers(0, 100))
@settings(max_examples=100)
def test_suffix_fits_and_ends_with_a_line(text, data, n_chars):
    offset = data.draw(st.integers(0, len(text)))
    _, suffix = cut(text, offset, suffix_chars=n_chars)
    assert text[offset:].startswith(suffix)
    assert len(suffix) <= n_chars
    whole = len(text) - offset <= n_chars
    assert whole or suffix.endswith("\n") or "\n" not in text[offset : offset + n_chars]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("pkg/module.py", "pkg/module.py"),
        ("/home/someone/project/pkg/module.py", "project/pkg/module.py"),
        ("/a.py", "a.py"),
        ("C:\\Users\\someone\\project\\pkg\\module.py", "project/pkg/module.py"),
        ("pkg\\module.py", "pkg/module.py"),
        ("./a/../b.py", "a/../b.py"),
        ("", ""),
    ],
)
def test_path_is_shown_without_private_folders(path, expected):
    assert shown_path(path) == expected
