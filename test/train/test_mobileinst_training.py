# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Training MobileInst in miniature: the data sets, query passing, stopping and going on."""

from dataclasses import replace
from pathlib import Path

from miniature import coco_folder
from miniature import ytvis_folder
from mobileinst_material import TINY
from mobileinst_material import tiny_training
import pytest
import torch

from vos_ros.models.mobileinst import build
from vos_ros.train.distributed import join
from vos_ros.train.feature_pool import FeaturePool
from vos_ros.train.feature_pool import trunk_digest
from vos_ros.train.initialise import spread_queries
from vos_ros.train.matching import Target
from vos_ros.train.mobileinst_config import ConfigError
from vos_ros.train.mobileinst_config import Freeze
from vos_ros.train.mobileinst_config import ImageData
from vos_ros.train.mobileinst_config import Optimiser
from vos_ros.train.mobileinst_config import read_config
from vos_ros.train.mobileinst_config import Stage
from vos_ros.train.mobileinst_config import TrainConfig
from vos_ros.train.mobileinst_data import Batch
from vos_ros.train.mobileinst_data import collate_images
from vos_ros.train.mobileinst_data import ImageSamples
from vos_ros.train.mobileinst_data import load_material
from vos_ros.train.mobileinst_data import to_network
from vos_ros.train.mobileinst_trainer import LAST
from vos_ros.train.mobileinst_trainer import Trainer
from vos_ros.train.optimise import freeze
from vos_ros.train.optimise import pretrained_parts
from vos_ros.train.optimise import train_mode

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return tiny_training(tmp_path_factory.mktemp('coco'))


def trainer(config, folder):
    return Trainer(config, folder, join('cpu'))


def test_config_file_names_what_is_wrong(tmp_path, monkeypatch):
    path = tmp_path / 'train.yaml'
    path.write_text('size: [64, 128]\noptimiser: {rate: 2e-4}\nstages: [{kind: clips}]\n'
                    'train: {annotations: a.json}\n')
    config = read_config(path)
    assert config.optimiser.rate == 2e-4 and config.size == (64, 128)
    assert TrainConfig.from_mapping(config.to_mapping()) == config
    assert config.stage_at(0) == (0, 0)
    for text, message in (
            ('optimiser: {speed: 1}', r'train\.yaml: optimiser\.speed: no such setting'),
            ('size: [100, 128]', 'multiples of 64'), ('seed: many', 'seed.*int'),
            ('stages: [{kind: songs}]', 'songs'), ('stages: []', 'at least one'),
            ('optimiser: {clip: 0}', r'optimiser\.clip'), ('auxiliary: -1', 'auxiliary -1'),
            ('optimiser: {weight_decay: -1}', r'optimiser\.weight_decay'),
            ('optimiser: {rate: .nan}', r'optimiser\.rate'), ('workers: -1', 'workers -1'),
            ('stages: [{cache: -3}]', 'cache -3')):
        path.write_text(text + '\ntrain: {annotations: a.json}')
        with pytest.raises(ConfigError, match=message):
            read_config(path)
    with pytest.raises(ConfigError, match=r'none\.yaml'):
        read_config(tmp_path / 'none.yaml')
    monkeypatch.delenv('VOS_ROS_NOWHERE', raising=False)
    missing = TrainConfig(train=ImageData('$VOS_ROS_NOWHERE/images', '$VOS_ROS_NOWHERE/a.json'))
    with pytest.raises(ConfigError, match='VOS_ROS_NOWHERE'):
        load_material(missing)


@pytest.mark.parametrize(('part', 'values', 'message'), [
    ('augment', {'height': 320}, r'augment\.height'),
    ('augment', {'scale': 1.0}, r'augment\.scale'),
    ('augment', {'scale': [2.0, 0.7]}, r'augment: scale'), ('augment', {'pastes': -1}, 'pastes'),
    ('augment', {'size': [1, 2]}, r'augment\.size: no such setting'),
    ('synthetic', {'objects': [3, 1]}, 'synthetic: objects'),
    ('synthetic', {'speed': float('nan')}, 'synthetic: speed'),
    ('loss', {'dice': -1}, 'loss: .*dice')])
