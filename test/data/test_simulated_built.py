# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from test_simulated_video import photographs
from test_simulated_video import volume

from vos_ros.data.simulated_built import draw_built
from vos_ros.data.simulated_meshes import box
from vos_ros.data.simulated_meshes import join
from vos_ros.data.simulated_meshes import Part
from vos_ros.data.simulated_meshes import ring
from vos_ros.data.simulated_meshes import rotation
from vos_ros.data.simulated_paint import DARK
from vos_ros.data.simulated_paint import draw_paint


def area_vectors(mesh):
    triangles = mesh.corners.reshape(-1, 3, 3)
    return np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])


def test_a_ring_is_closed_and_faces_outwards():
    mesh = ring(0.2)
    assert np.abs(area_vectors(mesh).sum(0)).max() < 1e-9
    # 2 pi^2 R r^2 with R + r = 1, a little less for its corners.
    assert volume(mesh) == pytest.approx(2 * np.pi ** 2 * 0.2 ** 2 / 1.2 ** 3, rel=0.15)
    assert np.hypot(*mesh.corners[:, :2].T).min() > 0.6


def test_joined_parts_are_where_they_should_be_and_wear_their_patch():
    mesh = join([Part(box(1, 1, 1), (4, 2, 2), (0, 0, 1)),
                 Part(box(1, 2, 3), (2, 1, 1), (0, 0, 3), (0, 0, np.pi / 2), DARK)])
    low, high = mesh.corners[36:].min(0), mesh.corners[36:].max(0)
    scale = np.ptp(mesh.corners[:, 0]) / 4
    assert np.allclose((high - low) / scale, (1, 2, 1))
    assert np.allclose((high + low) / scale / 2, (0, 0, 1.25))
    assert (mesh.places[:36] < 0.5).all()
    assert (mesh.places[36:, 0] < 0.5).all() and (mesh.places[36:, 1] > 0.5).all()
    with pytest.raises(ValueError, match='no parts'):
        join([])


def test_a_turned_part_keeps_its_faces_outwards():
    mesh = join([Part(box(1, 1, 1), (3, 1, 0.2), (1, 2, 3), (0.4, -0.7, 2.0))])
    flat = area_vectors(mesh)
    assert volume(mesh) > 0
    assert (np.einsum('ij,ij->i', flat, mesh.normals[::3]) > 0).all()


def test_rotation_is_that_of_the_renderer():
    bullet = pytest.importorskip('pybullet')
    angles = (0.3, -1.1, 2.5)
    matrix = bullet.getMatrixFromQuaternion(bullet.getQuaternionFromEuler(angles))
    assert np.allclose(rotation(angles), np.reshape(matrix, (3, 3)))


@pytest.mark.parametrize('seed', range(40))
def test_built_things_are_closed_centred_and_of_size_one(seed):
    rng = np.random.default_rng(seed)
    mesh = draw_built(rng)
    assert np.isfinite(mesh.corners).all() and np.isfinite(mesh.places).all()
    assert len(mesh.corners) < 3 * 3000
    assert np.abs(area_vectors(mesh).sum(0)).max() < 1e-9
    assert volume(mesh) > 0
    assert np.allclose(mesh.corners.max(0), -mesh.corners.min(0))
    assert np.linalg.norm(mesh.corners, axis=1).max() == pytest.approx(1)
    assert np.allclose(np.linalg.norm(mesh.normals, axis=1), 1)
    assert mesh.places.min() >= 0 and mesh.places.max() <= 1
    paint = draw_paint(rng)
    assert paint.dtype == np.uint8 and paint.shape[0] == paint.shape[1] and paint.shape[2] == 3


def clips(frames=2, count=6, **settings):
    from vos_ros.data.simulated_video import SimulatedVideo
    from vos_ros.data.simulated_video import SimulationConfig
    config = SimulationConfig(48, 64, (2, 4), **settings)
    video = SimulatedVideo(photographs(), [], config)
    return [video.clip(seed, frames) for seed in range(count)]


def largest(clip):
    return max(np.bincount(labels.ravel(), minlength=2)[1:].max() / labels.size
               for _, labels in clip)


def test_close_ups_hold_large_objects(bullet):
    shares = [largest(clip) for clip in clips(close=1.0)]
    assert sum(share > 0.15 for share in shares) >= 3
    assert max(shares) < 0.98       # none swallows the camera


def test_no_close_up_of_a_long_clip_leaves_for_good(bullet):
    kinds = {recurrent: {role.kind for clip in clips(count=40, close=1.0, recurrent=recurrent)
                         for role in clip._cast.roles} for recurrent in (False, True)}
    assert 'pass' in kinds[False] and 'pass' not in kinds[True]
    assert kinds[True] >= {'turn', 'wander'}


def test_built_things_stand_on_what_is_below_them(bullet, tmp_path):
    from vos_ros.data.simulated_scene import World
    from vos_ros.data.simulated_view import FLOOR
    stood = 0
    for number, clip in enumerate(clips(count=8, built=1.0, close=0.5)):
        scene = clip._cast
        assert sum((labels > 0).sum() for _, labels in clip) > 0
        folder = tmp_path / str(number)
        folder.mkdir()
        world = World(scene.roles, scene.table, scene.surroundings.empty, 9, 0, folder)
        try:
            world.advance(30)
            parts = world.triangles()
        finally:
            world.close()
        for role, part in zip(scene.roles, parts, strict=True):
            if role.upright and role.kind != 'rest':
                low = part[..., 2].min()
                assert min(abs(low), abs(low - FLOOR)) < 0.01
                stood += 1
    assert stood > 8


@pytest.fixture
def bullet():
    return pytest.importorskip('pybullet')
