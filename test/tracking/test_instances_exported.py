# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The tracker on a real exported network (random weights: what it finds is noise, but real)."""

import json

import cv2
import numpy as np
import pytest

from vos_ros.cli import main
from vos_ros.runtime.letterbox import Letterbox
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.tracking.candidates import find_candidates
from vos_ros.tracking.instances import InstanceTracker
from vos_ros.tracking.labels import LabelPainter
from vos_ros.tracking.params import InstanceTrackerParams

# Random weights are unsure of everything: let all of it through.
OPEN = dict(birth_score=0.0, keep_score=0.0, confirm_keyframes=1, coast_keyframes=0, min_area=0.0,
            mask_threshold=0.5, duplicate_iou=0.9, duplicate_cover=1.0)


@pytest.fixture(scope='module')
def network(tiny_package):
    return MobileInst(load_package(tiny_package))


def frames(count, size=(240, 320)):
    rng = np.random.default_rng(8)
    noise = rng.integers(0, 255, (size[0] + 4 * count, size[1], 3), dtype=np.uint8)
    noise = cv2.GaussianBlur(noise, (0, 0), 9)
    noise = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX)
    return [noise[4 * i:4 * i + size[0]] for i in range(count)]


def same_partition(a, b):
    """Say whether two label maps divide the frame alike, whatever the ids."""
    pairs = set(zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    return len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs}) \
        and all((x == 0) == (y == 0) for x, y in pairs)


def test_interval_one_equals_inference_frame_by_frame(network):
    params = InstanceTrackerParams(reuse_interval=1, **OPEN)
    tracker = InstanceTracker(network, params)
    found_some = 0
    for frame in frames(6):
        result = tracker.step(frame)
        alone = InstanceTracker(network, params).step(frame)
        assert same_partition(result.label_map, alone.label_map)
        letterbox = Letterbox(frame.shape[:2], network.input_size)
        painter = LabelPainter(letterbox, network.mask_size)
        found = find_candidates(network.key(letterbox.apply(frame)), painter.cells, params)
        plain = painter.paint(range(1, len(found) + 1), list(found.logits), 0.0,
                              params.min_part).label_map
        assert same_partition(result.label_map, plain)
        found_some = max(found_some, len(np.unique(plain)))
    assert found_some >= 3


def test_reuse_frames_show_the_key_frames_kernels(network, monkeypatch):
    tracker = InstanceTracker(network, InstanceTrackerParams(reuse_interval=3, **OPEN))
    calls = []
    key = network.key
    monkeypatch.setattr(network, 'key', lambda image: calls.append('key') or key(image))
    still = frames(1)[0]
    results = [tracker.step(still) for _ in range(7)]
    assert len(calls) == 3
    for first in (0, 3):
        for later in (first + 1, first + 2):
            assert np.mean(results[first].label_map != results[later].label_map) < 1e-3


def test_track_command(tiny_package, tmp_path, capsys):
    folder = tmp_path / 'frames'
    folder.mkdir()
    for index, frame in enumerate(frames(5)):
        cv2.imwrite(str(folder / f'{index:03}.png'), frame)
    out, sheet = tmp_path / 'o.mp4', tmp_path / 's.png'
    status = main([
        'track', str(folder), '--model', str(tiny_package), '--out', str(out), '--sheet',
        str(sheet), '--json', '--birth-score', '0', '--keep-score', '0',
        '--confirm-keyframes', '1'])
    assert status == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures['frames'] == 5 and figures['tracks'] >= 1 and figures['network_ms'] > 0
    assert cv2.imread(str(sheet)).shape[1] > 400
    capture = cv2.VideoCapture(str(out))
    assert capture.isOpened() and capture.read()[1].shape == (240, 320, 3)


def test_track_command_makes_folders_and_loses_no_picture(tiny_package, tmp_path):
    folder = tmp_path / 'frames'
    folder.mkdir()
    for index, size in enumerate([(239, 321), (120, 160), (239, 321), (320, 240)]):
        cv2.imwrite(str(folder / f'{index}.png'), frames(1, size)[0])
    out, sheet = tmp_path / 'a' / 'o.mp4', tmp_path / 'b' / 'c' / 's.png'
    assert main(['track', str(folder), '--model', str(tiny_package), '--out', str(out),
                 '--sheet', str(sheet)]) == 0
    capture = cv2.VideoCapture(str(out))
    shapes = [picture.shape for ok, picture in (capture.read() for _ in range(9)) if ok]
    assert shapes == [(238, 320, 3)] * 4
    assert cv2.imread(str(sheet)) is not None


