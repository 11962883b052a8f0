# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The material, the loss, and a short training run that is stopped and resumed."""

import itertools
import math
from pathlib import Path

from clip_material import material
import numpy as np
from numpy.testing import assert_allclose
import pytest
import torch
from xmem_material import TINY
from xmem_material import write_coco

from vos_ros import cli
from vos_ros.data.coco import held_out
from vos_ros.data.simulate import write_clip
from vos_ros.data.static_clips import ClipConfig
from vos_ros.data.static_clips import StaticClips
from vos_ros.models.xmem.config import XMemConfig
from vos_ros.models.xmem.network import XMem
from vos_ros.train.checkpoint import load_checkpoint
from vos_ros.train.xmem import load_init
from vos_ros.train.xmem import read_config
from vos_ros.train.xmem import train
from vos_ros.train.xmem_clip import ClipPlan
from vos_ros.train.xmem_clip import ClipTrainer
from vos_ros.train.xmem_clip import read_memory
from vos_ros.train.xmem_data import clip_loader
from vos_ros.train.xmem_data import load_material
from vos_ros.train.xmem_loss import Bootstrap
from vos_ros.train.xmem_loss import bootstrapped_cross_entropy
from vos_ros.train.xmem_loss import dice_loss
from vos_ros.train.xmem_setup import build_network
from vos_ros.train.xmem_setup import calibrate
from vos_ros.train.xmem_setup import freeze
from vos_ros.train.xmem_setup import rate

torch.set_num_threads(1)     # more are slower on pictures this small

CONFIGS = Path(__file__).resolve().parents[2] / 'config/train'

def test_material_leaves_the_held_out_images_alone(tmp_path):
    ids = list(range(1, 21))
    write_coco(tmp_path, ids)
    stills, cutouts = load_material({'coco': [
        {'images': str(tmp_path), 'annotations': str(tmp_path / 'instances.json')}]})
    assert len(stills) == sum(not held_out(i) for i in ids) < 20
    assert len(cutouts) == len(stills)
    with pytest.raises(ValueError, match=r'data\.coco'):
        load_material({})


@pytest.mark.parametrize('file', sorted(CONFIGS.glob('xmem*.yaml')), ids=lambda f: f.stem)
def test_shipped_configurations_read(file):
    config = read_config(str(file))
    clip = ClipConfig(**config['clips'])
    assert clip.size % 16 == 0
    assert config['train']['num_references'] < clip.frames
    assert 0 < Bootstrap(**config['train']['bootstrap']).fraction(1.0) < 1
    build_network(config['network'], imagenet=False)


def test_bootstrapping_keeps_the_hardest_pixels():
    schedule = Bootstrap(start=0.2, end=0.6, least=0.2)
    assert [schedule.fraction(p) for p in (0, 0.2, 0.4, 0.6, 1)] == pytest.approx(
        [1, 1, 0.6, 0.2, 0.2])
    logits = torch.zeros(1, 2, 2, 5)
    logits[0, 1].view(-1)[:2] = 4.0         # two pixels are confidently wrong
    labels = torch.zeros(1, 2, 5, dtype=torch.int64)
    hard, plain = math.log(1 + math.exp(4)), math.log(2)
    assert float(bootstrapped_cross_entropy(logits, labels, 1.0)) == pytest.approx(
        (2 * hard + 8 * plain) / 10, rel=1e-5)
    assert float(bootstrapped_cross_entropy(logits, labels, 0.2)) == pytest.approx(
        hard, rel=1e-5)


def test_dice_counts_present_objects_only():
    masks = torch.zeros(1, 2, 2, 2)
    masks[0, 0, 0] = 1
    probabilities = torch.full((1, 2, 2, 2), 0.5)
    # Object 1: 1 - (2 * 1 + 1) / (2 + 2 + 1) = 0.4; object 2 is padding.
    present = torch.tensor([[True, False]])
    assert float(dice_loss(probabilities, masks, present)) == pytest.approx(0.4)


def test_memory_reading_is_the_papers_formula():
    rng = torch.Generator().manual_seed(0)
    k, v = torch.randn(1, 4, 10, generator=rng), torch.randn(1, 2, 3, 10, generator=rng)
    s = torch.rand(1, 1, 10, generator=rng) + 1
    q = torch.randn(1, 4, 2, 3, generator=rng)
    e = torch.rand(1, 4, 2, 3, generator=rng)
    readout = read_memory(k, s, v, q, e)
    assert readout.shape == (1, 2, 3, 2, 3)
    for j in range(6):
        qj, ej = q.flatten(2)[0, :, j], e.flatten(2)[0, :, j]
        similarity = torch.stack([
            -s[0, 0, i] * (ej * (k[0, :, i] - qj) ** 2).sum() / 2 for i in range(10)])
        wanted = v[0] @ similarity.softmax(0)
        assert_allclose(readout.flatten(3)[0, :, :, j], wanted, rtol=1e-4, atol=1e-5)


