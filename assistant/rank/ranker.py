"""Orders candidates by small fitted networks; numpy alone evaluates them.

The parameters are the plain JSON of a model folder's `ranker.json`, fitted by `foretype train
fit`: one set for candidates that only the index proposes, one for those that the network has
scored too. A table that is not exactly what this version writes is refused. What the columns mean
is the business of `features` and `beginnings`.
"""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assistant.errors import ModelError
from assistant.rank.beginnings import GATE_FEATURES
from assistant.rank.features import INDEX_FEATURES, NETWORK_FEATURES, Rows
from model.files import UnreadableFileError, read_regular
from model.folder import BUNDLED, RANKER

FORMAT_VERSION = 2
OTHERS = "other"  # languages that nothing was fitted for
LEVELS = ("quiet", "balanced", "eager")  # of the setting `show`, from the strictest on
_LIMIT = 5.0  # standardised features are cut there: nothing further out was fitted
_EDGE = 1e-6  # a belief is kept so far from 0 and 1
_MAX_FILE_BYTES = 8 << 20
_FIT_AGAIN = "fit it again with: foretype train fit"

Floats = NDArray[np.float32]


class SmallNetwork(NamedTuple):
    """One hidden layer over standardised columns."""

    mean: Floats  # (F,)
    scale: Floats  # (F,)
    hidden: Floats  # (H, F)
    hidden_bias: Floats  # (H,)
    out: Floats  # (H,)
    out_bias: float

    def __call__(self, rows: Rows) -> Floats:
        """Return a score for each row."""
        inner = np.clip((rows - self.mean) / self.scale, -_LIMIT, _LIMIT) @ self.hidden.T
        inner += self.hidden_bias
        inner *= 1 / (1 + np.exp(-inner))
        scores: Floats = inner @ self.out + np.float32(self.out_bias)
        return scores


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPoint:
    """An operating point: what is shown from `threshold` on, and what that gave when fitted."""

    threshold: float
    precision: float  # share of what was shown that was right
    coverage: float  # share of cursors at which something was shown
    hidden: float  # share of the right texts that were not shown


class FittedRanker(NamedTuple):
    """What was fitted for one kind of rows."""

    ranker: SmallNetwork
    gate: SmallNetwork
    points: Mapping[str, OperatingPoint]  # by level of the setting `show`
    languages: Mapping[str, tuple[float, float]]  # scale and offset of the gate's score, by name

    def probabilities(self, rows: Rows) -> Floats:
        """Return for each row the share of belief that it is the whole line; they sum to < 1.

        What is missing is the belief that it is none of them.
        """
        if not len(rows):
            return np.zeros(0, np.float32)
        scores = self.ranker(rows)
        peak = max(float(scores.max()), 0.0)
        weights = np.exp(scores - np.float32(peak))
        shares: Floats = weights / (weights.sum() + np.exp(np.float32(-peak)))
        return shares

    def believe(self, rows: Rows) -> Floats:
        """Return how likely each text with these gate features is right, in any language."""
        return (1 / (1 + np.exp(-np.clip(self.gate(rows), -30, 30)))).astype(np.float32)

    def correct(self, beliefs: ArrayLike, language: str) -> NDArray[np.float64]:
        """Return how often what is chosen with such beliefs is right in a language."""
        scale, offset = self.languages.get(language) or self.languages[OTHERS]
        belief = np.clip(np.asarray(beliefs, float), _EDGE, 1 - _EDGE)
        score = np.clip(scale * np.log(belief / (1 - belief)) + offset, -30, 30)
        probabilities: NDArray[np.float64] = 1 / (1 + np.exp(-score))
        return probabilities


def threshold(
    show: str, points: Mapping[str, OperatingPoint] | None, *, n: int = 1, step: float = 0.0
) -> float:
    """Return the probability from which a suggestion is shown; above 1 for never.

    That a suggestion is a right beginning of the rest of the line means the same in every language,
    so one threshold serves them all. Who asks for several (`n`) has asked by hand, and is shown
    what there is; so is everybody where nothing was fitted (`points` is None). `step` is by how
    much the user's own statistics move it.
    """
    if show == "off":
        return 2.0
    if points is None or n > 1:
        return 0.0
    usual = points[show].threshold
    return usual + step if 0 < usual + step < 1 else usual


