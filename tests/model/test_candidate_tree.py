"""Scored trees: shared nodes, step by step log-probabilities, decoding that loses nothing."""

import math

import numpy as np
import pytest

from model.candidate_tree import CandidateTree, build_tree, score_tree
from model.decode import choices, decode, heal, log_sum
from model.folder import load_folder
from model.healing import TokenTable
from model.prefix_cache import PrefixCache
from model.runtime import Runtime, open_runtime
from model.tokenizer import Tokenizer
from tests.doubles import tiny_folder
from tests.scripted import SAMPLE, ScriptedRuntime, small_tokenizer

TOKENIZER = small_tokenizer()


def never() -> bool:
    return False


def greedy(
    steps: PrefixCache, root: np.ndarray, table: TokenTable, tail: bytes, n: int
) -> list[int]:
    """Return the ids of plain greedy decoding, those of the healing not among them."""
    healed = heal(steps, root, table, tail, never)
    assert healed is not None
    first = choices(healed.logits, table, healed.rest, 1)[0]
    tokens = decode(steps, table, first, max_new_tokens=n, should_stop=never)
    return [token.id for token in tokens]


def test_texts_that_begin_alike_share_nodes() -> None:
    branches = build_tree(TOKENIZER, b"", ["self.count = start", "self.count = 0"], max_nodes=100)
    alone = [len(TOKENIZER.encode(text)) for text in ("self.count = start", "self.count = 0")]
    assert len(branches.ids) < sum(alone)
    for path, text in zip(branches.paths, ["self.count = start", "self.count = 0"], strict=True):
        assert path is not None
        assert TOKENIZER.decode_bytes([branches.ids[node] for node in path]).decode() == text


def test_text_that_does_not_fit_is_left_out_and_a_shorter_one_still_taken() -> None:
    branches = build_tree(TOKENIZER, b"", ["ab", "x" * 50, "c"], max_nodes=5)
    assert [path is None for path in branches.paths] == [False, True, False]
    assert len(branches.ids) <= 5


def test_empty_text_has_an_empty_path() -> None:
    assert build_tree(TOKENIZER, b"", [""], max_nodes=3).paths == [[]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runtime, Tokenizer, TokenTable]:
    folder = load_folder(tiny_folder(tmp_path_factory.mktemp("model")))
    tokenizer = folder.tokenizer()
    return open_runtime(folder, max_len=160, bits=32), tokenizer, TokenTable(tokenizer)


def read(runtime: Runtime, ids: list[int]) -> tuple[PrefixCache, np.ndarray]:
    """Return a transcript that remembers nothing but `ids`, and the scores after them."""
    runtime.rewind(0)
    transcript = PrefixCache(runtime)
    return transcript, transcript.append(ids)


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
    tiny: tuple[Runtime, Tokenizer, TokenTable],
) -> None:
    runtime, tokenizer, table = tiny
    n_foreseen = 0
    for ids, tail, texts in prompts(tokenizer, 300):
        transcript, root = read(runtime, ids)
        plain = greedy(transcript, root, table, tail, 6)
        n_foreseen -= transcript.n_foreseen  # healing went back to what it had tried
        # What the network will write is proposed too, cut short and with a wrong end.
        own = tokenizer.decode_bytes(plain[:4])[len(tail) :].decode("utf-8", "ignore")
        branches = build_tree(tokenizer, tail, [own + "?", *texts], max_nodes=40)
        transcript, root = read(runtime, ids)
        score_tree(transcript, root, table, tail, branches)
        assert greedy(transcript, root, table, tail, 6) == plain
        n_foreseen += transcript.n_foreseen
    assert n_foreseen > 150  # the tree was of use


def test_scores_are_those_of_single_steps(tiny: tuple[Runtime, Tokenizer, TokenTable]) -> None:
    runtime, tokenizer, table = tiny
    ids, tail, text = tokenizer.encode("def ret"), b"re", "turn self"
    transcript, root = read(runtime, ids)
    branches = build_tree(tokenizer, tail, [text], max_nodes=40)
    score = score_tree(transcript, root, table, tail, branches).scores[0]
    assert score is not None
    transcript, logits = read(runtime, ids)
    rest, expected, reached, spelled = tail, [], 0.0, 0.0
    for id_ in tokenizer.encode_bytes(tail + text.encode()):
        total = log_sum(logits[: table.n_scored])
        if rest:  # the tail may be spelled from here, too
            spelled += math.exp(reached + log_sum(logits[table.beginning_with(rest)]) - total)
        expected.append(float(logits[id_]) - total)
        reached += expected[-1]
        rest = rest[len(table.bytes_of[id_]) :]
        logits = transcript.append([id_])
    expected[0] -= math.log(spelled)  # given the tail
    assert score.tokens == pytest.approx(expected, abs=1e-4)
    ending = math.log(sum(np.exp(logits[[table.end_id, *table.beginning_with(b"\n")]])))
    ending -= math.log(np.exp(logits[: table.n_scored]).sum())
    assert score.ending >= ending - 1e-4  # a token that holds the text's end and the line's adds
    assert score.total == pytest.approx(sum(score.tokens) + score.ending)


def test_what_cannot_be_is_a_large_finite_penalty() -> None:
    transcript = PrefixCache(ScriptedRuntime(TOKENIZER, SAMPLE))
    table = TokenTable(TOKENIZER)
    root = transcript.append(TOKENIZER.encode("x\n" + SAMPLE[:40]))
    known = score_tree(
        transcript, root, table, b"", build_tree(TOKENIZER, b"", ["zzz", ""], max_nodes=20)
    )
    wrong, empty = known.scores
    assert wrong is not None
    assert empty is not None
    assert wrong.total < -10
    assert math.isfinite(wrong.total)
    assert empty.tokens == ()
    assert empty.ending == known.ending_now


def test_branches_count_only_new_nodes_against_the_limit() -> None:
    branches = CandidateTree()
    for ids in ([1, 2, 3], [1, 2, 4], [1, 5]):
        branches.add(ids, 4)
    assert [path is None for path in branches.paths] == [False, False, True]
    assert branches.parents == [-1, 0, 1, 1]
