"""Scored trees: shared nodes, step by step log-probabilities, decoding that loses nothing."""

import math

import numpy as np
import pytest

from model.branches import Branches, Foreseen, plan, scored
from model.decode import choices, decode, heal
from model.folder import load_folder
from model.healing import TokenTable, after
from model.runtime import open_runtime
from model.tokenizer import Tokenizer
from model.transcript import Transcript
from tests.doubles import tiny_folder
from tests.scripted import SAMPLE, ScriptedRuntime, small_tokenizer

TOKENIZER = small_tokenizer()


def never() -> bool:
    return False


def greedy(
    steps: Transcript | Foreseen, root: np.ndarray, table: TokenTable, tail: bytes, n: int
) -> list[int]:
    """Return the ids of plain greedy decoding, those of the healing not among them."""
    healed = heal(steps, root, table, tail, never)
    assert healed is not None
    first = choices(healed.logits, table, healed.rest, 1)[0]
    tokens = decode(steps, table, first, rest=healed.rest, max_new_tokens=n, should_stop=never)
    return [token.id for token in tokens]


def test_texts_that_begin_alike_share_nodes() -> None:
    branches = plan(TOKENIZER, b"", ["self.count = start", "self.count = 0"], max_nodes=100)
    alone = [len(TOKENIZER.encode(text)) for text in ("self.count = start", "self.count = 0")]
    assert len(branches.ids) < sum(alone)
    for path, text in zip(branches.paths, ["self.count = start", "self.count = 0"], strict=True):
        assert path is not None
        assert TOKENIZER.decode_bytes([branches.ids[node] for node in path]).decode() == text


def test_text_that_does_not_fit_is_left_out_and_a_shorter_one_still_taken() -> None:
    branches = plan(TOKENIZER, b"", ["ab", "x" * 50, "c"], max_nodes=5)
    assert [path is None for path in branches.paths] == [False, True, False]
    assert len(branches.ids) <= 5


def test_empty_text_has_an_empty_path() -> None:
    assert plan(TOKENIZER, b"", [""], max_nodes=3).paths == [[]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Transcript, Tokenizer, TokenTable]:
    folder = load_folder(tiny_folder(tmp_path_factory.mktemp("model")))
    tokenizer = folder.tokenizer()
    return Transcript(open_runtime(folder, max_len=160, bits=32)), tokenizer, TokenTable(tokenizer)


def prompts(tokenizer: Tokenizer, n: int) -> list[tuple[list[int], bytes, list[str]]]:
    """Return prompts with tails, and texts that may or may not be what the network writes."""
    dice = np.random.default_rng(5)
    found = []
    for _ in range(n):
        start, size = int(dice.integers(0, 500)), int(dice.integers(4, 24))
        text = SAMPLE[start : start + size] or "def f"
        tail = text[-int(dice.integers(0, 4)) :].encode() if dice.random() < 0.6 else b""
        ids = tokenizer.encode(text[: len(text) - len(tail.decode("utf-8", "ignore"))] or "x")
        texts = [SAMPLE[at : at + int(dice.integers(1, 12))] for at in dice.integers(0, 500, 4)]
        found.append((ids, tail if tail.isascii() else b"", texts))
    return found


@pytest.mark.slow
def test_decoding_along_a_tree_is_plain_decoding(
    tiny: tuple[Transcript, Tokenizer, TokenTable],
) -> None:
    transcript, tokenizer, table = tiny
    n_foreseen = 0
    for ids, tail, texts in prompts(tokenizer, 300):
        root, _ = transcript.replace(ids, chunk_tokens=64, should_stop=never)
        assert root is not None
        root = root.copy()
        plain = greedy(transcript, root, table, tail, 6)
        transcript.rewind(len(ids))
        # What the network will write is proposed too, cut short and with a wrong end.
        own = tokenizer.decode_bytes(plain[:4])[len(tail) :].decode("utf-8", "ignore")
        branches = plan(tokenizer, tail, [own + "?", *texts], max_nodes=40)
        known = scored(transcript, root, table, tail, branches)
        foreseen = Foreseen(transcript, known)
        assert greedy(foreseen, root, table, tail, 6) == plain
        n_foreseen += foreseen.n_foreseen
        transcript.rewind(0)
    assert n_foreseen > 150  # the tree was of use


