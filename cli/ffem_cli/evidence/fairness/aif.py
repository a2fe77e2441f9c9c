"""The same two figures through AIF360 (Bellamy et al. 2018), whose metrics the paper names."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import MissingExtra
from ffem_cli.evidence.fairness.faces import Face
from ffem_cli.evidence.fairness.gaps import Pair

Array = NDArray[np.float64]


class Metrics:
    """AIF360's metrics of scores in [0, 1]: each face is in the data set twice, with the favourable label and its score
    as weight, and with the other label and the rest."""

    def __init__(self, faces: Sequence[Face], scores: Array) -> None:
        """MissingExtra where AIF360 is not installed."""
        pandas, self._metric, dataset = _imported()
        gender, race = ([getattr(face, name) for face in faces] for name in ("gender", "race"))
        frame = pandas.DataFrame(
            {
                "gender": np.tile(np.array(gender, float), 2),
                "race": np.tile(np.array(race, float), 2),
                "found": np.repeat([1.0, 0.0], len(scores)),
                "weight": np.concatenate([scores, 1 - scores]),
            }
        )
        self._data = dataset(
            favorable_label=1.0,
            unfavorable_label=0.0,
            df=frame,
            label_names=["found"],
            protected_attribute_names=["gender", "race"],
            instance_weights_name="weight",
        )

    def of(self, pair: Pair) -> tuple[float, float]:
        """Mean difference and disparate impact (NaN where the privileged score nothing)."""
        metric = self._metric(
            self._data,
            unprivileged_groups=[{pair.attribute: float(value)} for value in pair.unprivileged],
            privileged_groups=[{pair.attribute: float(value)} for value in pair.privileged],
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            impact = float(metric.disparate_impact())
        return float(metric.mean_difference()), impact if math.isfinite(impact) else math.nan


def _imported() -> tuple[Any, Any, Any]:
    """pandas, BinaryLabelDatasetMetric, BinaryLabelDataset. AIF360 logs at import what it could do with packages that
    are not needed here, and leaves a handler at the root: both are kept from the user."""
    handlers, level = list(logging.root.handlers), logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pandas
            from aif360.datasets import BinaryLabelDataset
            from aif360.metrics import BinaryLabelDatasetMetric
    except ModuleNotFoundError:
        raise MissingExtra("AIF360 is not installed", "pip install 'ffem-chain[eval]'") from None
    finally:
        logging.disable(level)
        logging.root.handlers[:] = handlers
    return pandas, BinaryLabelDatasetMetric, BinaryLabelDataset