@pytest.mark.parametrize(('arguments', 'message'), [
    (['nowhere.mp4'], 'nowhere.mp4: no such file'),
    (['.', '--model', 'nothing'], 'nothing: no such model package'),
    (['.', '--reuse-interval', '0'], 'reuse_interval is 0'),
    (['.', '--provider', 'gpu'], "provider 'gpu' is unknown"),
    (['.', '--sheet', 's.foo'], 's.foo: OpenCV cannot write a picture of that suffix'),
    (['.', '--sheet', 'file/s.png'], 'file'),
    (['.', '--sheet', 'out/s.png'], 'out/s.png: OpenCV cannot write a picture there'),
])
def test_track_command_faults(tiny_package, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite('picture.png', frames(1)[0])
    (tmp_path / 'file').touch()
    (tmp_path / 'out' / 's.png').mkdir(parents=True)
    rest = [] if '--model' in arguments else ['--model', str(tiny_package)]
    assert main(['track', *arguments, *rest]) == 1
    assert message in capsys.readouterr().err


def test_evaluate_tracks_command(tiny_package, tmp_path, capsys):
    pytest.importorskip('PIL', reason='evaluation reads masks with Pillow')
    images, masks = tmp_path / 'JPEGImages' / 'walk', tmp_path / 'Annotations' / 'walk'
    images.mkdir(parents=True)
    masks.mkdir(parents=True)
    for index, frame in enumerate(frames(4)):
        labels = np.zeros(frame.shape[:2], np.uint8)
        labels[20:120, 20 + 5 * index:140 + 5 * index] = 1
        cv2.imwrite(str(images / f'{index:05}.jpg'), frame)
        cv2.imwrite(str(masks / f'{index:05}.png'), labels)
    arguments = ['evaluate', 'tracks', '--sequences', str(tmp_path), '--model', str(tiny_package)]
    assert main([*arguments, '--json', '--set', 'birth_score=0', '--set', 'keep_score=0']) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures['frames'] == 4 and figures['sequences'] == 1
    assert {'HOTA', 'IDF1', 'id_switches', 'recall'} <= figures.keys()
    assert main([*arguments, '--set', 'colour=1']) == 1
    assert "no parameter 'colour'" in capsys.readouterr().err
    assert figures['class_agnostic'] and 0 <= figures['VIS_AP'] <= figures['VIS_AP50'] <= 1
    assert figures['data'] == tmp_path.name and len(figures['model_digest']) == 12
    named = [word.replace('--sequences', '--data') for word in arguments]
    assert main([*named, '--json', '--set', 'birth_score=0', '--set', 'keep_score=0']) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == figures
    for file in masks.iterdir():
        labels = np.full(frames(1)[0].shape[:2], 255, np.uint8)
        labels[:, :90], labels[:9, :9] = 0, 1
        cv2.imwrite(str(file), labels)
    assert main([*named, '--json', '--set', 'birth_score=0', '--set', 'keep_score=0']) == 0
    voided = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert voided['void_dropped'] > 0 == figures['void_dropped']
    assert main([*arguments, '--set', 'max_tracks=many']) == 1
    assert "'many' is no int" in capsys.readouterr().err


def test_evaluate_tracks_of_a_youtube_vis_set(tiny_package, tmp_path, capsys):
    pytest.importorskip('pycocotools')
    from miniature import ytvis_folder
    ytvis_folder(tmp_path)
    file = next(tmp_path.rglob('*.json'))
    arguments = ['evaluate', 'tracks', '--data', str(next(tmp_path.rglob('JPEGImages'))),
                 '--annotations', str(file), '--model', str(tiny_package), '--json']
    results = {}
    for renamed in (False, True):
        data = json.loads(file.read_text())
        if renamed:     # as the network's own
            for category, name in zip(data['categories'],
                                      load_package(tiny_package).classes, strict=False):
                category['name'] = name
            file.write_text(json.dumps(data))
        assert main(arguments) == 0
        out = capsys.readouterr().out.splitlines()
        results[renamed] = json.loads(out[-1])
        assert file.name in out[-2] and results[renamed]['model_digest'] in out[-2]
    assert results[False]['class_agnostic'] and not results[True]['class_agnostic']
    assert results[True]['sequences'] == len(data['videos'])
    assert results[True]['frames'] == sum(len(v['file_names']) for v in data['videos'])
    assert main([*arguments, '--class-agnostic', '--quick']) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])['class_agnostic']
    file.unlink()
    assert main(arguments) == 1
    assert file.name in capsys.readouterr().err


def test_command_table(capsys):
    assert main(['--help']) == 0
    assert 'track' in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(['trakc'])
    assert stop.value.code == 2 and "no command 'trakc'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(['evaluate'])
    assert 'commands: evaluate ' in capsys.readouterr().err
