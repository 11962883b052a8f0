# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The readers of COCO and YouTube-VIS files, and the cut-outs made from them."""

import json
import zlib

import cv2
from miniature import coco_folder
from miniature import draw_disc
from miniature import halve
from miniature import ytvis_folder
import numpy as np
import pytest

from vos_ros.data.coco import CocoImages
from vos_ros.data.coco import DataError
from vos_ros.data.coco import held_out
from vos_ros.data.coco import read_rgb
from vos_ros.data.cutouts import cut_instances
from vos_ros.data.cutouts import load_stamps
from vos_ros.data.instances import SUPERCATEGORIES
from vos_ros.data.ytvis import YoutubeVis


def test_coco_images_masks_and_classes(tmp_path):
    folder, annotations = coco_folder(tmp_path)
    data = CocoImages(folder, annotations, SUPERCATEGORIES)
    assert len(data) == 6
    image = data[0]
    assert image.rgb.shape == (96, 128, 3)
    person, animal = image.instances
    assert SUPERCATEGORIES[person.class_id] == 'person'
    assert SUPERCATEGORIES[animal.class_id] == 'animal'
    # the masks lie on the red and on the blue disc
    assert image.rgb[person.full(96, 128) > 0].mean(0).argmax() == 0
    assert image.rgb[animal.full(96, 128) > 0].mean(0).argmax() == 2
    assert CocoImages(folder, annotations).classes == ('person', 'dog')


def test_coco_leaves_crowds_out_and_names_what_is_wrong(tmp_path):
    folder, annotations = coco_folder(tmp_path)
    content = json.loads(annotations.read_text())
    content['annotations'][0]['iscrowd'] = 1
    annotations.write_text(json.dumps(content))
    image = CocoImages(folder, annotations)[0]
    assert len(image.instances) == len(image.crowds) == 1
    parts = [i.full(96, 128) for i in (*image.instances, *image.crowds)]
    assert (image.covered() == np.maximum(*parts)).all() and parts[1].any()
    with pytest.raises(DataError, match="category 'dog'"):
        CocoImages(folder, annotations, ('person',))
    with pytest.raises(DataError, match=r'nothing\.json'):
        CocoImages(folder, tmp_path / 'nothing.json')
    annotations.write_text('[]')
    with pytest.raises(DataError, match=r'instances\.json'):
        CocoImages(folder, annotations)


def test_coco_only_categories_with_objects_need_a_class(tmp_path):
    folder, annotations = coco_folder(tmp_path)
    content = json.loads(annotations.read_text())
    content['categories'].insert(0, {'id': 0, 'name': 'objects', 'supercategory': 'none'})
    for annotation in content['annotations']:
        if annotation['image_id'] != 1 and annotation['category_id'] == 18:
            annotation['category_id'] = 0
    annotations.write_text(json.dumps(content))
    assert len(CocoImages(folder, annotations, SUPERCATEGORIES, {1})[0].instances) == 2
    with pytest.raises(DataError, match="category 'objects'"):
        CocoImages(folder, annotations, SUPERCATEGORIES)
    content['annotations'][0]['category_id'] = 77
    annotations.write_text(json.dumps(content))
    with pytest.raises(DataError, match='category 77 has objects'):
        CocoImages(folder, annotations, SUPERCATEGORIES, {1})


def test_coco_annotations_without_a_mask_are_passed_over(tmp_path):
    folder, annotations = coco_folder(tmp_path)
    content = json.loads(annotations.read_text())
    of_first = [a for a in content['annotations'] if a['image_id'] == 1]
    whole = of_first[0]['segmentation']
    for segmentation in ([], [[]], [[1, 2, 3, 4]], None):
        of_first[0]['segmentation'] = segmentation
        annotations.write_text(json.dumps(content))
        assert len(CocoImages(folder, annotations)[0].instances) == 1
    of_first[0]['segmentation'] = [*whole, [1, 2, 3, 4]]
    annotations.write_text(json.dumps(content))
    assert len(CocoImages(folder, annotations)[0].instances) == 2
    for segmentation in ({'counts': [3, 4], 'size': 'large'}, [1, 1, 20, 1, 20, 20]):
        of_first[0]['segmentation'] = segmentation
        annotations.write_text(json.dumps(content))
        with pytest.raises(DataError, match='image 1: segmentation of annotation 1 '):
            CocoImages(folder, annotations)[0]


def test_coco_missing_or_resized_image_is_named(tmp_path):
    folder, annotations = coco_folder(tmp_path)
    cv2.imwrite(str(folder / '000000000002.png'), np.zeros((10, 10, 3), np.uint8))
    (folder / '000000000003.png').unlink()
    data = CocoImages(folder, annotations)
    with pytest.raises(DataError, match=r'000000000002\.png: is 10 x 10'):
        data[1]
    with pytest.raises(DataError, match=r'000000000003\.png'):
        data[2]


def test_half_a_jpeg_is_no_image(tmp_path):
    path = tmp_path / 'half.jpg'
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))
    assert read_rgb(path).shape == (48, 64, 3)
    halve(path)
    with pytest.raises(DataError, match=r'half\.jpg'):
        read_rgb(path)


