# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The Hungarian assignment for the few dozen rows and columns of a keyframe.

Own code instead of scipy.optimize.linear_sum_assignment, at run time only: scipy takes 140 MB of
a board's disk, 47 MB of resident memory and 0.3 s of start (measured on x86-64), for one call on a
matrix of at most some dozens of rows.  The tests hold this against scipy.
"""

import numpy as np
from numpy.typing import ArrayLike
from numpy.typing import NDArray


def assign(cost: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return (rows, columns) of the one-to-one assignment of least total cost.

    cost: [n, m] finite numbers.  min(n, m) pairs come back, ordered by row.  Shortest augmenting
    paths with dual variables (Jonker and Volgenant, 1987), one vectorised scan per path step:
    O(min(n, m)² · max(n, m)).  Raises ValueError for another shape or a number that is not finite.
    """
    matrix = np.asarray(cost, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(f'cost has {matrix.ndim} dimensions, must have 2')
    if not np.isfinite(matrix).all():
        raise ValueError('cost holds a number that is not finite')
    if matrix.shape[0] > matrix.shape[1]:
        columns, rows = assign(matrix.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    n, m = matrix.shape
    row_price = np.zeros(n)
    column_price = np.zeros(m)
    row_of = np.full(m, -1, np.intp)
    for start in range(n):
        # Dijkstra over columns from the row `start` to the nearest column without a row.
        distance = np.full(m, np.inf)
        before = np.full(m, -1, np.intp)
        done = np.zeros(m, bool)
        row, reached, column = start, 0.0, -1
        while True:
            through = reached + matrix[row] - row_price[row] - column_price
            better = ~done & (through < distance)
            distance[better] = through[better]
            before[better] = row
            column = int(np.argmin(np.where(done, np.inf, distance)))
            reached = distance[column]
            done[column] = True
            if row_of[column] < 0:
                break
            row = int(row_of[column])
        row_price[start] += reached
        settled = done & (row_of >= 0)
        row_price[row_of[settled]] += reached - distance[settled]
        column_price[done] += distance[done] - reached
        # Along the path back to `start`, every column takes the row it was reached from.
        column_of = {int(r): int(c) for c, r in enumerate(row_of) if r >= 0}
        while True:
            row = int(before[column])
            row_of[column] = row
            if row == start:
                break
            column = column_of[row]
    columns = np.flatnonzero(row_of >= 0)
    rows = row_of[columns]
    order = np.argsort(rows)
    return rows[order], columns[order]
