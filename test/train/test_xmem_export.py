# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Model packages from trainings of XMem, by the command line."""

import os

from safetensors.torch import load_file
import torch

from vos_ros import cli
from vos_ros.models.xmem import export
from vos_ros.runtime.package import load_package
from vos_ros.train.xmem import read_config
from vos_ros.train.xmem import train

torch.set_num_threads(1)     # more are slower on a network this small


def test_a_package_is_exported_anew_from_its_own_weights(config, tmp_path, capsys):
    saved = train(read_config(config, ['train.iterations=1']), tmp_path / 'a', device='cpu')
    first, again = tmp_path / 'first', tmp_path / 'again'
    assert cli.main(['export', 'xmem', '--checkpoint', str(saved), '--out', str(first),
                     '--size', '64', '96', '--training-data', 'noise']) == 0
    assert cli.main(['export', 'xmem', '--package', str(tmp_path / 'none')]) == 1
    assert 'none' in capsys.readouterr().err
    assert cli.main(['export', 'xmem', '--package', str(first), '--out', str(again)]) == 0
    a, b = load_package(first), load_package(again)
    assert (b.name, b.input_size, b.training_data) == (a.name, (64, 96), 'noise')
    assert b.figures == a.figures == {'iterations': 1}
    assert b.weights.read_bytes() == a.weights.read_bytes()
    assert cli.main(['export', 'xmem', '--checkpoint', str(saved)]) == 1
    assert '--training-data' in capsys.readouterr().err


def test_an_export_that_is_stopped_leaves_the_package_as_it_was(
        config, tmp_path, capsys, monkeypatch):
    saved = train(read_config(config, ['train.iterations=1']), tmp_path / 'a', device='cpu')
    folder = tmp_path / 'package'
    words = ['export', 'xmem', '--checkpoint', str(saved), '--out', str(folder), '--size', '64',
             '96', '--training-data', 'noise']
    assert cli.main(words) == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert all(path.stat().st_mode & 0o777 == 0o666 & ~umask() for path in folder.iterdir())
    real = export.export_onnx

    def full(module, inputs, outputs, path, dynamic):
        if path.name == 'decode.onnx':
            raise OSError(28, 'No space left on device', str(path))
        return real(module, inputs, outputs, path, dynamic)

    monkeypatch.setattr(export, 'export_onnx', full)
    assert cli.main(['export', 'xmem', '--package', str(folder)]) == 1
    assert 'No space left on device' in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert load_package(folder).name == 'package'


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_package_is_mixed_with_another(config, tmp_path, capsys):
    paths = []
    for seed in (1, 2):
        saved = train(read_config(config, ['train.iterations=1', f'train.seed={seed}']),
                      tmp_path / f'run{seed}', device='cpu')
        paths.append(tmp_path / f'part{seed}')
        assert cli.main(['export', 'xmem', '--checkpoint', str(saved), '--out', str(paths[-1]),
                         '--size', '64', '96', '--training-data', 'noise']) == 0
    one, two = (load_file(path / 'model.safetensors') for path in paths)
    out = tmp_path / 'mixed'
    assert cli.main(['export', 'xmem', '--package', str(paths[0]), '--out', str(out),
                     '--mix', str(paths[1]), '0.25']) == 0
    mean = load_file(out / 'model.safetensors')
    assert any(not torch.equal(one[name], two[name]) for name in one)
    for name, value in mean.items():
        if value.is_floating_point():
            wanted = 0.75 * one[name] + 0.25 * two[name]
            assert (value - wanted).abs().max() <= 1e-6 * wanted.abs().max(), name
    capsys.readouterr()
    for share in ('1.5', 'half', 'nan'):
        assert cli.main(['export', 'xmem', '--package', str(paths[0]), '--out', str(out),
                         '--mix', str(paths[1]), share]) == 1
        assert share in capsys.readouterr().err
    saved = train(read_config(config, ['train.iterations=1', 'network.up4_dim=12']),
                  tmp_path / 'wide', device='cpu')
    assert cli.main(['export', 'xmem', '--checkpoint', str(saved), '--out', str(out), '--size',
                     '64', '96', '--training-data', 'noise', '--mix', str(paths[1]), '0.5']) == 1
    assert 'another network' in capsys.readouterr().err