def test_hold_out_is_by_id_alone():
    held = [i for i in range(1000) if held_out(i)]
    assert held == [i for i in range(1000) if zlib.crc32(str(i).encode()) % 5 == 0]
    assert 150 < len(held) < 250


def test_youtube_vis_tracks_keep_their_number(tmp_path):
    folder, annotations = ytvis_folder(tmp_path)
    data = YoutubeVis(folder, annotations)
    assert data.classes == ('person', 'dog')
    assert (len(data), data.length(0)) == (1, 4)
    clip = data.clip(0, [0, 1, 3])
    assert clip.frames.shape == (3, 64, 96, 3)
    assert clip.classes.tolist() == [1, 0]
    for t, number in enumerate((0, 1, 3)):
        wanted = draw_disc((64, 96), (20 + 6 * number, 32), 12)
        got = clip.masks(t)[0]
        # a polygon through pixel centres loses about half a pixel of rim
        assert (got & wanted).sum() / (got | wanted).sum() > 0.85
    assert np.array_equal(clip.masks(0)[1], draw_disc((64, 96), (76, 32), 10))
    assert clip.masks(2)[1].sum() == 0
    with pytest.raises(IndexError):
        data.clip(0, [4])
    (folder / 'clip' / '00001.png').unlink()
    with pytest.raises(DataError, match=r'00001\.png'):
        data.clip(0, [1])


def test_youtube_vis_without_annotations_or_of_images_is_refused(tmp_path):
    folder, annotations = ytvis_folder(tmp_path)
    content = json.loads(annotations.read_text())
    for nothing in (None, []):
        annotations.write_text(json.dumps({**content, 'annotations': nothing}))
        with pytest.raises(DataError, match=r'instances\.json: has no annotations'):
            YoutubeVis(folder, annotations)
    _, images = coco_folder(tmp_path / 'coco', count=1)
    annotations.write_text(json.dumps({**json.loads(images.read_text()), 'videos': []}))
    with pytest.raises(DataError, match=r'instances\.json: is not a YouTube-VIS file'):
        YoutubeVis(folder, annotations)


@pytest.mark.parametrize(('change', 'message'), [
    ({'category_id': 7}, 'category 7 is not among the categories'),
    ({'category_id': 7, 'iscrowd': 1}, 'category 7 is not among the categories'),
    ({'video_id': 9}, 'video 9 is not among the videos'),
    ({'segmentations': [None]}, r'has 1 segmentations, video \d+ 4 frames')])
def test_youtube_vis_tracks_that_fit_nothing_are_named(tmp_path, change, message):
    folder, annotations = ytvis_folder(tmp_path)
    content = json.loads(annotations.read_text())
    content['annotations'][1] |= change
    annotations.write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf'instances\.json: annotation \d+: {message}'):
        YoutubeVis(folder, annotations)


def test_youtube_vis_crowds_are_no_track(tmp_path):
    folder, annotations = ytvis_folder(tmp_path)
    content = json.loads(annotations.read_text())
    content['annotations'][1]['iscrowd'] = 1
    annotations.write_text(json.dumps(content))
    data = YoutubeVis(folder, annotations)
    assert data.track_classes(0) == [1]
    assert np.array_equal(data.crowd(0, 1), draw_disc((64, 96), (76, 32), 10) > 0)
    assert not data.crowd(0, 3).any()
    (kind, mask), = data.crowds(0, 1).items()
    assert kind == 0 and np.array_equal(mask, data.crowd(0, 1)) and not data.crowds(0, 3)


def test_cutouts_are_the_instances(tmp_path):
    folder, annotations = coco_folder(tmp_path, count=2)
    cutouts = cut_instances(CocoImages(folder, annotations, SUPERCATEGORIES), min_side=10,
                            max_side=24)
    assert len(cutouts) == 4
    for cutout in cutouts:
        assert max(cutout.alpha.shape) <= 24
        colour = cutout.rgb[cutout.alpha > 250].mean(0)
        assert colour.argmax() == (0 if SUPERCATEGORIES[cutout.class_id] == 'person' else 2)
        assert cutout.alpha[0, 0] < 50


def test_stamps_take_photographs_of_known_classes(tmp_path):
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 255, (80, 90, 4), dtype=np.uint8)
    photo[..., 3] = draw_disc((80, 90), (45, 40), 35) * 255
    drawing = photo.copy()
    drawing[..., :3] = (10, 200, 30)
    for name, picture in (('animals/lion.png', photo), ('animals/drawn.png', drawing),
                          ('animals/cartoon/cat.png', photo), ('symbols/key.png', photo)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), picture)
    stamps = load_stamps(tmp_path)
    assert [s.source for s in stamps] == ['animals/lion.png']
    assert SUPERCATEGORIES[stamps[0].class_id] == 'animal'
    assert stamps[0].alpha.shape == (71, 71)
    with pytest.raises(DataError, match='nowhere'):
        load_stamps(tmp_path / 'nowhere')
