# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The library of compiled loops is used only where it is what the Python beside it expects."""

import os
import shutil
import subprocess
import sys

import pytest

ASK = 'from vos_ros.runtime.native import compiled; print(compiled() is not None)'


@pytest.mark.parametrize('source, said', [
    ('int vos_ros_native_version(void) { return 1; }', 'another version'),
    ('int first(void) { return 1; }', 'another version'), (None, 'cannot be loaded')],
    ids=['another version', 'no version', 'no library'])
def test_a_library_of_another_version_is_left_alone(tmp_path, source, said):
    compiler = shutil.which('cc') or shutil.which('gcc')
    if compiler is None:
        pytest.skip('no C compiler')
    library = tmp_path / 'libvos_ros_native.so'
    if source is None:
        library.write_text('not a library')
    else:
        (tmp_path / 'old.c').write_text(source)
        subprocess.run([compiler, '-shared', '-fPIC', '-o', library, tmp_path / 'old.c'],
                       check=True)
    path = os.pathsep.join([str(tmp_path), os.environ.get('LD_LIBRARY_PATH', '')])
    result = subprocess.run(
        [sys.executable, '-c', ASK], env={**os.environ, 'LD_LIBRARY_PATH': path},
        capture_output=True, text=True, check=True)
    assert result.stdout.strip() == 'False'
    assert said in result.stderr
