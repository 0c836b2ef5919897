"""Characters saved, against what counting on fingers gives."""

from collections.abc import Callable

from tests.training.evaluation.replay.scripted_systems import answer
from training.evaluation.answers import Answer, Keystrokes, type_line

LINE = "return total"


def answers(say: Callable[[int], str], probability: float = 0.5) -> list[Answer]:
    return [answer(say(place), probability) for place in range(len(LINE))]


def test_whole_line_is_taken_with_one_key() -> None:
    told = answers(lambda place: LINE[place:])
    assert type_line(LINE, told, 0.0) == Keystrokes(n_chars=12, n_saved=11, n_wrong=0)


def test_nothing_offered_nothing_saved() -> None:
    told = answers(lambda place: "")
    assert type_line(LINE, told, 0.0) == Keystrokes(n_chars=12, n_saved=0, n_wrong=0)


def test_right_beginning_is_taken_and_typing_goes_on_behind_it() -> None:
    told = answers(lambda place: {2: "turn", 7: "total"}.get(place, ""))
    # "re" typed, "turn" taken, " " typed, "total" taken: 3 + 4 saved
    assert type_line(LINE, told, 0.0) == Keystrokes(n_chars=12, n_saved=7, n_wrong=0)


def test_one_character_is_never_taken_but_at_the_end() -> None:
    told = answers(lambda place: LINE[place])
    # The last one is all of the rest: it costs the key that it saves.
    assert type_line(LINE, told, 0.0) == Keystrokes(n_chars=12, n_saved=0, n_wrong=11)


def test_wrong_suggestion_that_stays_appears_once() -> None:
    told = answers(lambda place: "return toast"[place:] if place < 9 else "")
    # It stands from the first character to "return to", and goes when "t" is typed.
    assert type_line(LINE, told, 0.0) == Keystrokes(n_chars=12, n_saved=0, n_wrong=1)


def test_another_wrong_suggestion_appears_anew() -> None:
    told = answers(lambda place: "x" * (place + 2))
    assert type_line(LINE, told, 0.0).n_wrong == 12


def test_what_is_not_sure_enough_is_not_shown() -> None:
    told = answers(lambda place: LINE[place:], probability=0.4)
    assert type_line(LINE, told, 0.5).n_saved == 0
    assert type_line(LINE, told, 0.4).saved == 11 / 12
