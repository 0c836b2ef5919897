"""Moved, indented and edited lines were not typed, and each old line explains one new one."""

from collections import Counter

from training.evaluation.replay.tasks import bare, find_typed


def gone(*lines: str) -> Counter[str]:
    return Counter(map(bare, lines))


def test_new_lines_are_typed_and_blank_or_endless_ones_are_not() -> None:
    assert find_typed(["first = 1", "", "   ", "x" * 201, "\tlast = 2"], [], gone()) == [0, 4]


def test_moved_line_is_not_typed_but_its_second_copy_is() -> None:
    assert find_typed(["    value = 1", "value = 1"], [], gone("value = 1")) == [1]


def test_indentation_and_spacing_are_not_typing() -> None:
    assert find_typed(["        call(a,  b)"], [], gone("call(a, b)")) == []


def test_edited_line_is_not_typed_and_a_rewritten_one_is() -> None:
    old = ["def area(width, height):"]
    assert find_typed(["def area(width, height, depth):"], old, gone(*old)) == []
    assert find_typed(["raise NotImplementedError"], old, gone(*old)) == [0]


def test_line_like_one_removed_elsewhere_is_typed() -> None:
    assert find_typed(
        ["def area(width, height, depth):"], [], gone("def area(width, height):")
    ) == [0]


def test_edits_are_not_looked_for_in_enormous_hunks() -> None:
    old = [f"value_{i} = {i}" for i in range(101)]
    new = [f"value_{i} = {i}  # new" for i in range(100)]
    assert find_typed(new, old, gone(*old)) == list(range(100))
