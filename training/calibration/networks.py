"""Small networks fitted with torch, and turned into the plain numbers that serving evaluates.

The ranker is fitted listwise: a softmax over a cursor's candidates and one more outcome, "none of
them". The gate is fitted to say how likely a beginning of a candidate is right, on rankings of
examples that the ranker had not seen; a scale and an offset for each language then correct what it
says of the beginnings that are chosen, for what is chosen is overrated.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from assistant.rank.beginnings import GATE_FEATURES, Beginnings, worth
from assistant.rank.features import Rows
from assistant.rank.ranker import OTHERS, FittedRanker, Floats, SmallNetwork
from training.calibration.collect import RankingExample
from training.evaluation.answers import is_right
from training.evaluation.replay.history import ReplayError

DIGITS = 5  # of a parameter, significant
_LIMIT = 5.0  # of a _standardised column, as in serving
LINE_HOLD = 20.0  # what a squared change of one in a language's scale or offset costs, in nats
START_HOLD = 15.0  # and of one in a parameter of a network that is fitted further
#: languages fitted together; the first is what the bundled network was trained on
FAMILIES = (
    ("python",), ("javascript", "typescript", "tsx"), ("go",), ("rust",), ("java",), ("c", "cpp"),
)  # fmt: skip
MAX_FOLDS = 6  # of more repositories, several are left out together
T = TypeVar("T")

Loss = Callable[[nn.Module, torch.Tensor], torch.Tensor]  # (network, positions of a batch)


class FitSettings(NamedTuple):
    """Size of a network and course of its fit."""

    hidden: int = 24
    epochs: int = 20
    batch: int = 128
    rate: float = 3e-3
    decay: float = 1e-2
    members: int = 1
    seed: int = 0
    start: SmallNetwork | None = None  # what is fitted further, and held near to itself


class RankedChoice(NamedTuple):
    """The beginnings of what a ranking proposes, and the one that is worth most."""

    example: RankingExample
    is_exact: bool  # what is ranked first is the whole rest of the line
    found: Beginnings
    rights: NDArray[np.bool_]  # which of them are right
    values: NDArray[np.float64] = np.zeros(0)  # what it is worth to show each
    probabilities: NDArray[np.float64] = np.zeros(0)  # of each
    best: int = -1  # the place of the one that is worth most; -1 if none is worth a look

    @property
    def language(self) -> str:
        """Its name, as the ranking has it."""
        return self.example.ranking.language

    @property
    def has_text(self) -> bool:
        """Say whether there is something to show."""
        return self.best >= 0

    @property
    def is_right(self) -> bool:
        """Say whether what would be shown is right."""
        return self.has_text and bool(self.rights[self.best])

    @property
    def probability(self) -> float:
        """That of what would be shown; 0 for nothing."""
        return float(self.probabilities[self.best]) if self.has_text else 0.0

    def shown_from(self, threshold: float) -> Self:
        """Return the choice of what is so likely to be right, as serving makes it."""
        return self._replace(
            best=_best(np.where(self.probabilities >= threshold, self.values, 0.0))
        )


def _best(values: NDArray[np.float64]) -> int:
    """Return the place of the highest value; -1 if none is above 0."""
    return int(values.argmax()) if values.max(initial=0.0) > 0 else -1


def _pad_examples(
    examples: Sequence[RankingExample], mean: Floats, scale: Floats
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return examples that have texts as tensors, padded to the most candidates M.

    Standardised inputs (N, M, F); a mask (N, M + 1) of what may be chosen, with "none of them" as
    one more outcome; labels (N,).
    """
    n_most = max(len(each.ranking.texts) for each in examples)
    inputs = torch.zeros(len(examples), n_most, len(mean))
    mask = torch.zeros(len(examples), n_most + 1, dtype=torch.bool)
    mask[:, n_most] = True
    for number, each in enumerate(examples):
        n_texts = len(each.ranking.texts)
        inputs[number, :n_texts] = _standardise(each.ranking.rows, mean, scale)
        mask[number, :n_texts] = True
    labels = torch.tensor([each.label if each.label >= 0 else n_most for each in examples])
    return inputs, mask, labels


def _standardise(rows: ArrayLike, mean: Floats, scale: Floats) -> torch.Tensor:
    """Return columns (..., F) as serving sees them."""
    values = (np.asarray(rows, np.float32) - mean) / scale
    return torch.from_numpy(np.clip(values, -_LIMIT, _LIMIT).astype(np.float32))


def _scale_of(rows: Rows, start: SmallNetwork | None) -> tuple[Floats, Floats]:
    if start is not None:
        return start.mean, start.scale
    return rows.mean(0), rows.std(0) + np.float32(1e-3)


