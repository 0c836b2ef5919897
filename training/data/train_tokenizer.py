"""Train the byte-level BPE on a sample of a corpus, and measure it on the held-out split.

The merges come from the `tokenizers` library; ids are renumbered so that 0..255 are the bytes and
the others follow in merge order. Knows no model.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, decoders, pre_tokenizers
from tokenizers import Tokenizer as TrainableTokenizer
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from model.publish import write_atomically
from model.tokenizer import (
    PATTERNS,
    SPECIAL_TOKENS,
    Tokenizer,
    TokenizerError,
    alphabet_bytes,
    alphabet_text,
)
from training.cli import report_mistakes
from training.data.corpus import Split
from training.data.filters import hash_frac

MAX_TOKEN_CHARS = 32  # a longer one is a line of somebody's licence, and slow to heal
_JUDGED_BYTES = 3_000_000  # of the held-out split, or of training if nothing is held out
_N_BYTES = 256


def main(argv: Sequence[str]) -> int:
    """Run the command; errors of the user's making are one line on stderr."""
    text = "Train a tokenizer on a prepared corpus and measure it on the held-out split."
    parser = argparse.ArgumentParser(prog="foretype data tokenizer", description=text)
    option = parser.add_argument
    option("corpus", type=Path, help="a folder that `foretype data prepare` wrote")
    option("--out", type=Path, required=True, help="tokenizer.json to write")
    text = f"ids in all, {len(SPECIAL_TOKENS)} special ones included (default: %(default)s)"
    option("--vocab-size", type=int, default=8192, help=text)
    option("--pattern", choices=sorted(PATTERNS), default="qwen2")
    option("--sample-mb", type=float, default=30.0, help="default: %(default)s")
    option("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    return report_mistakes("data tokenizer", lambda: _run(parser.parse_args(argv)))


def _run(args: argparse.Namespace) -> None:
    n_bytes = round(args.sample_mb * 1e6)
    write(args.corpus, args.out, args.vocab_size, args.pattern, n_bytes=n_bytes, seed=args.seed)
    held_out = Split(args.corpus, "validation")
    texts = sample(held_out if len(held_out) else Split(args.corpus), _JUDGED_BYTES, seed=1)
    sys.stdout.write(f"{args.pattern:<10} {judge(Tokenizer.from_file(args.out), texts)}\n")


def write(
    corpus: Path,
    out: Path,
    vocab_size: int,
    pattern: str = "qwen2",
    *,
    n_bytes: int = 30_000_000,
    seed: int = 0,
) -> None:
    """Train a tokenizer on a sample of so many bytes and write it as `out`."""
    text = train(sample(Split(corpus), n_bytes, seed), vocab_size, pattern)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, text.encode(), mode=0o644)


def train(texts: Iterable[str], vocab_size: int, pattern_name: str) -> str:
    """Return the `tokenizer.json` of a BPE with `vocab_size` ids, special ones included."""
    n_base = vocab_size - len(SPECIAL_TOKENS)
    if n_base < _N_BYTES:
        least = _N_BYTES + len(SPECIAL_TOKENS)
        raise TokenizerError(f"vocabulary of {vocab_size}: at least {least} ids are needed")
    trainable = _with_pattern(BPE(), pattern_name)
    trainer = BpeTrainer(
        vocab_size=n_base,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=MAX_TOKEN_CHARS,
        show_progress=sys.stderr.isatty(),
    )
    trainable.train_from_iterator(texts, trainer)
    ranks, merges = _renumber(trainable)
    if len(ranks) < n_base:
        raise TokenizerError(
            f"the sample has only {len(ranks)} different tokens, {n_base} were asked for;"
            " take more text or a smaller vocabulary"
        )
    return tokenizer_json(ranks, merges, pattern_name)


def tokenizer_json(
    ranks: Sequence[bytes], merges: Sequence[tuple[bytes, bytes]], pattern_name: str
) -> str:
    """Return a `tokenizer.json` for tokens in id order; the special tokens follow at the end."""
    vocab = {alphabet_text(token): id_ for id_, token in enumerate(ranks)}
    pairs = [(alphabet_text(left), alphabet_text(right)) for left, right in merges]
    tokenizer = _with_pattern(BPE(vocab=vocab, merges=pairs), pattern_name)
    tokenizer.decoder = decoders.ByteLevel()
    specials = [AddedToken(name, normalized=False, special=True) for name in SPECIAL_TOKENS]
    tokenizer.add_special_tokens(specials)
    return str(tokenizer.to_str())


def _with_pattern(model: BPE, pattern_name: str) -> TrainableTokenizer:
    split = pre_tokenizers.Split(Regex(PATTERNS[pattern_name]), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(
        add_prefix_space=False, trim_offsets=False, use_regex=False
    )
    tokenizer = TrainableTokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    return tokenizer


def sample(split: Split, n_bytes: int, seed: int) -> Iterator[str]:
    """Yield documents chosen by hash until `n_bytes` are reached."""
    order = sorted(range(len(split)), key=lambda i: hash_frac(f"tokenizer {seed} {i}"))
    for index in order:
        text = split[index].text
        yield text
        n_bytes -= len(text)
        if n_bytes <= 0:
            return


def judge(tokenizer: Tokenizer, texts: Iterable[str]) -> str:
    """Say how a tokenizer cuts texts."""
    n_bytes = n_tokens = n_lines = 0
    for text in texts:
        n_tokens += len(tokenizer.encode(text))
        n_bytes += len(text.encode())
        n_lines += text.count("\n")
    per_token, per_line = n_bytes / max(1, n_tokens), n_tokens / max(1, n_lines)
    return f"{per_token:.3f} bytes/token  {per_line:.2f} tokens/line"


def _renumber(trainable: TrainableTokenizer) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    """Return the tokens' bytes in our id order and the merges, from the library's own JSON."""
    model = json.loads(trainable.to_str())["model"]
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    merges = [(alphabet_bytes(left), alphabet_bytes(right)) for left, right in pairs]
    tokens = dict.fromkeys([bytes([byte]) for byte in range(_N_BYTES)])
    tokens.update(dict.fromkeys(left + right for left, right in merges))
    return list(tokens), merges