@dataclass(frozen=True, kw_only=True, slots=True)
class RankerParameters:
    """All that a `ranker.json` holds."""

    index: FittedRanker  # rows of INDEX_FEATURES
    both: FittedRanker | None  # and of NETWORK_FEATURES behind them; None while it is being fitted


def parse(table: Mapping[str, Any]) -> RankerParameters:
    """Check and take the table of a `ranker.json`; ModelError says what is wrong with it."""
    try:
        _check_kind(table)
        n_index, n_both = len(INDEX_FEATURES), len(INDEX_FEATURES + NETWORK_FEATURES)
        return RankerParameters(
            index=_fitted(table["memory"], n_index), both=_fitted(table["both"], n_both)
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"{RANKER} cannot be used: {what}; {_FIT_AGAIN}") from error


def _check_kind(table: Mapping[str, Any]) -> None:
    if (version := table["format_version"]) != FORMAT_VERSION:
        raise ValueError(f"format_version is {version!r}; this program reads {FORMAT_VERSION}")
    for name, names in _COLUMNS.items():
        if tuple(table["columns"][name]) != names:
            raise ValueError(f"its columns of kind {name} are not this program's")


_COLUMNS = {"memory": INDEX_FEATURES, "network": NETWORK_FEATURES, "gate": GATE_FEATURES}


def columns() -> dict[str, list[str]]:
    """Return the names of all columns, as a `ranker.json` states them."""
    return {name: list(names) for name, names in _COLUMNS.items()}


@functools.cache
def bundled() -> RankerParameters | None:
    """Return the parameters beside the bundled model, without the model; None without any."""
    try:
        data = read_regular(BUNDLED / RANKER, _MAX_FILE_BYTES, allow_links=True)
    except UnreadableFileError:
        return None
    try:
        return parse(json.loads(data))
    except ValueError as error:
        raise ModelError(f"{BUNDLED / RANKER}: {error}; install foretype again") from error


def _fitted(table: Mapping[str, Any], n_columns: int) -> FittedRanker:
    points = {name: _point(table["points"][name]) for name in LEVELS}
    return FittedRanker(
        ranker=_net(table["ranker"], n_columns),
        gate=_net(table["gate"], len(GATE_FEATURES)),
        points=points,
        languages={name: _line(table["languages"][name]) for name in (OTHERS, *table["languages"])},
    )


def _line(values: Sequence[Any]) -> tuple[float, float]:
    scale, offset = map(float, values)
    if not (0 < scale < math.inf and math.isfinite(offset)):
        raise ValueError("a language's scale and offset are no finite numbers, or not above 0")
    return scale, offset


def _point(table: Mapping[str, Any]) -> OperatingPoint:
    values = {name: float(table[name]) for name in OperatingPoint.__slots__}
    if not all(0 <= value <= 1 for value in values.values()):
        raise ValueError("a share of an operating point is not in 0..1")
    return OperatingPoint(**values)


def _net(table: Mapping[str, Any], n_columns: int) -> SmallNetwork:
    arrays = {
        name: np.array(table[name], np.float32)
        for name in ("mean", "scale", "hidden", "hidden_bias", "out")
    }
    n_hidden = len(arrays["out"])
    shapes = {
        "mean": (n_columns,), "scale": (n_columns,), "hidden": (n_hidden, n_columns),
        "hidden_bias": (n_hidden,), "out": (n_hidden,),
    }  # fmt: skip
    bias = float(table["out_bias"])
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has shape {arrays[name].shape}, not {shape}")
        if not np.isfinite(arrays[name]).all() or not np.isfinite(bias):
            raise ValueError(f"{name} or out_bias holds what is no finite number")
    if (arrays["scale"] <= 0).any():
        raise ValueError("scale must be above 0")
    return SmallNetwork(out_bias=bias, **arrays)
