# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Figures of a run, as CSV for people and as TensorBoard events when that is installed."""

from collections.abc import Mapping
import csv
from pathlib import Path
from typing import Any


class RunLog:
    """Appends rows to `name`.csv files and scalars to an event file in a run's folder."""

    def __init__(self, folder: Path) -> None:
        """Make the folder; TensorBoard is left out where it is not installed."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._events: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._events = SummaryWriter(str(folder))

    def row(self, name: str, iteration: int, figures: Mapping[str, float]) -> None:
        """Write one row; a file whose columns differ is kept aside as `name`.old.csv."""
        path = self.folder / f'{name}.csv'
        columns = ['iteration', *figures]
        if path.exists():
            with path.open(newline='') as file:
                present = next(csv.reader(file), [])
            if present != columns:
                path.replace(path.with_suffix('.old.csv'))
        new = not path.exists()
        with path.open('a', newline='') as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(columns)
            writer.writerow([iteration, *(f'{v:.6g}' for v in figures.values())])
        if self._events is not None:
            for key, value in figures.items():
                self._events.add_scalar(f'{name}/{key.replace("@", "_at_")}', value, iteration)

    def close(self) -> None:
        """Write what is buffered."""
        if self._events is not None:
            self._events.close()