def _average(networks: Sequence[nn.Sequential], mean: Floats, scale: Floats) -> SmallNetwork:
    """Return the mean of several networks, which is one wider network."""
    parts = [[each.detach().numpy() for each in network.parameters()] for network in networks]
    return SmallNetwork(
        mean=mean,
        scale=scale,
        hidden=np.concatenate([weight for weight, _, _, _ in parts]),
        hidden_bias=np.concatenate([bias for _, bias, _, _ in parts]),
        out=np.concatenate([out[0] / np.float32(len(parts)) for _, _, out, _ in parts]),
        out_bias=float(np.mean([bias[0] for _, _, _, bias in parts])),
    )


def fit_ranker(examples: Sequence[RankingExample], settings: FitSettings) -> SmallNetwork:
    """Fit the order of candidates on examples of one kind of columns."""
    used = [each for each in examples if each.ranking.texts]
    if not used:
        raise ReplayError("too little to fit on: nothing is proposed but in one file or commit")
    mean, scale = _scale_of(np.concatenate([each.ranking.rows for each in used]), settings.start)
    inputs, mask, labels = _pad_examples(used, mean, scale)

    def loss(network: nn.Module, at: torch.Tensor) -> torch.Tensor:
        scores = nn.functional.pad(network(inputs[at])[..., 0], (0, 1))  # "none of them": zero
        return nn.functional.cross_entropy(scores.masked_fill(~mask[at], -1e9), labels[at])

    return _average(_train((len(used), len(mean)), loss, settings, len(used)), mean, scale)


def fit_gate(choices: Sequence[RankedChoice], settings: FitSettings) -> SmallNetwork:
    """Fit the probability that a beginning is right, on all beginnings of all examples.

    A cursor with many weighs more than one with few, but not as much more.
    """
    used = [each for each in choices if len(each.found.rows)]
    mean, scale = _scale_of(np.concatenate([each.found.rows for each in used]), settings.start)
    inputs = _standardise(np.concatenate([each.found.rows for each in used]), mean, scale)
    labels = torch.from_numpy(np.concatenate([each.rights for each in used]).astype(np.float32))
    counts = np.array([len(each.found.rows) for each in used])
    weights = torch.from_numpy(np.repeat(1 / np.sqrt(counts), counts).astype(np.float32))
    weights /= weights.mean()

    def loss(network: nn.Module, at: torch.Tensor) -> torch.Tensor:
        scores = network(inputs[at])[:, 0]
        return nn.functional.binary_cross_entropy_with_logits(
            scores, labels[at], weight=weights[at]
        )

    return _average(_train((len(inputs), len(mean)), loss, settings, len(used)), mean, scale)


def fit_languages(
    choices: Sequence[RankedChoice], start: Mapping[str, tuple[float, float]] = MappingProxyType({})
) -> dict[str, tuple[float, float]]:
    """Return scale and offset of the gate's score by language, each held near that of all.

    Or near its own in `start`. Languages of one family are fitted together; "other" is for what was
    not fitted: all families but the one that is surest of itself, the network's own.
    """
    shown = [each for each in choices if each.has_text]
    by_family: dict[tuple[str, ...], list[RankedChoice]] = {}
    for each in shown:
        family = next((names for names in FAMILIES if each.language in names), (each.language,))
        by_family.setdefault(family, []).append(each)
    overall = _fit_line(shown, start.get(OTHERS, (1.0, 0.0)))
    fitted = {
        name: _fit_line(its, start.get(name, overall))
        for names, its in by_family.items()
        for name in names
    }
    foreign = [each for each in shown if each.language not in FAMILIES[0]]
    return {**start, OTHERS: _fit_line(foreign, start.get(OTHERS, overall)), **fitted}


def _fit_line(choices: Sequence[RankedChoice], start: tuple[float, float]) -> tuple[float, float]:
    """Fit scale and offset of the scores of what is chosen; a change costs as much as cursors."""
    claims = np.clip([each.probability for each in choices], 1e-6, 1 - 1e-6)
    scores = torch.from_numpy(np.log(claims / (1 - claims)))
    labels = torch.tensor([float(each.is_right) for each in choices], dtype=scores.dtype)
    before = torch.tensor(start, dtype=scores.dtype)
    line = before.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([line], max_iter=50)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        wrong = nn.functional.binary_cross_entropy_with_logits(
            line[0] * scores + line[1], labels, reduction="sum"
        )
        total = wrong + LINE_HOLD * ((line - before) ** 2).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    scale, offset = line.tolist()
    return max(scale, 0.1), offset


