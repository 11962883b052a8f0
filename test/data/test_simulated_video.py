# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
import json

import cv2
import numpy as np
import pytest

from vos_ros import cli
from vos_ros.data.coco import DataError
from vos_ros.data.instances import Instance
from vos_ros.data.instances import MaskedImage
from vos_ros.data.simulated_meshes import box
from vos_ros.data.simulated_meshes import build
from vos_ros.data.simulated_meshes import draw_primitive
from vos_ros.data.simulated_meshes import read_obj
from vos_ros.data.simulated_view import CameraPath
from vos_ros.data.simulated_view import Lens
from vos_ros.data.simulated_view import Light
from vos_ros.data.simulated_view import Photo
from vos_ros.data.simulated_view import Surroundings
from vos_ros.evaluate.davis import find_sequences


def photographs(count=3, side=96):
    rng = np.random.default_rng(5)
    out = []
    for _ in range(count):
        rgb = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (side * 4 // 3, side),
                         interpolation=cv2.INTER_CUBIC)
        out.append(MaskedImage(rgb, (Instance(np.ones((40, 50), np.uint8), (10, 20), 0),)))
    return out


def volume(mesh):
    triangles = mesh.corners.reshape(-1, 3, 3)
    return float(np.einsum('ij,ij->i', triangles[:, 0],
                           np.cross(triangles[:, 1], triangles[:, 2])).sum() / 6)


@pytest.mark.parametrize('seed', range(12))
def test_primitives_are_closed_and_face_outwards(seed):
    mesh, _ = draw_primitive(np.random.default_rng(seed))
    triangles = mesh.corners.reshape(-1, 3, 3)
    areas = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    assert np.abs(areas.sum(0)).max() < 1e-9      # a closed surface's area vectors cancel
    assert volume(mesh) > 0
    assert np.linalg.norm(mesh.corners, axis=1).max() == pytest.approx(1)
    assert np.allclose(np.linalg.norm(mesh.normals, axis=1), 1)


def test_obj_files_with_texture_and_negative_indices_and_broken_ones(tmp_path):
    good = tmp_path / 'good.obj'
    good.write_text('# a tetrahedron\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n'
                    'f 1/1 3/1 2/1\nf -4 -3 -1\nf 1 4 3\nf 2 3 4\n')
    assert volume(read_obj(good)) > 0
    for name, text in (('nan.obj', 'v nan nan nan\n' * 3 + 'f 1 2 3\n'), ('empty.obj', ''),
                       ('beyond.obj', 'v 0 0 0\nf 1 2 3\n'), ('words.obj', 'v a b c\n')):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=name):
            read_obj(tmp_path / name)
    with pytest.raises(DataError, match='missing'):
        read_obj(tmp_path / 'missing.obj')
    with pytest.raises(ValueError, match='no faces'):
        build(np.zeros((0, 3)), np.zeros((0, 3), int))


def test_rays_and_projection_agree():
    lens = Lens(60, 80, 70.0)
    pose = CameraPath(np.random.default_rng(3), 1.5, 0.2).pose(0.7)
    rays = lens.rays() @ pose.rotation
    points = pose.eye + 1.7 * rays[[0, 10, 59], [0, 33, 79]]
    assert np.allclose(lens.place(pose, points), [(0.5, 0.5), (33.5, 10.5), (79.5, 59.5)],
                       atol=1e-3)
    assert np.isnan(lens.place(pose, pose.eye[None] + pose.rotation[2])).all()