def test_plan_reads_the_first_frame_and_earlier_ones():
    generator = torch.Generator().manual_seed(0)
    plan = ClipPlan.draw(generator, 8, 3, 0.2, 1.0)
    assert plan.deep[0]
    for t, chosen in enumerate(plan.references, 1):
        assert chosen[0] == 0
        assert len(chosen) == min(t, 3) == len(set(chosen))
        assert all(0 <= i < t for i in chosen)


def test_rate_warms_up_and_decays():
    assert rate(0.01, 0.02, 0.1) == pytest.approx(0.5)
    assert rate(0.02, 0.02, 0.1) == pytest.approx(1)
    assert rate(1.0, 0.02, 0.1) == pytest.approx(0.1)


def test_padding_objects_change_nothing():
    # A clip with one object gives the same loss with two channels, the second one empty.
    torch.manual_seed(0)
    trainer = ClipTrainer(build_network(TINY, imagenet=False)).eval()
    clip = StaticClips(*material(), ClipConfig(size=64, frames=3)).clip(
        np.random.default_rng(0), 1)
    frames, labels = (torch.from_numpy(a)[None] for a in (clip.frames, clip.labels))
    plan = ClipPlan(((0,), (0, 1)), (True, False, False), 1.0)
    with torch.no_grad():
        one = trainer(frames, labels, 1, plan)
        two = trainer(frames, labels, 2, plan)
    assert float(two['loss']) == pytest.approx(float(one['loss']), rel=1e-3)
    assert float(two['dice']) == pytest.approx(float(one['dice']), rel=1e-3)


def test_freezing():
    network = build_network(TINY, imagenet=False)
    freeze(network, {'norms': True, 'depthwise': True, 'first_blocks': 3})
    trained = {n for n, p in network.named_parameters() if p.requires_grad}
    assert not any('_depthwise_conv' in n or '._bn' in n for n in trained)
    assert 'key_encoder._blocks.2._expand_conv.weight' not in trained
    assert 'key_encoder._blocks.3._expand_conv.weight' in trained
    assert all(n in trained for n, _ in network.decoder.named_parameters('decoder'))
    full = XMem(XMemConfig())
    freeze(full, {'norms': True})
    norms = [m for m in full.key_encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) > 20 and not any(m.weight.requires_grad for m in norms)
    assert full.key_encoder.get_parameter('res2.0.downsample.0.weight').requires_grad


def test_a_resumed_run_is_the_run_that_never_stopped(config, tmp_path):
    whole = load_checkpoint(train(read_config(config), tmp_path / 'whole', device='cpu'))
    settings = read_config(config)
    train(read_config(config, ['train.stop_at=2']), tmp_path / 'parts', device='cpu')
    halfway = load_checkpoint(tmp_path / 'parts' / 'checkpoint.pt')
    assert halfway['iteration'] == 2
    # Not further, though it asks for less than there is.
    train(read_config(config, ['train.stop_at=1']), tmp_path / 'parts', device='cpu')
    assert load_checkpoint(tmp_path / 'parts' / 'checkpoint.pt')['iteration'] == 2
    parts = load_checkpoint(train(settings, tmp_path / 'parts', device='cpu'))
    assert whole['iteration'] == parts['iteration'] == 4
    for name, value in whole['model'].items():
        assert_allclose(parts['model'][name], value, atol=1e-5, err_msg=name)
    for name, value in whole['ema']['state'].items():
        assert_allclose(parts['ema']['state'][name], value, atol=1e-5, err_msg=name)
    changed = [n for n in whole['model']
               if not torch.equal(whole['model'][n], halfway['model'][n])]
    assert 'decoder.pred.weight' in changed
    assert 'value_encoder.conv1.weight' in changed
    assert 'key_proj.key_proj.weight' in changed
    assert not any('running_' in n or '_depthwise_conv' in n for n in changed)
    # Means are over what was trained, also where a run was stopped between two rows.
    train(read_config(config, ['train.log_every=3', 'train.stop_at=2']), tmp_path / 'rows',
          device='cpu')
    train(read_config(config, ['train.log_every=3', 'train.stop_at=3']), tmp_path / 'rows',
          device='cpu')
    tables = [[line.split(',') for line in (tmp_path / run / 'train.csv').read_text().split()]
              for run in ('whole', 'rows')]
    assert_allclose(float(tables[1][1][tables[1][0].index('loss')]),
                    float(tables[0][3][tables[0][0].index('loss')]), rtol=1e-3)
    rows = (tmp_path / 'parts' / 'train.csv').read_text().splitlines()
    assert [row.split(',')[0] for row in rows] == ['iteration', '1', '2', '3', '4']