def _train(
    shape: tuple[int, int], loss: Loss, settings: FitSettings, n_cursors: int
) -> list[nn.Sequential]:
    """Return `settings.members` networks, each fitted from its own beginning if there is no start.

    `shape` is (rows, columns) of the inputs.
    """
    n, n_columns = shape
    networks = []
    for member in range(settings.members):
        torch.manual_seed(settings.seed + member)
        network = nn.Sequential(
            nn.Linear(n_columns, settings.hidden), nn.SiLU(), nn.Linear(settings.hidden, 1)
        )
        held = []
        if (its := settings.start) is not None:
            bias = np.array([its.out_bias], np.float32)
            values = (its.hidden, its.hidden_bias, its.out[None], bias)
            held = [torch.from_numpy(value.copy()) for value in values]
            network.load_state_dict(dict(zip(network.state_dict(), held, strict=True)))
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.rate, weight_decay=settings.decay
        )
        draws = torch.Generator().manual_seed(settings.seed + member)
        for epoch in range(settings.epochs):
            for group in optimiser.param_groups:
                group["lr"] = settings.rate * (1 - epoch / settings.epochs) + 1e-5
            for batch in torch.split(torch.randperm(n, generator=draws), settings.batch):
                optimiser.zero_grad()
                total = loss(network, batch)
                for now, before in zip(network.parameters(), held, strict=bool(held)):
                    total = total + START_HOLD / n_cursors * ((now - before) ** 2).sum()
                total.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        networks.append(network)
    return networks


def choose(each: RankingExample, fitted: FittedRanker) -> RankedChoice:
    """Return what the fitted ranking makes of an example."""
    before = each.ranking
    shares = fitted.probabilities(before.rows)
    order = np.argsort(-shares, kind="stable")
    ranking = dataclasses.replace(
        before,
        texts=tuple(before.texts[place] for place in order),
        shares=shares[order],
        rows=before.rows[order],
        scores=tuple(before.scores[place] for place in order),
    )
    found = ranking.beginnings
    choice = RankedChoice(
        example=each,
        is_exact=ranking.texts[:1] == (each.truth,),
        found=found,
        rights=np.array([is_right(text.rstrip(), each.truth) for text in found.texts], bool),
    )
    return apply_gate(choice, fitted)


def choose_out_of_fold(
    examples: Sequence[RankingExample], ranker: FitSettings, gate: FitSettings
) -> list[RankedChoice]:
    """Return each example's choice by networks fitted on the other repositories.

    Of one repository, its files or commits stand in for repositories.
    """
    names = [each.repository for each in examples]
    n_folds = min(len(set(names)), MAX_FOLDS)
    if n_folds < 2:
        names, n_folds = [each.group for each in examples], 3
    number = {name: i for i, name in enumerate(sorted(set(names)))}
    folds = [number[name] % n_folds for name in names]
    plain = _apply_out_of_fold(
        examples, folds, lambda some: BLANK._replace(ranker=fit_ranker(some, ranker)), choose
    )
    return _apply_out_of_fold(
        plain, folds, lambda some: BLANK._replace(gate=fit_gate(some, gate)), apply_gate
    )


def _apply_out_of_fold(
    items: Sequence[T],
    folds: Sequence[int],
    fit: Callable[[Sequence[T]], FittedRanker],
    apply: Callable[[T, FittedRanker], RankedChoice],
) -> list[RankedChoice]:
    """Return the choice for each item by what was fitted on the items of all other folds."""
    pairs = list(zip(items, folds, strict=True))
    fitted = {
        fold: fit([item for item, its in pairs if its != fold]) for fold in sorted(set(folds))
    }
    return [apply(item, fitted[fold]) for item, fold in pairs]


def apply_gate(choice: RankedChoice, fitted: FittedRanker) -> RankedChoice:
    """Return what is chosen by another gate, and the probabilities it gives."""
    beliefs = fitted.believe(choice.found.rows)
    values = worth(beliefs, choice.found)
    probabilities = fitted.correct(beliefs, choice.language)
    return choice._replace(values=values, probabilities=probabilities, best=_best(values))


def correct(choice: RankedChoice, languages: Mapping[str, tuple[float, float]]) -> RankedChoice:
    """Return the choice with the probabilities as its language corrects them."""
    fitted = BLANK._replace(languages=languages)
    probabilities = fitted.correct(choice.probabilities, choice.language)
    return choice._replace(probabilities=probabilities)


_ZEROS = np.zeros(len(GATE_FEATURES), np.float32)
_BLANK_NETWORK = SmallNetwork(
    mean=_ZEROS, scale=_ZEROS + 1, hidden=_ZEROS[None], hidden_bias=_ZEROS[:1], out=_ZEROS[:1],
    out_bias=0.0,
)  # fmt: skip
BLANK = FittedRanker(
    ranker=_BLANK_NETWORK, gate=_BLANK_NETWORK, points={}, languages={OTHERS: (1.0, 0.0)}
)


def fitted_table(fitted: FittedRanker) -> dict[str, Any]:
    """Return a ranker with its gate and points as in `ranker.json`."""
    return {
        "ranker": network_table(fitted.ranker),
        "gate": network_table(fitted.gate),
        "points": {name: dataclasses.asdict(each) for name, each in fitted.points.items()},
        "languages": {
            name: [round(value, DIGITS) for value in line]
            for name, line in fitted.languages.items()
        },
    }


def network_table(net: SmallNetwork) -> dict[str, Any]:
    """Return a network as plain JSON values."""
    rounded = np.vectorize(lambda value: float(f"{value:.{DIGITS}g}"), otypes=[float])
    return {name: rounded(value).tolist() for name, value in net._asdict().items()}
