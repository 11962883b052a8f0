# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`vos-ros convert xmem`: what is taken, what is refused and with which words."""

from pathlib import Path
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from vos_ros.cli import main
from vos_ros.models.xmem.config import XMemConfig
from vos_ros.models.xmem.network import XMem
from vos_ros.models.xmem.weights import config_of
from vos_ros.models.xmem.weights import load_weights
from vos_ros.models.xmem.weights import network_from
from vos_ros.models.xmem.weights import read_state_dict
from vos_ros.models.xmem.weights import WeightsError
from vos_ros.runtime.package import load_package
from vos_ros.runtime.xmem import OnnxXMem


@pytest.fixture(scope='module')
def small() -> dict[str, torch.Tensor]:
    """Return official names with few channels for keys, values and hidden state."""
    torch.manual_seed(0)
    return XMem(XMemConfig(key_dim=8, value_dim=16, hidden_dim=4)).state_dict()


def test_convert_writes_a_package_that_runs(small: Any, tmp_path: Path, capsys: Any) -> None:
    torch.save(small, tmp_path / 'XMem-small.pth')
    code = main(['convert', 'xmem', str(tmp_path / 'XMem-small.pth'), '--out',
                 str(tmp_path / 'out'), '--size', '96x128', '--no-weights'])
    assert code == 0, capsys.readouterr().err
    assert 'C_k 8, C_v 16, C_h 4' in capsys.readouterr().out
    package = load_package(tmp_path / 'out')
    assert (package.kind, package.name, package.input_size) == ('xmem', 'xmem-small', (96, 128))
    encoded = OnnxXMem(package).encode_key(np.zeros((3, 32, 48), np.float32))
    assert encoded.key.shape == (6, 8)


@pytest.mark.parametrize('fault', ['missing', 'unexpected', 'shape', 'all three', 'not finite',
                                   'no xmem', 'code', 'text', 'words', 'empty', 'absent', 'number',
                                   'size'])
def test_convert_refuses(fault: str, small: Any, tmp_path: Path, capsys: Any) -> None:
    state: Any = dict(small)
    path, size = tmp_path / 'w.pth', '96x128'
    expected = []
    if fault in ('missing', 'all three'):
        del state['decoder.pred.bias']
        expected.append('1 missing: decoder.pred.bias')
    if fault in ('unexpected', 'all three'):
        state['optimizer.step'] = torch.zeros(1)
        expected.append('1 unexpected: optimizer.step')
    if fault in ('shape', 'all three'):
        state['key_proj.d_proj.weight'] = torch.zeros(2, 1024, 3, 3)
        expected.append('key_proj.d_proj.weight is (2, 1024, 3, 3), must be (1, 1024, 3, 3)')
    if fault == 'not finite':
        state['decoder.pred.bias'] = torch.tensor([float('nan')])
        expected.append('1 not finite: decoder.pred.bias')
    if fault == 'no xmem':
        state = {'weight': torch.zeros(3)}
        expected.append('no tensor key_proj.key_proj.weight')
    if fault == 'number':
        state = {**state, 'epoch': 3}
        expected.append('epoch')
    if fault == 'size':
        size = '90x128'
        expected.append('90')
    if fault == 'code':
        path.write_bytes(pickle.dumps({'a': print}))
        expected.append('not a file of plain tensors')
    elif fault in ('text', 'words', 'empty'):
        path.write_text({'text': '<html>404</html>', 'words': 'hello world', 'empty': ''}[fault])
        expected += [str(path), 'not a file of plain tensors']
    elif fault != 'absent':
        torch.save(state, path)
    else:
        expected.append('no such file')
    code = main(['convert', 'xmem', str(path), '--out', str(tmp_path / 'out'), '--size', size])
    told = capsys.readouterr().err
    assert code == 1
    for text in expected:
        assert text in told
    assert not (tmp_path / 'out' / 'model.yaml').exists()


def test_unpickling_never_runs_code(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / 'ran',)

    torch.save({'key_proj.key_proj.weight': Bomb()}, tmp_path / 'w.pth')
    with pytest.raises(WeightsError, match='plain tensors'):
        read_state_dict(tmp_path / 'w.pth')
    assert not (tmp_path / 'ran').exists()


def test_a_bad_size_on_the_command_line(capsys: Any) -> None:
    assert main(['convert', 'xmem', 'w.pth', '--out', 'o', '--size', 'big']) == 2
    assert 'big' in capsys.readouterr().err


def test_sizes_are_read_from_shapes(small: Any) -> None:
    assert config_of(small) == XMemConfig(key_dim=8, value_dim=16, hidden_dim=4)
    stateless = XMem(XMemConfig(key_dim=8, value_dim=16, hidden_dim=0)).state_dict()
    network = network_from(stateless)
    assert network.config.hidden_dim == 0


def test_single_object_weights_gain_a_zero_channel(small: Any) -> None:
    torch.manual_seed(1)
    config = XMemConfig(key_dim=8, value_dim=16, hidden_dim=4, single_object=True)
    single = XMem(config).eval()
    double = network_from(single.state_dict())
    weight = double.state_dict()['value_encoder.conv1.weight']
    assert weight.shape[1] == 5
    assert not weight[:, 4].any()
    image, masks = torch.randn(1, 3, 32, 32), torch.rand(1, 2, 32, 32)
    with torch.no_grad():
        f16 = single.encode_key(image).features.f16
        assert torch.allclose(single.encode_value(image, f16, masks),
                              double.encode_value(image, f16, masks), atol=1e-5)
    again = XMem(config)
    load_weights(again, single.state_dict())        # and into its own kind, as they are
    assert torch.equal(again.state_dict()['value_encoder.conv1.weight'],
                       single.state_dict()['value_encoder.conv1.weight'])
