# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What MobileInst is trained on: samples of images and clips, and their targets."""

from dataclasses import replace
import json
from pathlib import Path

from miniature import ytvis_folder
from mobileinst_material import tiny_training
import numpy as np
import pytest
import torch

from vos_ros.data.coco import DataError
from vos_ros.data.simulate import write_clip
from vos_ros.train.distributed import join
from vos_ros.train.mobileinst_config import ConfigError
from vos_ros.train.mobileinst_config import Stage
from vos_ros.train.mobileinst_config import VideoData
from vos_ros.train.mobileinst_data import Batch
from vos_ros.train.mobileinst_data import ClipSamples
from vos_ros.train.mobileinst_data import collate_clips
from vos_ros.train.mobileinst_data import collate_images
from vos_ros.train.mobileinst_data import ImageSamples
from vos_ros.train.mobileinst_data import load_material
from vos_ros.train.mobileinst_data import make_target
from vos_ros.train.mobileinst_data import Material
from vos_ros.train.mobileinst_data import select
from vos_ros.train.mobileinst_trainer import Trainer


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return tiny_training(tmp_path_factory.mktemp('coco'))


def trainer(config, folder):
    return Trainer(config, folder, join('cpu'))


def test_samples_depend_on_the_index_alone(config):
    material = load_material(config)
    first, again = ImageSamples(material, config), ImageSamples(material, config)
    first[3]
    image, target = first[5]
    other, twin = again[5]
    assert np.array_equal(image, other)
    assert torch.equal(target.masks, twin.masks)
    assert image.shape == (128, 192, 3) and target.masks.shape[1:] == (32, 48)


def test_crowds_of_the_images_are_void(tmp_path):
    config = replace(tiny_training(tmp_path / 'coco'), cutouts=False,
                     augment={'pastes': 0, 'colour': 0.0, 'scale': [1.0, 1.0]})
    file = Path(config.train.annotations)
    content = json.loads(file.read_text())
    for annotation in content['annotations']:
        annotation['iscrowd'] = int(annotation['category_id'] == 1)
    file.write_text(json.dumps(content))
    image, target = ImageSamples(load_material(config), config)[0]
    red = (image[2::4, 2::4, 0] > 150) & (image[2::4, 2::4, 1] < 100)
    assert target.labels.tolist() == [1] and red.sum() > 50
    assert ((target.void.numpy() > 127) ^ red).mean() < 0.02


def test_clip_targets_share_ids(config):
    clips = ClipSamples(load_material(config), config, config.stages[1])
    shared = 0
    for index in range(5):
        (_, before), (_, after) = clips[index]
        common = set(before.ids.tolist()) & set(after.ids.tolist())
        shared += len(common)
        for number in common:
            i, j = before.ids.tolist().index(number), after.ids.tolist().index(number)
            assert before.labels[i] == after.labels[j]
    assert shared >= 5


def test_clips_from_a_youtube_vis_folder(config, tmp_path):
    frames, annotations = ytvis_folder(tmp_path)
    config = replace(config, classes=('person', 'dog'), size=(64, 128),
                     video=VideoData(str(frames), str(annotations)))
    clips = ClipSamples(Material((), ()), config, Stage('clips', gap=2))
    batch = collate_clips([clips[0], clips[1]])
    assert batch.images.shape == batch.later.images.shape == (2, 64, 128, 3)
    assert all(0 in t.ids.tolist() for t in (*batch.targets, *batch.later.targets))


@pytest.mark.parametrize('gap', [2, 9])
def test_clips_from_a_youtube_vis_folder_show_two_frames_and_their_masks(config, tmp_path, gap):
    # Four frames of 144 x 216, scaled by 0.62 to 0.89 to fit, in which two discs are painted.
    frames, annotations = ytvis_folder(tmp_path, shape=(144, 216))
    config = replace(config, classes=('person', 'dog'), size=(128, 192),
                     video=VideoData(str(frames), str(annotations)))
    clips = ClipSamples(Material((), ()), config, Stage('clips', gap=gap))
    shifts, ways = [], set()
    for index in range(60):
        pair = clips[index]
        assert not np.array_equal(pair[0][0], pair[1][0])
        middles = []
        for image, target in pair:
            ids = target.ids.tolist()
            middles.append(centre(target.masks[ids.index(0)].numpy()))
            if 1 in ids:        # the exact one of the two: the other is an outline
                blue = np.float32((image[..., 2] > 145) & (image[..., 1] < 80))
                blue = blue.reshape(32, 4, 48, 4).mean((1, 3))
                shifts.append(centre(target.masks[ids.index(1)].numpy()) - centre(blue))
        ways.add(bool(middles[0][1] < middles[1][1]))
    assert np.abs(4 * np.mean(shifts, 0)).max() < 0.1       # input pixels
    assert len(ways) == 2