def test_what_goes_on_is_trained_by_the_settings_of_now(config, tmp_path, capsys):
    run = ['train', 'xmem', '--config', str(config), '--out', str(tmp_path / 'run'),
           '--device', 'cpu', '--init', str(tmp_path / 'run' / 'checkpoint.pt')]
    train(read_config(config, ['train.iterations=1']), tmp_path / 'run', device='cpu')
    assert cli.main([*run, '--set', 'train.iterations=2', '--set', 'train.weight_decay=0.2']) == 0
    assert f'--init {tmp_path}/run/checkpoint.pt is not used' in capsys.readouterr().out
    groups = load_checkpoint(tmp_path / 'run' / 'checkpoint.pt')['optimizer']['param_groups']
    assert {g['weight_decay'] for g in groups} == {0.0, 0.2}
    for change, message in (('network.up4_dim=12', 'another network'),
                            ('freeze.first_blocks=5', 'freeze')):
        assert cli.main([*run, '--set', change]) == 1
        assert message in (error := capsys.readouterr().err) and 'checkpoint.pt' in error


def test_a_diverged_run_fails(config, tmp_path, capsys):
    run = ['train', 'xmem', '--config', str(config), '--out', str(tmp_path), '--device', 'cpu']
    for change in 'lr=1.0e+30', 'warmup=0', 'iterations=60', 'batch=1', 'save_every=30':
        run += ['--set', f'train.{change}']
    assert cli.main(run) == 1
    assert 'diverged' in capsys.readouterr().err
    assert not (tmp_path / 'checkpoint.pt').exists()


def write_video(folder):
    frames = []
    for t in range(6):
        rgb = np.full((72, 96, 3), 90, np.uint8)
        rgb[20:50, 10 + 3 * t:45 + 3 * t] = (220, 20, 220)
        frames.append((rgb, (rgb[..., 0] > 200).astype(np.uint8)))
    write_clip(folder, 'block', frames, 95)


def test_video_is_mixed_in_by_its_share_and_resumes(tmp_path):
    write_coco(tmp_path, range(1, 11))
    write_video(tmp_path / 'video')
    data = {'coco': [{'images': str(tmp_path), 'annotations': str(tmp_path / 'instances.json')}],
            'video': [str(tmp_path / 'video')], 'video_share': 0.5}

    def batches(skip=0, **changes):
        loader = clip_loader({**data, **changes}, ClipConfig(size=64, frames=3, sprites=0), 4,
                             (1,), 0, skip, 0)
        return list(itertools.islice(loader, 6))

    def is_video(clip, label):      # its ground is even, that of the stills is not
        return float(clip[0][label[0] == 0].float().std(0).mean()) < 20

    both = [is_video(c, la) for frames, labels, _ in batches() for c, la in zip(frames, labels,
                                                                               strict=True)]
    assert 6 <= sum(both) <= 18
    assert all(is_video(c, la) for frames, labels, _ in batches(coco=[], video_share=1)
               for c, la in zip(frames, labels, strict=True))
    first, later = batches()[2], batches(skip=2)[0]
    assert (first[0] == later[0]).all()
    with pytest.raises(ValueError, match='video_share'):
        batches(video_share=1.5)
    with pytest.raises(ValueError, match=r'data\.coco'):
        batches(coco=[])
    with pytest.raises(FileNotFoundError, match='nowhere'):
        batches(video=[str(tmp_path / 'nowhere')])


def test_training_runs_on_video(config, tmp_path):
    write_video(tmp_path / 'video')
    settings = read_config(config, [f'data.video=[{tmp_path / "video"}]', 'data.coco=[]',
                                    'data.video_share=1', 'train.iterations=2'])
    assert load_checkpoint(train(settings, tmp_path / 'run', device='cpu'))['iteration'] == 2