def test_ground_table_and_shadow_lie_where_they_should():
    light = Light(np.array([0.0, 0.0, 1.0]), (1, 1, 1), 0.5, 0.6, 0.01)
    white, grey = (np.full((64, 64, 3), value, np.uint8) for value in (250, 90))
    scene = Surroundings(Photo(white, 1), Photo(grey, 1), Photo(grey // 2, 2), (0.4, 0.3), 4.0,
                         0.0, False, light)
    lens = Lens(120, 160, 120.0)
    pose = CameraPath(np.random.default_rng(1), 2.0, 0.0).pose(0.0)
    plate = np.array([[[-.1, -.1, .2], [.1, -.1, .2], [.1, .1, .2]],
                      [[-.1, -.1, .2], [.1, .1, .2], [-.1, .1, .2]]])
    picture, depth = scene.picture(lens, pose, (0, 0), scene.shadows([plate]))

    def seen(x, y, z):
        u, v = lens.place(pose, np.array([[x, y, z]], float))[0]
        return picture[int(v), int(u)].astype(int), depth[int(v), int(u)]

    def ahead(x, y, z):
        return float((np.array([x, y, z]) - pose.eye) @ -pose.rotation[2])

    colour, away = seen(0.3, 0.2, 0)
    assert colour.min() > 240
    assert away == pytest.approx(ahead(0.3, 0.2, 0), abs=0.03)
    assert seen(0, 0, 0)[0].max() == pytest.approx(100, abs=6)      # 0.4 of 250: in the shadow
    assert seen(0.13, 0, 0)[0].min() > 200                          # and it ends with the plate
    colour, away = seen(-0.9, -0.9, -0.72)
    assert colour.max() == pytest.approx(90, abs=3)
    assert away == pytest.approx(ahead(-0.9, -0.9, -0.72), abs=0.05)


def test_objects_of_photographs_are_found_where_they_are_seen():
    light = Light(np.array([0.0, 0.0, 1.0]), (1, 1, 1), 0.5, 0.6, 0.01)
    white = np.full((64, 64, 3), 250, np.uint8)
    left = np.zeros((64, 64), np.uint8)
    left[:, :32] = 1
    # A surface one metre wide shows its left half from -0.5 to 0.5: it is mirrored at 0.
    scene = Surroundings(Photo(white, 1, left), Photo(white, 1),
                         Photo(white, 2, np.ones_like(left)), (0.8, 0.6), 4.0, 0.0, False, light)
    lens = Lens(120, 160, 120.0)
    pose = CameraPath(np.random.default_rng(1), 2.0, 0.0).pose(0.0)
    shown = scene.shown(lens, pose)
    assert shown.shape == (120, 160) and shown.dtype == bool
    _, depth = scene.picture(lens, pose, (0, 0), (None, None))
    points = pose.eye + (lens.rays() @ pose.rotation) * depth[..., None]
    on_top = np.abs(points[..., 2]) < 1e-3
    edge = np.abs(np.abs(points[..., 0]) - 0.5) < 0.03
    away = np.abs(points[..., :2]).max(-1)
    wall = (away > 3.99) & (points[..., 2] > -0.7)
    assert on_top.sum() > 2000 and wall.sum() > 50
    assert (shown == (np.abs(points[..., 0]) < 0.5))[on_top & ~edge].all()
    assert shown[wall].all()
    assert not shown[(points[..., 2] < -1e-3) & (away < 3.9)].any()     # floor and table's edge
    assert not Surroundings(Photo(white, 1), None, Photo(white, 1), (0, 0), 0.0, 0.0, False,
                            light).shown(lens, pose).any()


@pytest.fixture
def bullet():
    return pytest.importorskip('pybullet')


def role(**changes):
    from vos_ros.data.simulated_scene import Role
    nothing = np.zeros(3)
    base = {'mesh': box(1, 1, 1), 'texture': np.full((8, 8, 3), (200, 40, 40), np.uint8),
            'size': 0.2, 'kind': 'turn', 'start': nothing, 'velocity': nothing, 'turn': nothing,
            'spin': nothing, 'swing': nothing, 'pace': nothing, 'phase': nothing}
    return Role(**{**base, **changes})


def test_renderer_puts_objects_where_the_projection_says(bullet, tmp_path):
    from vos_ros.data.simulated_scene import World
    lens = Lens(120, 160, 150.0)
    light = Light.draw(np.random.default_rng(0))
    pose = CameraPath(np.random.default_rng(2), 1.5, 0.0).pose(0.0)
    roles = [role(start=np.array([-0.2, 0.1, 0.1])), role(start=np.array([0.3, -0.1, 0.2]))]
    world = World(roles, None, True, 9, 0, tmp_path)
    try:
        rgb, number, _ = world.render(lens, pose, light)
        world.advance(1)
        triangles = world.triangles()
    finally:
        world.close()
    assert set(np.unique(number)) == {-1, 0, 1}
    assert rgb[number == 0][:, 0].mean() > 2 * rgb[number == 0][:, 1].mean()
    offsets = []
    for index, part in enumerate(triangles):
        hull = cv2.convexHull(lens.place(pose, part.reshape(-1, 3)).astype(np.float32))
        expected = np.zeros((120, 160), np.uint8)
        cv2.fillConvexPoly(expected, np.round(hull * 16 - 8).astype(np.int32), 1, shift=4)
        own = number == index
        # The two objects are apart in this view; the outline may differ by half a pixel.
        inner = cv2.erode(expected, np.ones((3, 3), np.uint8)) > 0
        assert own[inner].all()
        assert not own[expected == 0].any()
        offsets.append(np.argwhere(own).mean(0) - np.argwhere(expected).mean(0))
    assert np.abs(np.mean(offsets, 0)).max() < 0.15      # and not shifted as a whole


def test_things_fall_on_the_table_and_stay_above_it(bullet, tmp_path):
    from vos_ros.data.simulated_scene import World
    still = role(kind='drop', start=np.array([0, 0, 0.6]), size=0.1, restless=0.0)
    aside = role(kind='drop', start=np.array([1.5, 0, 0.6]), size=0.1, restless=0.0)
    world = World([still, aside], (0.5, 0.5), False, 9, 0, tmp_path)
    try:
        world.advance(480)
        (on, _), (off, _) = world.states()
    finally:
        world.close()
    half = 0.1 / 3 ** 0.5
    assert on[2] == pytest.approx(half, abs=0.01)
    assert off[2] == pytest.approx(half - 0.72, abs=0.01)


def test_same_seed_same_clip_and_ids_stay_with_their_objects(bullet):
    from vos_ros.data.simulated_video import SimulatedVideo
    from vos_ros.data.simulated_video import SimulationConfig
    video = SimulatedVideo(photographs(), [], SimulationConfig(72, 96, (3, 3), twins=1.0))
    clip = video.clip(4, 5)
    first, again = list(clip), list(video.clip(4, 5))
    assert all((a[0] == b[0]).all() and (a[1] == b[1]).all()
               for a, b in zip(first, again, strict=True))
    assert clip.objects == 3
    assert max(int(labels.max()) for _, labels in first) <= 3
    assert any((a[0] != b[0]).any() for a, b in zip(first, video.clip(5, 5), strict=True))
    moved = [np.argwhere(labels == number).mean(0) for _, labels in first[:2]
             for number in np.unique(first[0][1]) if number and (labels == number).sum() > 20]
    assert moved      # something is there to follow


def test_void_changes_nothing_but_background_labels(bullet):
    from vos_ros.data.simulated_video import SimulatedVideo
    from vos_ros.data.simulated_video import SimulationConfig
    config = SimulationConfig(48, 64, (3, 3))
    marked = 0
    for seed in range(4):
        plain = SimulatedVideo(photographs(), [], config).clip(seed, 2)
        other = SimulatedVideo(photographs(), [], replace(config, void=255)).clip(seed, 2)
        for (rgb, labels), (same, void) in zip(plain, other, strict=True):
            assert (rgb == same).all()
            assert (np.where(void == 255, 0, void) == labels).all()
            assert labels.max() <= 3
            marked += bool((void == 255).any())
    assert marked > 3


def test_in_long_clips_what_leaves_comes_back(bullet):
    from vos_ros.data.simulated_video import SimulatedVideo
    from vos_ros.data.simulated_video import SimulationConfig
    config = SimulationConfig(48, 64, (2, 2), leave=1.0, recurrent=True)
    video = SimulatedVideo(photographs(), [], config)
    left = back = 0
    for seed in range(4):
        clip = video.clip(seed, 150)
        there = np.array([[(labels == n + 1).any() for n in range(clip.objects)]
                          for _, labels in clip])
        for course in there.T:
            changes = np.diff(course.astype(int))
            left += int((changes < 0).sum())
            back += int((changes > 0).sum())
        assert there[-40:].any()        # the scene has not emptied
    assert left > 3 and back > 3


@pytest.mark.parametrize('change', [{'height': 8}, {'objects': (0, 3)}, {'objects': (5, 2)},
                                    {'twins': 1.5}, {'leave': -0.1}, {'void': 8},
                                    {'void': 256}, {'close': 1.1}, {'close': -0.5},
                                    {'built': -0.1}, {'built': 2.0}])
def test_settings_out_of_range_are_named(change):
    pytest.importorskip('pybullet')
    from vos_ros.data.simulated_video import SimulationConfig
    with pytest.raises(ValueError, match='size' if 'height' in change else next(iter(change))):
        SimulationConfig(**change)


def small_coco(folder):
    images, annotations = [], []
    for number, picture in enumerate(photographs(), 1):
        cv2.imwrite(str(folder / f'{number}.png'), picture.rgb)
        height, width = picture.rgb.shape[:2]
        images.append({'id': number, 'file_name': f'{number}.png', 'height': height,
                       'width': width})
        annotations.append({'id': number, 'image_id': number, 'category_id': 1, 'iscrowd': 0,
                            'area': 2000, 'bbox': [10, 20, 50, 40],
                            'segmentation': [[10, 20, 60, 20, 60, 60, 10, 60]]})
    file = folder / 'instances.json'
    file.write_text(json.dumps({'images': images, 'annotations': annotations, 'categories': [
        {'id': 1, 'name': 'dog', 'supercategory': 'animal'}]}))
    return ['--data', str(folder), '--annotations', str(file)]


@pytest.mark.parametrize('workers', ['1', '2'])
def test_material_that_cannot_be_leaves_the_folder_free(bullet, tmp_path, capfd, workers):
    (tmp_path / 'photos').mkdir()
    out, names = tmp_path / 'out', tmp_path / 'names.txt'
    names.write_text('nowhere.png\n')
    options = small_coco(tmp_path / 'photos')
    base = ['simulate', '--out', str(out), '--part', 'all', '--workers', workers]
    nothing = ['--data', str(tmp_path), *options[2:]]
    for wrong, told in (([*options, '--keep', str(names)], 'no image nowhere.png'),
                        (nothing, str(tmp_path / '1.png')),
                        ([*options[:3], 'nowhere.json'], 'nowhere.json: no such')):
        assert cli.main([*base, *wrong]) == 1
        error = capfd.readouterr().err
        assert told in error.splitlines()[-1] and 'Traceback' not in error
    assert not out.exists()


def test_command_writes_davis_folders_and_takes_up_where_it_was(bullet, tmp_path, capsys):
    (tmp_path / 'photos').mkdir()
    out = tmp_path / 'out'
    base = ['simulate', '--out', str(out), *small_coco(tmp_path / 'photos'), '--part', 'all',
            '--frames', '2', '--size', '48x64', '--objects', '2-3']
    assert cli.main([*base, '--clips', '1']) == 0
    before = (out / 'Annotations/sim00000/00000.png').stat().st_mtime_ns
    assert cli.main([*base, '--clips', '2']) == 0
    assert '1 clips made, 1 were there' in capsys.readouterr().out
    assert (out / 'Annotations/sim00000/00000.png').stat().st_mtime_ns == before
    # One that was being written does not stop readers, and is made anew.
    (out / '.sim00002.17/JPEGImages').mkdir(parents=True)
    sequences = find_sequences(out)
    assert [s.name for s in sequences] == ['sim00000', 'sim00001']
    assert sequences[0].image(1).shape == (48, 64, 3)
    assert sequences[0].labels(1).shape == (48, 64)
    assert cli.main([*base, '--clips', '3']) == 0
    assert {p.name for p in out.iterdir()} == {'meta.json', 'JPEGImages', 'Annotations'}
    meta = json.loads((out / 'meta.json').read_text())
    assert (meta['seed'], meta['frames'], meta['objects']) == (0, 2, [2, 3])
    assert meta['void'] == 255
    assert any((s.labels(t, void=True) == 255).any() for s in sequences for t in range(2))
    assert max(s.labels(t).max() for s in sequences for t in range(2)) <= 3
    # Sets from before there was void do not name it, and go on without.
    older = tmp_path / 'older'
    older.mkdir()
    (older / 'meta.json').write_text(json.dumps({k: v for k, v in meta.items() if k != 'void'}))
    assert cli.main([*base[:2], str(older), *base[3:], '--clips', '1']) == 1
    assert 'void None, asked for 255' in capsys.readouterr().err
    assert cli.main([*base[:2], str(older), *base[3:], '--clips', '1', '--no-void']) == 0
    assert (find_sequences(older)[0].labels(0, void=True) < 4).all()
    # Nor do they name close-ups and built things, of which they hold none.
    assert (meta['close'], meta['built']) == (0, 0)
    (older / 'meta.json').write_text(json.dumps({k: v for k, v in meta.items()
                                                 if k not in ('close', 'built')}))
    assert cli.main([*base[:2], str(older), *base[3:], '--clips', '1']) == 0
    assert cli.main([*base[:2], str(older), *base[3:], '--clips', '1', '--built', '0.5']) == 1
    assert 'built 0.0, asked for 0.5' in capsys.readouterr().err
    assert cli.main([*base, '--clips', '1', '--close', '1.5']) == 1
    assert 'close 1.5: from 0 to 1' in capsys.readouterr().err
    assert cli.main([*base, '--clips', '2', '--seed', '7']) == 1
    assert 'seed 0, asked for 7' in capsys.readouterr().err
    assert cli.main([*base, '--clips', '0']) == 1
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'file').write_text('x')
    assert cli.main([*base[:2], str(other), *base[3:], '--clips', '1']) == 1
    assert 'no meta.json' in capsys.readouterr().err
