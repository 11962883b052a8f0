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
        """Write one row; what a row does not have stays empty, what is new gets a column."""
        path = self.folder / f'{name}.csv'
        values = {'iteration': str(iteration), **{k: f'{v:.6g}' for k, v in figures.items()}}
        columns: list[str] = []
        if path.exists():
            with path.open(newline='') as file:
                columns = next(csv.reader(file), [])
        more = [column for column in values if column not in columns]
        if more:
            self._widen(path, [*columns, *more])
        with path.open('a', newline='') as file:
            csv.writer(file).writerow([values.get(k, '') for k in [*columns, *more]])
        if self._events is not None:
            for key, value in figures.items():
                self._events.add_scalar(f'{name}/{key.replace("@", "_at_")}', value, iteration)

    @staticmethod
    def _widen(path: Path, columns: list[str]) -> None:
        """Give a file columns, at the right; it is replaced in one move."""
        rows: list[list[str]] = []
        if path.exists():
            with path.open(newline='') as file:
                rows = list(csv.reader(file))[1:]
        part = path.with_suffix('.part')
        with part.open('w', newline='') as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows([*row, *[''] * (len(columns) - len(row))] for row in rows)
        part.replace(path)

    def close(self) -> None:
        """Write what is buffered."""
        if self._events is not None:
            self._events.close()
