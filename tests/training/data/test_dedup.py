"""Duplicates: equal up to white space, nearly equal, and like what models are judged by."""

from training.data.dedup import Duplicates, SeenTexts, fingerprint
from training.data.minhash import Sketcher


def test_white_space_makes_no_difference() -> None:
    assert fingerprint("a = 1\n\n\tb") == fingerprint("a  = 1\r\nb\n")
    assert fingerprint("a = 1") != fingerprint("a = 2")
    assert len(fingerprint("")) == 16


def test_second_text_is_known() -> None:
    seen = SeenTexts()
    assert [seen.add(fingerprint(text)) for text in ("a", "b", " a ")] == [True, True, False]
    assert len(seen) == 2


def code(name: str, n_functions: int = 20) -> str:
    return "".join(f"def {name}_{i}(x):\n    return x * {i}\n\n" for i in range(n_functions))


def reasons(texts: list[str], *, threshold: float = 0.8, judged: str = "") -> list[str]:
    sketcher, duplicates = Sketcher(), Duplicates(threshold)
    duplicates.keep_out(sketcher.sketch(judged))
    return [duplicates.reason(fingerprint(text), sketcher.sketch(text)) for text in texts]


def test_first_of_equal_or_similar_texts_is_kept() -> None:
    texts = [code("a"), code("b"), code("a") + "x = 1\n", code("a").replace("\n\n", "\n"), "x"]
    assert reasons(texts) == ["", "", "near duplicate", "duplicate", ""]


def test_text_like_a_judged_one_stays_out() -> None:
    near = code("a") + "x = 1\n"
    assert reasons([near, near], judged=code("a")) == ["near an evaluation file", "duplicate"]


def test_without_a_threshold_only_equal_texts_are_duplicates() -> None:
    texts = [code("a"), code("a") + "x = 1\n", code("a")]
    assert reasons(texts, threshold=0, judged=code("a")) == ["", "", "duplicate"]
