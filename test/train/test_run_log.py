# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A run's CSV files keep every row, whichever figures it has."""

import csv

from vos_ros.train.logs import RunLog


def test_rows_of_other_figures_stay_in_one_file(tmp_path):
    log = RunLog(tmp_path)
    log.row('train', 20, {'total': 3.5, 'rate': 0.1})
    log.row('train', 40, {'total': 3.25, 'reused': 0.5, 'rate': 0.1})
    log.row('train', 60, {'rate': 0.2})
    log.close()
    again = RunLog(tmp_path)
    again.row('train', 80, {'total': 3.0, 'rate': 0.2})
    again.close()
    with (tmp_path / 'train.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['iteration'] for row in rows] == ['20', '40', '60', '80']
    assert [row['total'] for row in rows] == ['3.5', '3.25', '', '3']
    assert [row['reused'] for row in rows] == ['', '0.5', '', '']
    assert [row['rate'] for row in rows] == ['0.1', '0.1', '0.2', '0.2']
    assert sorted(p.name for p in tmp_path.glob('*.csv*')) == ['train.csv']
