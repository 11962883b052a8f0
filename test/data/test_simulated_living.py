# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest
from test_simulated_built import area_vectors
from test_simulated_video import photographs

from vos_ros.data.simulated_living import draw_living
from vos_ros.data.simulated_living import place_bones
from vos_ros.data.simulated_paint import draw_clothes


def corners(bones, time):
    return np.concatenate([bone.mesh.corners @ turn.T + place for bone, (place, turn)
                           in zip(bones, place_bones(bones, time), strict=True)])


def straight(bones):
    return [replace(bone, middle=0.0, swing=0.0) for bone in bones]


@pytest.mark.parametrize('seed', range(30))
def test_living_things_are_closed_centred_and_of_size_one(seed):
    mesh, bones = draw_living(np.random.default_rng(seed))
    assert np.isfinite(mesh.corners).all() and len(mesh.corners) < 3 * 6000
    assert np.abs(area_vectors(mesh).sum(0)).max() < 1e-9
    assert np.allclose(mesh.corners.max(0), -mesh.corners.min(0))
    assert np.linalg.norm(mesh.corners, axis=1).max() == pytest.approx(1)
    assert np.allclose(np.linalg.norm(mesh.normals, axis=1), 1)
    assert mesh.places.min() >= 0 and mesh.places.max() <= 1
    # With straight limbs the bones are the whole, and each hangs on one before it.
    assert np.allclose(corners(straight(bones), 3.0), mesh.corners)
    assert all(bone.parent < number for number, bone in enumerate(bones))


@pytest.mark.parametrize('seed', range(10))
def test_limbs_move_and_stay_on_their_joints(seed):
    _, bones = draw_living(np.random.default_rng(seed))
    before, after = corners(bones, 0.0), corners(bones, 0.4)
    assert np.linalg.norm(before - after, axis=1).max() > 0.02
    for time in (0.0, 0.4):
        places = place_bones(bones, time)
        for bone, (place, turn) in zip(bones, places, strict=True):
            assert np.allclose(turn @ turn.T, np.eye(3)) and np.linalg.det(turn) > 0
            if bone.parent >= 0:
                above, way = places[bone.parent]
                assert np.linalg.norm(place - above) == pytest.approx(np.linalg.norm(bone.joint))
                assert np.allclose(way.T @ (place - above), bone.joint)


def test_a_bone_turns_about_its_axis_by_its_angle():
    bone = replace(draw_living(np.random.default_rng(0))[1][0], axis=np.array([0.0, 1.0, 0.0]),
                   middle=0.5, swing=0.25, pace=np.pi, phase=0.0)
    angle = 0.75
    assert np.allclose(bone.turn(0.5) @ (1, 0, 0), (np.cos(angle), 0, -np.sin(angle)))


def test_clothes_show_the_photographs_that_they_are_cut_from():
    coat = np.zeros((20, 30, 3), np.uint8)
    coat[..., 1] = 222
    shown = [draw_clothes(np.random.default_rng(seed), coat, coat) for seed in range(20)]
    assert all(paint.shape == (256, 256, 3) and paint.dtype == np.uint8 for paint in shown)
    # The two large surfaces are the lower half, which is where patches 0 and 1 look.
    whole = [(paint[128:, :128] == (0, 222, 0)).all() for paint in shown]
    assert 3 < sum(whole) < 17


def test_a_scene_of_living_things_has_one_id_for_all_of_each(tmp_path):
    pytest.importorskip('pybullet')
    from vos_ros.data.simulated_scene import World
    from vos_ros.data.simulated_video import SimulatedVideo
    from vos_ros.data.simulated_video import SimulationConfig
    config = SimulationConfig(96, 128, (1, 1), living=1.0, close=1.0, twins=0.0)
    video = SimulatedVideo(photographs(), [], config)
    moved = seen = 0
    for seed in range(6):
        clip = video.clip(seed, 2)
        scene = clip._cast
        role, = scene.roles
        assert role.bones
        frames = [labels for _, labels in clip]
        assert set(np.unique(frames)) <= {0, 1}
        seen += sum((labels == 1).any() for labels in frames)
        folder = tmp_path / str(seed)
        folder.mkdir()
        world = World(scene.roles, scene.table, scene.surroundings.empty, 9, 0, folder)
        try:
            parts = world.triangles()[0]
            (place, turn), = world.states()
            assert np.allclose(parts.reshape(-1, 3), corners(role.bones, 0.0) * role.size
                               @ turn.T + place)
            # What the renderer shows is what the shadows are cast by.
            lens, light = clip._lens, scene.surroundings.light
            pose = scene.camera.pose(0.0)
            _, number, _ = world.render(lens, pose, light)
            at = lens.place(pose, parts.reshape(-1, 3))
            inside = at[np.isfinite(at).all(1)]
            inside = inside[(inside >= 0).all(1) & (inside < (lens.width, lens.height)).all(1)]
            columns, rows = np.floor(inside.T).astype(int)
            drawn = np.zeros(number.shape, bool)
            drawn[rows, columns] = True
            if drawn.sum() > 50:
                assert (number[drawn] == 0).mean() > 0.8
                moved += 1
        finally:
            world.close()
    assert seen >= 6 and moved >= 2


def test_living_things_are_not_left_to_physics_and_stay_where_they_turn():
    from vos_ros.data.simulated_scene import KINEMATIC
    from vos_ros.data.simulated_video import SimulatedVideo
    from vos_ros.data.simulated_video import SimulationConfig
    kinds = set()
    for close in (0.0, 1.0):
        video = SimulatedVideo(photographs(), [], SimulationConfig(48, 64, (1, 4), living=1.0,
                                                                   close=close))
        for seed in range(60):
            for role in video.clip(seed, 1)._cast.roles:
                if role.bones:
                    assert role.kind in KINEMATIC
                    assert role.kind == 'pass' or not role.velocity.any()
                    kinds.add(role.kind)
    assert kinds == set(KINEMATIC)


@pytest.mark.parametrize('share', [-0.1, 1.5])
def test_a_share_out_of_range_is_named(share):
    from vos_ros.data.simulated_video import SimulationConfig
    with pytest.raises(ValueError, match='living'):
        SimulationConfig(living=share)
