# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""COCO mask AP: a network that knows the answer, one that gets classes wrong, and the command."""

import argparse
import json
import math
import os
from pathlib import Path
import subprocess
import sys

import cv2
from miniature import coco_folder
import numpy as np
import pytest
from tiny_model import export_tiny

from vos_ros.data.coco import CocoImages
from vos_ros.evaluate import instances
from vos_ros.evaluate.masks import detect
from vos_ros.evaluate.masks import evaluate_masks
from vos_ros.evaluate.masks import Queries
from vos_ros.evaluate.masks import soften
from vos_ros.tracking.bits import pack

ROOT = Path(__file__).resolve().parents[2]
SIZE = (192, 256)


def oracle(data, shift=0, objectness=4.0):
    """A network that answers with the annotations, at an eighth of the input, classes shifted."""
    answers = iter(list(data))

    def ask(image):
        assert image.shape == (*SIZE, 3)
        truth = next(answers)
        logits = np.full((len(truth.instances), len(data.classes)), -6, np.float32)
        masks = np.zeros((len(truth.instances), SIZE[0] // 8, SIZE[1] // 8), np.float32)
        for i, instance in enumerate(truth.instances):
            logits[i, (instance.class_id + shift) % len(data.classes)] = 6
            full = cv2.resize(instance.full(*truth.rgb.shape[:2]).astype(np.float32), SIZE[::-1])
            masks[i] = 16 * cv2.resize(full, masks.shape[:0:-1],
                                       interpolation=cv2.INTER_AREA) - 8
        return Queries(logits, np.full(len(logits), objectness, np.float32), masks)
    return ask


def test_right_answers_score_high(tmp_path):
    data = CocoImages(*coco_folder(tmp_path), classes=('person', 'animal'))
    seen = []
    figures = evaluate_masks(oracle(data), data, SIZE, seen.append)
    assert figures['AP50'] == pytest.approx(1) and figures['AP'] > 0.7
    assert figures['agnostic_AR@100'] == pytest.approx(figures['AR@100'], abs=0.02)
    assert (figures['images'], figures['instances'], figures['detections']) == (6, 12, 12)
    assert seen == [1, 2, 3, 4, 5, 6]


def test_files_may_lack_what_only_pycocotools_needs(tmp_path):
    folder, path = coco_folder(tmp_path)
    whole = CocoImages(folder, path, classes=('person', 'animal'))
    wanted = evaluate_masks(oracle(whole), whole, SIZE)
    content = json.loads(path.read_text())
    for annotation in content['annotations']:
        del annotation['iscrowd'], annotation['area']
    content['annotations'].append({**content['annotations'][0], 'id': 99, 'segmentation': []})
    path.write_text(json.dumps(content))
    data = CocoImages(folder, path, classes=('person', 'animal'))
    assert evaluate_masks(oracle(data), data, SIZE) == pytest.approx(wanted, nan_ok=True)


def test_ids_of_annotations_may_begin_at_0(tmp_path):
    folder, path = coco_folder(tmp_path)
    content = json.loads(path.read_text())
    for annotation in content['annotations']:
        annotation['id'] -= 1
    path.write_text(json.dumps(content))
    data = CocoImages(folder, path, classes=('person', 'animal'))
    assert evaluate_masks(oracle(data), data, SIZE)['AR@100'] > 0.7
    assert evaluate_masks(oracle(data), data, SIZE)['AP50'] == pytest.approx(1)


def test_what_is_not_in_the_set_has_no_figure(tmp_path):
    data = CocoImages(*coco_folder(tmp_path), classes=('person', 'animal'))
    for objectness in (4.0, -30.0):
        figures = evaluate_masks(oracle(data, objectness=objectness), data, SIZE)
        assert math.isnan(figures['APl']) and not math.isnan(figures['APm'])


def test_wrong_classes_count_only_without_classes(tmp_path):
    data = CocoImages(*coco_folder(tmp_path), classes=('person', 'animal'))
    figures = evaluate_masks(oracle(data, shift=1), data, SIZE)
    assert figures['AP'] == 0
    assert figures['agnostic_AP50'] == pytest.approx(1)


def test_without_classes_a_file_may_have_fewer_than_the_network(tmp_path):
    folder, path = coco_folder(tmp_path)
    content = json.loads(path.read_text())
    content['categories'] = content['categories'][:1]
    for annotation in content['annotations']:
        annotation['category_id'] = content['categories'][0]['id']
    path.write_text(json.dumps(content))
    data = CocoImages(folder, path)
    answers = oracle(data)

    def many(image):
        out = answers(image)
        return out._replace(logits=np.pad(out.logits, ((0, 0), (3, 5)), constant_values=-6))
    figures = evaluate_masks(many, data, SIZE, agnostic=True)
    assert figures['agnostic_AP50'] == pytest.approx(1) and figures['detections'] == 12


def test_a_network_that_finds_nothing_scores_nothing(tmp_path):
    data = CocoImages(*coco_folder(tmp_path), classes=('person', 'animal'))
    figures = evaluate_masks(oracle(data, objectness=-30.0), data, SIZE)
    assert figures['AP'] == figures['agnostic_AR@100'] == figures['detections'] == 0


def test_only_some_images_are_compared(tmp_path):
    folder, annotations = coco_folder(tmp_path)
    data = CocoImages(folder, annotations, ('person', 'animal'), keep={2, '000000000004.png'})
    figures = evaluate_masks(oracle(data), data, SIZE)
    assert (figures['images'], figures['instances']) == (2, 4)
    assert figures['AP50'] == pytest.approx(1)


def test_best_detections_first_and_no_more_than_asked():
    logits = np.array([[2.0], [4.0], [-20.0]], np.float32)
    masks = np.full((3, 24, 32), -8, np.float32)
    masks[[0, 2], 4:12, 4:12] = 8
    masks[1, 4:12, 16:24] = 8
    network = lambda image: Queries(logits, np.full(3, 3, np.float32), masks)  # noqa: E731
    rgb = np.zeros((90, 128, 3), np.uint8)
    found = detect(network, rgb, SIZE)
    assert len(found) == 2  # the third scores under the threshold
    assert found[0].score > found[1].score
    assert found[0].code['size'] == [90, 128]
    assert len(detect(network, rgb, SIZE, limit=1)) == 1
    masks[1] = masks[0]  # the same object once more: its score falls by exp(-1)
    once, again = detect(network, rgb, SIZE)
    assert once.score == found[0].score
    assert again.score == pytest.approx(found[1].score * np.exp(-1), rel=1e-5)
    assert len(detect(network, rgb, SIZE, limit=1)) == 1


def test_what_is_left_is_ranked_again_after_every_choice():
    masks = np.zeros((3, 100), bool)
    masks[:2, :50] = True
    masks[2, 40:] = True  # ten cells of the first two, of a hundred in all
    rows, scores = soften(pack(masks), np.float32([0.9, 0.8, 0.5]), 3)
    assert rows.tolist() == [0, 2, 1]
    expected = [0.9, 0.5 * np.exp(-0.01), 0.8 * np.exp(-1.01)]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    assert soften(pack(masks), np.float32([0.9, 0.8, 0.5]), 2)[0].tolist() == [0, 2]


def command(*arguments):
    parser = argparse.ArgumentParser()
    instances.add_arguments(parser)
    return instances.run(parser.parse_args([str(a) for a in arguments]))


def test_without_classes_the_command_takes_a_file_of_others(tmp_path, tiny_package, capsys):
    folder, path = coco_folder(tmp_path, count=2)
    content = json.loads(path.read_text())
    content['categories'] = [{'id': 0, 'name': 'objects'}, {'id': 1, 'name': 'mug'},
                             {'id': 18, 'name': 'fork'}]
    path.write_text(json.dumps(content))
    arguments = ['--data', folder, '--annotations', path, '--model', tiny_package, '--json']
    assert command(*arguments, '--class-agnostic') == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures['instances'] == 4 and figures['AP'] >= 0 and figures['APl'] is None
    assert command(*arguments) == 1
    assert "category 'mug'" in capsys.readouterr().err


def test_a_list_of_images_is_read_by_lines_and_names_must_be_there(tmp_path, tiny_package,
                                                                  capsys):
    folder, path = coco_folder(tmp_path, count=3)
    content = json.loads(path.read_text())
    content['images'][1]['file_name'] = 'a b.png'
    (folder / '000000000002.png').rename(folder / 'a b.png')
    path.write_text(json.dumps(content))
    names = tmp_path / 'names.txt'
    arguments = ['--data', folder, '--annotations', path, '--model', tiny_package, '--json',
                 '--only', names, '--class-agnostic']
    names.write_text('a b.png\n\n000000000003.png\n')
    assert command(*arguments) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])['images'] == 2
    for content, message in ((b'a b.png\nc.png\n', 'instances.json has no image c.png'),
                             (b'\xff\xfe', 'UTF-8')):
        names.write_bytes(content)
        assert command(*arguments) == 1
        error = capsys.readouterr().err
        assert 'names.txt' in error and message in error