def test_the_loss_can_be_learnt():
    torch.manual_seed(0)
    trainer = ClipTrainer(build_network(TINY, imagenet=False))
    clips = StaticClips(*material(), ClipConfig(size=64, frames=3))
    clip = clips.clip(np.random.default_rng(2), 1)
    frames, labels = (torch.from_numpy(a)[None] for a in (clip.frames, clip.labels))
    calibrate(trainer, [(frames, labels, 1)])
    freeze(trainer.network, {'first_blocks': 11})     # random, and no norm holds it in check
    optimizer = torch.optim.AdamW(trainer.parameters(), 2e-3)
    plan = ClipPlan(((0,), (0, 1)), (True, False, False), 1.0)
    losses = []
    for _ in range(40):
        result = trainer(frames, labels, 1, plan)
        result['loss'].backward()
        torch.nn.utils.clip_grad_norm_(trainer.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(result['loss'].detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert float(result['J']) > 0.5


def test_starting_from_saved_weights(config, tmp_path):
    path = train(read_config(config, ['train.iterations=1']), tmp_path / 'a', device='cpu')
    network = build_network(TINY, imagenet=False)
    load_init(network, str(path))
    averaged = load_checkpoint(path)['ema']['state']
    assert torch.equal(network.state_dict()['decoder.pred.weight'],
                       averaged['decoder.pred.weight'])
    with pytest.raises(ValueError, match=r'decoder\.pred\.weight'):
        load_init(build_network({**TINY, 'up4_dim': 12}, imagenet=False), str(path))
    # Plain state_dicts too, as weights are published; and what is no weights is refused.
    other = build_network(TINY, imagenet=False)
    torch.save(network.state_dict(), tmp_path / 'plain.pth')
    load_init(other, str(tmp_path / 'plain.pth'))
    assert all(torch.equal(a, b) for a, b in zip(
        network.state_dict().values(), other.state_dict().values(), strict=True))
    torch.save({'weights': [1.0]}, tmp_path / 'none.pt')
    (tmp_path / 'none.safetensors').write_bytes(b'nothing of the kind')
    for name in ('none.pt', 'none.safetensors'):
        with pytest.raises(ValueError, match=name):
            load_init(other, str(tmp_path / name))


def test_imagenet_weights_of_a_resnet_fill_every_stage(tmp_path):
    names = {name.replace('res2.', 'layer1.'): torch.randn_like(value) if value.is_floating_point()
             else value for name, value in XMem(XMemConfig()).key_encoder.state_dict().items()}
    file = tmp_path / 'resnet50.pth'
    torch.save({**names, 'fc.weight': torch.zeros(3, 3)}, file)
    encoder = build_network({'base': 'full'}, str(file)).key_encoder
    assert all(torch.equal(value, names[name.replace('res2.', 'layer1.')])
               for name, value in encoder.state_dict().items())
    torch.save({'foo': torch.zeros(2)}, file)
    with pytest.raises(ValueError, match=r'resnet50\.pth: is no ImageNet ResNet-50'):
        build_network({'base': 'full'}, str(file))


def test_configuration_mistakes_are_named(config, tmp_path):
    with pytest.raises(ValueError, match=r'train\.batches'):
        read_config(config, ['train.batches=4'])
    with pytest.raises(ValueError, match=r'train\.lr .*1\.0e-4'):
        read_config(config, ['train.lr=1e-4'])
    with pytest.raises(ValueError, match='up5_dim'):
        train(read_config(config, ['network.up5_dim=4']), tmp_path / 'x', device='cpu')
    for entry in ('freeze.first_block=3', 'data.video_shar=1.0', 'clips.sprite=3'):
        with pytest.raises(ValueError, match=entry.partition('=')[0]):
            read_config(config, [entry])
    for entry in (
            'train.lr=.nan', 'train.lr=0', 'train.clip_norm=0', 'train.weight_decay=-1',
            'train.num_references=0', 'train.iterations=0', 'train.log_every=0',
            'train.save_every=0', 'train.batch=2.5', 'train.objects=2', 'train.objects=[0, 0]',
            'train.ema=1', 'train.bootstrap={begin: 0.1}', 'train.bootstrap={least: 0}',
            'clips.share=0.5', 'clips.sprites=-1', 'clips.motion=fast'):
        with pytest.raises(ValueError, match=r'tiny\.yaml: ' + entry.partition('=')[0]):
            read_config(config, [entry])
    assert cli.main(['train', 'xmem', '--config', str(tmp_path / 'nowhere.yaml')]) == 1
    with pytest.raises(ValueError, match=r'PART\.KEY'):
        read_config(config, ['train'])
    with pytest.raises(ValueError, match=r'clips\.size is 200, must be a multiple of 16'):
        read_config(config, ['clips.size=200'])
    with pytest.raises(ValueError, match=r'train\.lr=\[: is no YAML'):
        read_config(config, ['train.lr=['])
    with pytest.raises(ValueError, match='lr is no part'):
        read_config(config, ['train.lr.x=1'])
    empty = tmp_path / 'empty.yaml'
    empty.write_text('clips:\ntrain: {iterations: 2}\n')
    assert read_config(empty, ['clips.size=96'])['clips'] == {'size': 96}
    empty.write_text('clips: [\n')
    with pytest.raises(ValueError, match=r'empty\.yaml: is no YAML'):
        read_config(empty)
    (tmp_path / 'bad').mkdir()
    (tmp_path / 'bad' / 'checkpoint.pt').write_bytes(b'not a checkpoint')
    with pytest.raises(ValueError, match=r'checkpoint\.pt'):
        train(read_config(config), tmp_path / 'bad', device='cpu')