def test_generators_name_what_is_wrong(config, tmp_path, part, values, message):
    with pytest.raises(ConfigError, match=message):
        trainer(replace(config, **{part: values}), tmp_path)


def test_stages_follow_each_other():
    config = TrainConfig(train=ImageData('', 'a.json'),
                         stages=(Stage(iterations=3), Stage('clips', iterations=2)))
    assert [config.stage_at(i) for i in range(5)] == [(0, 0)] * 3 + [(1, 3)] * 2
    with pytest.raises(ValueError, match='past the last'):
        config.stage_at(5)


def test_frozen_weights_stay_and_others_move(config, tmp_path):
    run = trainer(config, tmp_path)
    before = {k: v.clone() for k, v in run.model.state_dict().items()}
    run.run(stop_at=2)
    moved = {k for k, v in run.model.state_dict().items() if not torch.equal(v, before[k])}
    assert 'backbone._blocks.10._project_conv.weight' in moved
    assert 'instance_decoder.queries' in moved and 'mask_features.weight' in moved
    pretrained = {k for k in moved if k.startswith(('backbone._blocks', 'backbone._conv_stem',
                                                    'backbone._bn0'))}
    assert all(int(k.split('.')[2]) >= 5 for k in pretrained)
    assert not any('_bn' in k or '_depthwise' in k for k in pretrained)


def test_freezing_everything_pretrained():
    model = build(TINY | {'num_classes': 2})
    freeze(model, pretrained_parts(model, False), Freeze(blocks=16, norms=True, depthwise=True))
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert not any(n.startswith(('backbone._blocks', 'backbone._conv_stem')) for n in trained)
    assert any(n.startswith('backbone.trans') for n in trained)


def test_only_what_is_named_is_trained(config, tmp_path):
    parts = ('guide', 'mask_features', 'instance_decoder.kernel_head')
    plain = replace(config, network=TINY | {'guide_dim': 8}, freeze=Freeze(only=parts),
                    loss={'reused': 1.0}, stages=(Stage(kind='clips', iterations=3, batch=2),))
    run = trainer(plain, tmp_path)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.run()
    moved = {name for name, value in run.model.state_dict().items()
             if not torch.equal(value, before[name])}
    assert all(name.startswith(parts) for name in moved)
    assert {name.split('.')[0] for name in moved} == {'guide', 'mask_features', 'instance_decoder'}
    with pytest.raises(ConfigError, match=r'freeze\.only: the network has no part wheels'):
        trainer(replace(plain, freeze=Freeze(only=('wheels',))), tmp_path)
    with pytest.raises(ConfigError, match='cache keeps no pictures'):
        trainer(replace(plain, stages=(Stage(cache=8),)), tmp_path)


@pytest.mark.parametrize('backbone', ['topformer_tiny', 'seaformer_tiny'])
def test_a_backbone_that_starts_from_weights_is_pretrained(config, tmp_path, backbone):
    plain = replace(config, network=TINY | {'backbone': backbone}, freeze=Freeze(norms=True),
                    stages=(Stage(batch=2),), optimiser=Optimiser(backbone=0.25))
    run = trainer(plain, tmp_path)
    assert {g['factor'] for g in run.optimiser.param_groups} == {1.0}
    torch.save(run.model.backbone.state_dict(), tmp_path / 'released.pth')
    begun = replace(plain, weights=str(tmp_path / 'released.pth'))
    run = trainer(begun, tmp_path)
    slow = {id(p) for g in run.optimiser.param_groups if g['factor'] == 0.25 for p in g['params']}
    norms = {name: module for name, module in run.model.backbone.named_modules()
             if isinstance(module, torch.nn.BatchNorm2d)}
    train_mode(run.model, run.pretrained, begun.freeze)
    for name, parameter in run.model.backbone.named_parameters():
        own = not name.startswith('SIM.')       # classifiers have none
        rests = own and name.rpartition('.')[0] in norms
        assert parameter.requires_grad != rests
        assert (id(parameter) in slow) == (own and not rests)
    assert all(norm.training == name.startswith('SIM.') for name, norm in norms.items())
    for rule, text in ((Freeze(blocks=0), r'freeze\.blocks'),
                       (Freeze(depthwise=True), r'freeze\.depthwise')):
        with pytest.raises(ConfigError, match=text):
            trainer(replace(plain, freeze=rule), tmp_path)


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(config, tmp_path):
    straight = trainer(config, tmp_path / 'straight')
    straight.run()
    assert straight.iteration == 7
    # once amid the images, once amid the clips that are kept as trunk maps
    for stop in (2, 5, 0):
        part = trainer(config, tmp_path / 'parts')
        if (tmp_path / 'parts' / LAST).exists():
            part.resume(tmp_path / 'parts' / LAST)
        part.run(stop_at=stop)
    assert part.iteration == 7
    for name, tensor in straight.model.state_dict().items():
        torch.testing.assert_close(part.model.state_dict()[name], tensor, rtol=1e-5, atol=1e-6)
    for name, tensor in straight.ema.state.items():
        torch.testing.assert_close(part.ema.state[name], tensor, rtol=1e-5, atol=1e-6)
    assert not list((tmp_path / 'parts').glob('*.part'))


