# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How figures are averaged and written where some do not exist: NaN here, null in JSON, - in text.

A figure does not exist where there was nothing to measure, as the AP of small objects in a set
that has none: that is not 0.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import json
import math
from typing import Any

import numpy as np


def mean(values: Iterable[float]) -> float:
    """Average the figures that exist; NaN when none does."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def percent(value: float) -> str:
    """Write a share 0..1 in per cent with one decimal."""
    return '-' if math.isnan(value) else f'{100 * value:.1f}'


def ratio(value: float) -> str:
    """Write a ratio with three decimals."""
    return '-' if math.isnan(value) else f'{value:.3f}'


def to_json(figures: Mapping[str, Any]) -> str:
    """Write figures as a JSON object on one line, floats with five decimals."""
    out = {name: round(value, 5) if isinstance(value, float) else value
           for name, value in figures.items()}
    return json.dumps({name: None if isinstance(value, float) and math.isnan(value) else value
                       for name, value in out.items()}, allow_nan=False)
