# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint of MobileInst training becomes a package, also mixed with another one."""

import argparse

from mobileinst_material import TINY
from mobileinst_material import tiny_training
import numpy as np
import pytest
from safetensors.torch import load_file
import torch

from vos_ros.models.mobileinst import build
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.train import export_mobileinst
from vos_ros.train.distributed import join
from vos_ros.train.mobileinst_data import to_network
from vos_ros.train.mobileinst_trainer import LAST
from vos_ros.train.mobileinst_trainer import Trainer


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return tiny_training(tmp_path_factory.mktemp('coco'))


def test_exported_checkpoint_gives_the_averaged_weights(config, tmp_path):
    run = Trainer(config, tmp_path, join('cpu'))
    run.run(stop_at=2)
    with torch.no_grad():
        run.ema.state['instance_decoder.objectness_head.bias'].fill_(0.25)
    run.save()
    parser = argparse.ArgumentParser()
    export_mobileinst.add_arguments(parser)
    out = tmp_path / 'package'
    arguments = ['--checkpoint', str(tmp_path / LAST), '--out', str(out), '--name', 'tiny']
    assert export_mobileinst.run(parser.parse_args([*arguments, '--storage', 'float32'])) == 0
    package = load_package(out)
    assert (package.name, package.classes) == ('tiny', ('person', 'animal'))
    assert package.input_size == (128, 192)
    image = np.random.default_rng(0).integers(0, 255, (128, 192, 3), dtype=np.uint8)
    found = MobileInst(package).key(image)
    model = build(TINY | {'num_classes': 2})
    model.load_state_dict(run.ema.state)
    with torch.no_grad():
        wanted = model.eval()(to_network(torch.from_numpy(image)[None], torch.device('cpu')))
    for name in ('logits', 'objectness', 'masks'):
        # Two steps leave mask logits of up to 100 behind: float32 is relative there.
        np.testing.assert_allclose(
            getattr(found, name), wanted[name][0].numpy(), rtol=1e-3, atol=2e-3)


def test_export_mixes_with_another_package(config, tmp_path, capsys):
    run = Trainer(config, tmp_path, join('cpu'))
    run.run(stop_at=1)
    run.save()
    parser = argparse.ArgumentParser()
    export_mobileinst.add_arguments(parser)

    def export(name, *more):
        return export_mobileinst.run(parser.parse_args(
            ['--checkpoint', str(tmp_path / LAST), '--out', str(tmp_path / name), '--storage',
             'float32', *more]))

    assert export('one') == 0
    for value in run.ema.state.values():
        value += 1
    run.save()
    assert export('two', '--mix', str(tmp_path / 'one'), '0.75') == 0
    one, two = (load_file(tmp_path / name / 'model.safetensors') for name in ('one', 'two'))
    for name, value in two.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, one[name] + 0.25)
    capsys.readouterr()
    for words, message in ((('one', '2'), 'SHARE is 2, must be 0 to 1'),
                           (('none', '0.5'), 'none')):
        assert export('three', '--mix', str(tmp_path / words[0]), words[1]) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / 'three').exists()


def test_export_refuses_what_is_no_checkpoint(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    export_mobileinst.add_arguments(parser)
    path = tmp_path / 'other.pt'
    torch.save({'kind': 'xmem'}, path)
    for file, message in ((path, 'no checkpoint of a MobileInst run'),
                          (tmp_path / 'none.pt', 'no such checkpoint')):
        arguments = ['--checkpoint', str(file), '--out', str(tmp_path / 'out')]
        assert export_mobileinst.run(parser.parse_args(arguments)) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