def test_resume_refuses_another_network(config, tmp_path):
    run = trainer(config, tmp_path)
    run.save()
    other = trainer(replace(config, network=TINY | {'mask_dim': 8}), tmp_path)
    with pytest.raises(ConfigError, match='another network'):
        other.resume(tmp_path / LAST)


def test_what_goes_on_is_trained_by_the_settings_of_now(config, tmp_path):
    first = replace(config, optimiser=replace(config.optimiser, backbone=1.0))
    trainer(first, tmp_path).save()
    now = replace(config, optimiser=replace(config.optimiser, backbone=0.5, weight_decay=0.2))
    run = trainer(now, tmp_path)
    run.resume(tmp_path / LAST)
    assert {(g['factor'], g['weight_decay']) for g in run.optimiser.param_groups} == {
        (1.0, 0.2), (1.0, 0.0), (0.5, 0.2)}
    run = trainer(replace(config, freeze=Freeze(blocks=2)), tmp_path)
    with pytest.raises(ValueError, match=r'last\.pt.*freeze'):
        run.resume(tmp_path / LAST)


def test_pool_gives_what_the_images_give(config, tmp_path):
    torch.manual_seed(0)
    model = build(TINY | {'num_classes': 2}).eval()
    samples = ImageSamples(load_material(config), config)
    batch = collate_images([samples[i] for i in range(4)])
    pool = FeaturePool.build(model.backbone, [batch], torch.device('cpu'), torch.bfloat16)
    drawn = next(iter(pool.batches(1, 0, 1, 4)))
    order = [next(i for i, t in enumerate(batch.targets) if t is d) for d in drawn.targets]
    assert sorted(order) == [0, 1, 2, 3]
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        direct = model(to_network(batch.images, torch.device('cpu')))
        pooled = model(to_network(drawn.images, torch.device('cpu')))
    torch.testing.assert_close(pooled['masks'].float(), direct['masks'][order].float(),
                               rtol=0.05, atol=0.02)
    names = {early: trunk_digest(model.backbone, early) for early in (False, True)}
    with torch.no_grad():
        model.backbone.get_parameter('_blocks.12._expand_conv.weight').add_(0.1)
    assert trunk_digest(model.backbone, True) == names[True]
    assert trunk_digest(model.backbone, False) != names[False]
    with torch.no_grad():
        model.backbone.get_parameter('_blocks.10._expand_conv.weight').add_(0.1)
    assert trunk_digest(model.backbone, True) != names[True]
    targets = pool.frames[0][1]
    assert all(t.void is None for t in targets)
    targets[2] = targets[2]._replace(void=torch.full((32, 48), 255, dtype=torch.uint8))
    pool.save(tmp_path / 'pool', 'key')
    again = FeaturePool.load(tmp_path / 'pool', 'key')
    assert again is not None
    assert [t.void is None for t in again.frames[0][1]] == [True, True, False, True]


