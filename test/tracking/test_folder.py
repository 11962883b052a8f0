# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The order of a folder's pictures."""

import pytest

from vos_ros.tracking.folder import pictures_in


@pytest.mark.parametrize('names', [
    ['1.jpg', '2.jpg', '10.jpg', '11.PNG', '100.jpg'],
    ['000.png', '001.png', '010.png'],
    ['cam1_9.png', 'cam1_10.png', 'cam2_1.png', 'cam10_0.png'],
    ['1700000000.040.jpg', '1700000000.080.jpg', '1700000001.000.jpg'],
    ['01.png', '1.png', '1a.png', 'a.png', 'b.png'],
    ['é1.png', 'é12.png', '٣.png'],
])
def test_numbers_count_by_their_value(tmp_path, names):
    for name in (*names[::-1], 'notes.txt'):
        (tmp_path / name).touch()
    assert [file.name for file in pictures_in(tmp_path)] == names


def test_a_folder_without_pictures_is_named(tmp_path):
    with pytest.raises(ValueError, match=r'holds no picture \(.jpg'):
        pictures_in(tmp_path)