def test_scores_are_those_of_single_steps(tiny: tuple[Transcript, Tokenizer, TokenTable]) -> None:
    transcript, tokenizer, table = tiny
    ids, tail, text = tokenizer.encode("def ret"), b"re", "turn self"
    root, _ = transcript.replace(ids, chunk_tokens=64, should_stop=never)
    assert root is not None
    root = root.copy()
    branches = plan(tokenizer, tail, [text], max_nodes=40)
    score = scored(transcript, root, table, tail, branches).scores[0]
    assert score is not None
    logits, rest, expected = root, tail, []
    for id_ in tokenizer.encode_bytes(tail + text.encode()):
        allowed = logits[table.allowed(rest)] if rest else logits[: table.n_scored]
        expected.append(float(logits[id_] - np.log(np.exp(allowed).sum())))
        rest, _ = after(rest, table.bytes_of[id_])
        logits = transcript.append([id_])
    assert score.tokens == pytest.approx(expected, abs=1e-4)
    ending = math.log(sum(np.exp(logits[[table.end_id, *table.beginning_with(b"\n")]])))
    ending -= math.log(np.exp(logits[: table.n_scored]).sum())
    assert score.ending >= ending - 1e-4  # a token that holds the text's end and the line's adds
    assert score.total == pytest.approx(sum(score.tokens) + score.ending)


def test_what_cannot_be_is_a_large_finite_penalty() -> None:
    transcript = Transcript(ScriptedRuntime(TOKENIZER, SAMPLE))
    table = TokenTable(TOKENIZER)
    root = transcript.append(TOKENIZER.encode("x\n" + SAMPLE[:40]))
    known = scored(transcript, root, table, b"", plan(TOKENIZER, b"", ["zzz", ""], max_nodes=20))
    wrong, empty = known.scores
    assert wrong is not None
    assert empty is not None
    assert wrong.total < -10
    assert math.isfinite(wrong.total)
    assert empty.tokens == ()
    assert empty.ending == known.ending_now


def foreseen_over(text: str) -> tuple[Foreseen, Transcript]:
    transcript = Transcript(ScriptedRuntime(TOKENIZER, SAMPLE))
    root = transcript.append(TOKENIZER.encode("x\n" + SAMPLE[:40]))
    known = scored(
        transcript,
        root,
        TokenTable(TOKENIZER),
        b"",
        plan(TOKENIZER, b"", [text], max_nodes=50),
    )
    return Foreseen(transcript, known), transcript


def test_tokens_on_a_branch_are_run_only_when_it_is_left() -> None:
    steps, transcript = foreseen_over("self.count")
    before = transcript.length
    ids = TOKENIZER.encode("self.count")
    for id_ in ids:
        steps.append([id_])
    assert (transcript.length, steps.length) == (before, before + len(ids))
    steps.append(TOKENIZER.encode("zz"))
    assert transcript.length == steps.length > before + len(ids)


def test_rewinding_goes_back_onto_the_tree() -> None:
    steps, transcript = foreseen_over("self.count")
    before = steps.length
    ids = TOKENIZER.encode("self.count")
    steps.append(ids[:1])
    steps.append(TOKENIZER.encode("zz"))
    steps.rewind(before + 1)
    assert transcript.length == before + 1
    n_foreseen = steps.n_foreseen
    steps.append(ids[1:2])
    assert steps.n_foreseen == n_foreseen + 1
    steps.append(TOKENIZER.encode("zz"))
    assert transcript.length == steps.length


def test_what_cannot_be_kept_or_appended_is_refused() -> None:
    steps, _ = foreseen_over("self")
    with pytest.raises(ValueError, match="can be kept"):
        steps.rewind(steps.length + 1)
    with pytest.raises(ValueError, match="can be kept"):
        steps.rewind(0)
    with pytest.raises(ValueError, match="ids must not be empty"):
        steps.append([])


def test_branches_count_only_new_nodes_against_the_limit() -> None:
    branches = Branches()
    assert branches.add([1, 2, 3], 4)
    assert branches.add([1, 2, 4], 4)
    assert not branches.add([1, 5], 4)
    assert branches.parents == [-1, 0, 1, 1]