def test_spread_queries_look_at_their_own_place():
    torch.manual_seed(1)
    model = build(TINY | {'num_classes': 2, 'num_queries': 16, 'hidden_dim': 128})
    decoder = model.instance_decoder
    spread_queries(decoder)
    from vos_ros.models.mobileinst.instance_decoder import sine_position
    keys = sine_position(8, 8, 128, decoder.query_position)
    cross = decoder.global_stage.cross
    logits = cross.query(decoder.query_position) @ cross.key(keys).T
    places = torch.stack([logits.argmax(1) // 8, logits.argmax(1) % 8], 1)
    # sixteen queries, a 4 x 4 grid over an 8 x 8 map: nearly every one has its own peak
    assert len({tuple(p.tolist()) for p in places}) >= 10


def test_query_passing_learns_to_follow(config, tmp_path):
    config = replace(config, stages=(Stage('clips', iterations=70, batch=2, cache=2, gap=4),),
                     optimiser=Optimiser(rate=2e-3, warmup=5, ema=0.5), synthetic={
                         'objects': [1, 1], 'size': [0.4, 0.6], 'leave': 0.0, 'speed': 0.03})
    run = trainer(config, tmp_path)
    batch = next(iter(run.batches(0, 0)))

    def passed():
        run.model.eval()
        with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
            return {k: float(v) for k, v in run.step(batch, True).items()}

    before = passed()
    run.run()
    after = passed()
    assert after['passed_dice'] < 0.6 * before['passed_dice'], (before, after)
    assert after['total'] < before['total']


def test_unmatched_ids_are_not_followed(config, tmp_path):
    run = trainer(config, tmp_path)
    masks = torch.zeros(1, 32, 48)
    masks[:, 5:20, 5:20] = 255
    here = Target(torch.tensor([0]), masks, torch.tensor([4]))
    gone = Target(torch.tensor([0]), masks, torch.tensor([9]))
    image = torch.full((1, 128, 192, 3), 90, dtype=torch.uint8)
    with torch.no_grad():
        stays = run.step(Batch(image, [here], Batch(image, [here])), True)
        leaves = run.step(Batch(image, [here], Batch(image, [gone])), True)
    assert float(stays['passed_dice']) > 0
    assert float(leaves['passed_dice']) == 0


@pytest.mark.parametrize('name', ['mobileinst_coco', 'mobileinst_ytvis'])
def test_shipped_recipes_start_on_the_official_layouts(name, tmp_path, monkeypatch):
    """The recipe as it is, but for sizes and lengths that a test can afford."""
    coco_folder(tmp_path / 'mini')
    coco = tmp_path / 'coco'
    (coco / 'annotations').mkdir(parents=True)
    for part in ('train2017', 'val2017'):
        (coco / part).symlink_to(tmp_path / 'mini' / 'images')
        (coco / 'annotations' / f'instances_{part}.json').symlink_to(
            tmp_path / 'mini' / 'instances.json')
    ytvis_folder(tmp_path / 'ytvis')
    (tmp_path / 'ytvis' / 'train').mkdir()
    (tmp_path / 'ytvis' / 'JPEGImages').rename(tmp_path / 'ytvis' / 'train' / 'JPEGImages')
    (tmp_path / 'ytvis' / 'instances.json').rename(tmp_path / 'ytvis' / 'train.json')
    monkeypatch.setenv('COCO', str(coco))
    monkeypatch.setenv('YTVIS', str(tmp_path / 'ytvis'))
    recipe = read_config(ROOT / 'config' / 'train' / f'{name}.yaml')
    stage = replace(recipe.stages[0], iterations=1, batch=2)
    run = trainer(replace(recipe, stages=(stage,), workers=0, threads=1, size=(128, 128),
                          network=recipe.network | TINY, weights=''), tmp_path / 'run')
    before = run.model.instance_decoder.queries.detach().clone()
    run.run()
    assert run.classes == ('person', 'dog') and run.iteration == 1
    assert not torch.equal(before, run.model.instance_decoder.queries)