def test_crowds_of_a_youtube_vis_folder_are_void(config, tmp_path):
    frames, annotations = ytvis_folder(tmp_path, shape=(144, 216))
    content = json.loads(annotations.read_text())
    content['annotations'][1]['iscrowd'] = 1
    annotations.write_text(json.dumps(content))
    config = replace(config, classes=('person', 'dog'), size=(128, 192),
                     video=VideoData(str(frames), str(annotations)))
    clips = ClipSamples(Material((), ()), config, Stage('clips', gap=2))
    apart = []
    for index in range(20):
        for image, target in clips[index]:
            blue = (image[2::4, 2::4, 2] > 145) & (image[2::4, 2::4, 1] < 80)
            if blue.sum() > 8:
                void = target.void.numpy() / 255
                assert 0.6 < void.sum() / blue.sum() < 1.6
                apart.append(centre(void) - centre(np.float32(blue)))
    assert len(apart) > 8 and np.abs(np.mean(apart, 0)).max() < 0.25


@pytest.mark.parametrize(('name', 'says'), [('a b.png', ''), ('missing.png', 'has no image')])
def test_a_list_of_images_is_of_those_that_are_there(tmp_path, name, says):
    config = tiny_training(tmp_path / 'coco')
    file = Path(config.train.annotations)
    content = json.loads(file.read_text())
    first = content['images'][0]
    folder = Path(config.train.images)
    (folder / first['file_name']).rename(folder / 'a b.png')
    first['file_name'] = 'a b.png'
    file.write_text(json.dumps(content))
    (tmp_path / 'only.txt').write_text(f'{name}\n')
    data = replace(config.train, only=str(tmp_path / 'only.txt'), hold_out=0)
    if says:
        with pytest.raises(DataError, match=f'only.txt: .* {says} {name}'):
            select(data, (), validation=False)
    else:
        assert [e['file_name'] for e in select(data, (), validation=False).images] == ['a b.png']


def centre(mask):
    """Middle (y, x) of a mask [H, W]."""
    return np.array([np.average(np.arange(n), weights=mask.sum(1 - i))
                     for i, n in enumerate(mask.shape)])


def test_folders_with_ids_train_masks_but_not_classes(config, tmp_path):
    pictures = []
    for t in range(4):
        labels = np.zeros((96, 144), np.uint8)
        labels[20:60, 20 + 4 * t:60 + 4 * t], labels[50:90, 90:130] = 3, 7
        rgb = np.repeat(40 + 20 * labels[..., None], 3, 2)
        labels[70:, :60] = 255
        pictures.append((rgb, labels))
    write_clip(tmp_path / 'video', 'blocks', pictures, 95)
    mixed = replace(config, video=VideoData(folders=(str(tmp_path / 'video'),), share=0.5))
    clips = ClipSamples(load_material(config), mixed, Stage('clips', gap=2))
    unknown = [bool((clips[i][0][1].labels < 0).all()) and len(clips[i][0][1].labels) > 0
               for i in range(16)]
    assert 3 <= sum(unknown) <= 13
    only = ClipSamples(load_material(config), replace(mixed, video=replace(
        mixed.video, share=1.0)), Stage('clips', gap=2))
    batch = collate_clips([only[0], only[1]])
    assert batch.images.shape == (2, 128, 192, 3)
    for before, after in zip(batch.targets, batch.later.targets, strict=True):
        assert set(before.ids.tolist()) <= {2, 6}       # objects 3 and 7, counted from 0
        assert set(before.ids.tolist()) & set(after.ids.tolist())
        assert set(before.labels.tolist()) == {-1}
    assert any(t.void is not None and t.void.shape == (32, 48) and t.void.max() == 255
               for i in range(6) for _, t in only[i])
    run = trainer(config, tmp_path / 'run')
    terms = run.update(run.step, batch, True, torch.device('cpu'))
    assert terms['dice'] > 0 and np.isfinite(terms['total'])
    with pytest.raises(ConfigError, match=r'video\.share'):
        replace(config, video=VideoData(share=2.0))
    with pytest.raises(ConfigError, match=r'video\.zoom'):
        replace(config, video=VideoData(zoom=(1.0, 0.5)))


@pytest.mark.parametrize(('zoom', 'sides'), [((1.0, 1.0), (36, 44)), ((0.5, 0.5), (72, 88))])
def test_how_much_of_a_video_is_seen(config, tmp_path, zoom, sides):
    labels = np.zeros((128, 192), np.uint8)
    labels[44:84, 76:116] = 1
    picture = np.repeat(40 + 100 * labels[..., None], 3, 2)
    write_clip(tmp_path / 'video', 'block', [(picture, labels)] * 3, 95)
    seen = replace(config, video=VideoData(folders=(str(tmp_path / 'video'),), share=1.0,
                                           zoom=zoom))
    clips = ClipSamples(load_material(config), seen, Stage('clips', gap=2))
    lengths = [4 * float((t.masks[0] / 255).sum()) ** 0.5 for i in range(4) for _, t in clips[i]
               if len(t.masks)]
    assert lengths and sides[0] <= np.median(lengths) <= sides[1]


def test_targets_without_objects_train_too(config, tmp_path):
    target = make_target(np.zeros((0, 128, 192), np.uint8), np.zeros(0, np.int64))
    assert target.masks.shape == (0, 32, 48)
    run = trainer(config, tmp_path)
    image = np.full((128, 192, 3), 90, np.uint8)
    pair = collate_images([(image, target), (image, target)])
    for passing, batch in ((False, pair), (True, Batch(pair.images, pair.targets, pair))):
        terms = run.update(run.step, batch, passing, torch.device('cpu'))
        assert np.isfinite(list(terms.values())).all()
        assert terms['dice'] == 0
