"""Exact duplicates up to white space."""

from training.data.dedup import SeenTexts, fingerprint


def test_white_space_makes_no_difference() -> None:
    assert fingerprint("a = 1\n\n\tb") == fingerprint("a  = 1\r\nb\n")
    assert fingerprint("a = 1") != fingerprint("a = 2")
    assert len(fingerprint("")) == 16


def test_second_text_is_known() -> None:
    seen = SeenTexts()
    assert [seen.add(fingerprint(text)) for text in ("a", "b", " a ")] == [True, True, False]
    assert len(seen) == 2