def test_the_command_measures_a_package(tmp_path):
    package = export_tiny(tmp_path / 'tiny')
    folder, annotations = coco_folder(tmp_path / 'coco')
    line = [sys.executable, '-m', 'vos_ros.cli', 'evaluate', 'instances', '--data', str(folder),
            '--annotations', str(annotations), '--model', str(package), '--json']
    run = subprocess.run([*line, '--class-agnostic', '--quick'], cwd=ROOT, text=True,
                         capture_output=True, env={**os.environ, 'PYTHONPATH': str(ROOT)})
    assert run.returncode == 0, run.stderr
    figures = json.loads(run.stdout.splitlines()[-1])
    assert {'AP', 'AP50', 'AR@100'} <= figures.keys()
    assert figures['images'] == 6 and figures['class_agnostic'] is True
    assert figures['model'] == 'tiny' and len(figures['model_digest']) == 12
    for wrong, named in ((['--model', 'no-such-package'], 'no-such-package'),
                         (['--threads', '0'], 'threads is 0')):
        broken = subprocess.run([*line, *wrong], cwd=ROOT, text=True, capture_output=True,
                                env={**os.environ, 'PYTHONPATH': str(ROOT)})
        assert broken.returncode == 1 and named in broken.stderr
        assert 'Traceback' not in broken.stderr
