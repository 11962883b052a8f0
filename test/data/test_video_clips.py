# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
from itertools import pairwise

import cv2
import numpy as np
import pytest

from vos_ros.data.simulate import write_clip
from vos_ros.data.video_clips import choose_alike
from vos_ros.data.video_clips import VideoClipConfig
from vos_ros.data.video_clips import VideoClips
from vos_ros.evaluate.davis import find_sequences

COLOURS = ((220, 30, 30), (30, 200, 40), (40, 60, 230))


def write_videos(folder, names=('a', 'b'), frames=12):
    """Three coloured squares that move right by 4 pixels a frame; the third leaves at frame 6."""
    for name in names:
        pictures = []
        for t in range(frames):
            rgb = np.full((96, 128, 3), 120, np.uint8)
            labels = np.zeros((96, 128), np.uint8)
            for number, colour in enumerate(COLOURS, 1):
                if number == 3 and t >= 6:
                    continue
                x, y = 4 + 4 * t + 8 * number, 28 * number - 22
                rgb[y:y + 24, x:x + 24] = colour
                labels[y:y + 24, x:x + 24] = number
            pictures.append((rgb, labels))
        write_clip(folder, name, pictures, 95)
    return find_sequences(folder)


def test_labels_follow_the_objects_through_cut_turn_and_development(tmp_path):
    clips = VideoClips(write_videos(tmp_path), VideoClipConfig(size=(80, 80), frames=4, skip=3))
    assert len(clips) == 2
    kept, counts = 0, set()
    for seed in range(25):
        clip = clips.clip(np.random.default_rng(seed), 3)
        assert clip.frames.shape == (4, 80, 80, 3)
        numbers = [n for n in np.unique(clip.labels[0]) if n]
        assert numbers == list(range(1, len(numbers) + 1))
        assert clip.labels.max() <= len(numbers)
        counts.add(len(numbers))
        for number in numbers:
            # Development changes colours alike for the whole clip but for a little flicker: an
            # object's colour in later frames is nearer to its own than to the background's.
            first = clip.frames[0][clip.labels[0] == number].mean(0)
            ground = clip.frames[0][clip.labels[0] == 0].mean(0)
            for t in range(1, 4):
                own = clip.labels[t] == number
                if own.sum() > 60 and np.abs(first - ground).max() > 40:
                    later = clip.frames[t][cv2.erode(own.astype(np.uint8),
                                                     np.ones((3, 3))) > 0]
                    if len(later):
                        kept += 1
                        assert np.abs(later.mean(0) - first).sum() \
                            < np.abs(later.mean(0) - ground).sum()
    assert kept > 60
    assert 3 in counts
    again = clips.clip(np.random.default_rng(3), 3)
    assert (again.frames == clips.clip(np.random.default_rng(3), 3).frames).all()


def test_all_objects_keep_their_numbers_in_frames_of_another_shape(tmp_path):
    clips = VideoClips(write_videos(tmp_path), VideoClipConfig((64, 96), 2, 3, zoom=(0.9, 1.0)))
    seen = set()
    for seed in range(10):
        clip = clips.clip(np.random.default_rng(seed), None)
        assert clip.frames.shape == (2, 64, 96, 3)
        for number in np.unique(clip.labels[0])[1:]:
            # Object n is brightest in channel n of red, green, blue, whatever the development.
            colour = clip.frames[0][clip.labels[0] == number].mean(0)
            seen.add(int(number))
            assert np.ptp(colour) < 12 or colour.argmax() == number - 1
    assert seen == {1, 2, 3}


def test_void_is_no_object_and_stays_with_its_pixels(tmp_path):
    pictures = []
    for t in range(6):
        rgb = np.full((96, 128, 3), 120, np.uint8)
        labels = np.zeros((96, 128), np.uint8)
        rgb[50:90, 10:110], labels[50:90, 10:110] = 250, 255
        rgb[20:60, 20 + 4 * t:70 + 4 * t], labels[20:60, 20 + 4 * t:70 + 4 * t] = 10, 1
        pictures.append((rgb, labels))
    write_clip(tmp_path, 'a', pictures, 95)
    write_clip(tmp_path, 'b', [(rgb, labels % 255) for rgb, labels in pictures], 95)
    sequence, without = find_sequences(tmp_path)
    assert np.unique(sequence.labels(0)).tolist() == [0, 1]
    clips = VideoClips([sequence], VideoClipConfig((64, 96), 2, 3, zoom=(0.9, 1.0)))
    for objects in (1, None):
        clip = clips.clip(np.random.default_rng(2), objects)
        same = VideoClips([without], clips.config).clip(np.random.default_rng(2), objects)
        assert (clip.frames == same.frames).all() and (clip.labels == same.labels).all()
        assert not same.void.any()
        assert np.unique(clip.labels).tolist() == [0, 1]
        assert not clip.labels[clip.void].any()
        for frame, labels, void in zip(clip.frames, clip.labels, clip.void, strict=True):
            inside = cv2.erode(void.astype(np.uint8), np.ones((5, 5))) > 0
            assert inside.any()
            assert frame[inside].mean() > frame[(labels == 0) & ~void].mean() + 20


def test_gaps_are_within_the_skip_and_both_directions_come(tmp_path):
    clips = VideoClips(write_videos(tmp_path), VideoClipConfig(size=(64, 64), frames=4, skip=3))
    rng = np.random.default_rng(0)
    gaps = [b - a for _ in range(60) for a, b in pairwise(clips._times(rng, 12))]
    assert {abs(g) for g in gaps} == {1, 2, 3}
    assert min(gaps) < 0 < max(gaps)
    for _ in range(20):
        assert sorted(clips._times(rng, 4).tolist()) == [0, 1, 2, 3]


def test_clips_have_their_own_pace_and_some_come_back(tmp_path):
    videos = write_videos(tmp_path)
    rng = np.random.default_rng(0)
    clips = VideoClips(videos, VideoClipConfig(size=(64, 64), frames=4, skip=3))
    widest = [max(abs(np.diff(clips._times(rng, 12)))) for _ in range(90)]
    assert min(widest.count(gap) for gap in (1, 2, 3)) > 9
    clips = VideoClips(videos, VideoClipConfig(size=(64, 64), frames=5, skip=3, returns=1.0))
    ways = set()
    for _ in range(60):
        times = clips._times(rng, 12)
        assert len(times) == 5 and 0 <= times.min() and times.max() < 12
        steps = np.sign(np.diff(times)).tolist()
        assert steps in ([1, 1, -1, -1], [-1, -1, 1, 1])
        ways.add(steps[0])
    assert ways == {1, -1}


@pytest.mark.parametrize('objects', [2, None])
def test_a_rare_and_small_object_is_found_in_a_long_video(tmp_path, objects):
    pictures = []
    for t in range(200):
        labels = np.zeros((96, 128), np.uint8)
        if t in (70, 71, 72):
            labels[40:46, 50:56] = 4
        pictures.append((np.repeat(60 + 30 * labels[..., None], 3, 2), labels))
    write_clip(tmp_path, 'long', pictures, 95)
    clips = VideoClips(find_sequences(tmp_path), VideoClipConfig(
        size=(96, 96), frames=3, skip=4, zoom=(0.9, 1.1)))
    for seed in range(6):
        clip = clips.clip(np.random.default_rng(seed), objects, tries=2)
        assert (clip.labels[0] == (4 if objects is None else 1)).any()
    for mask in (tmp_path / 'Annotations' / 'long').iterdir():
        cv2.imwrite(str(mask), np.zeros((96, 128), np.uint8))
    with pytest.raises(ValueError, match='no frame of any video shows an object'):
        clips.clip(np.random.default_rng(0), objects)


def test_look_alikes_are_chosen_together():
    rgb = np.zeros((40, 80, 3), np.uint8)
    labels = np.zeros((40, 80), np.uint8)
    for number, colour in enumerate(((200, 40, 40), (20, 200, 40), (202, 41, 38)), 1):
        part = np.s_[10:30, 25 * number - 20:25 * number - 2]
        rgb[part], labels[part] = colour, number
    rng = np.random.default_rng(0)
    pairs = [set(choose_alike(rng, rgb, labels, 2, 6.0).tolist()) for _ in range(200)]
    assert pairs.count({1, 3}) > 100      # of 200; 67 when drawn evenly
    assert len(choose_alike(rng, rgb, labels, 9, 6.0)) == 3
    assert not len(choose_alike(rng, rgb, np.zeros_like(labels), 2, 6.0))


def test_videos_without_enough_masks_are_refused(tmp_path):
    sequences = write_videos(tmp_path, frames=3)
    with pytest.raises(ValueError, match='5 annotated frames'):
        VideoClips(sequences, VideoClipConfig(size=(64, 64), frames=5))
    for change in ({'size': (16, 64)}, {'frames': 0}, {'skip': 0}):
        with pytest.raises(ValueError, match='too small'):
            VideoClips(sequences, VideoClipConfig(**{'frames': 2, **change}))
    for change in ({'zoom': (0.9, 0.5)}, {'share': (0.0, 0.5)}):
        with pytest.raises(ValueError, match='the smaller first'):
            VideoClips(sequences, VideoClipConfig(**{'frames': 2, **change}))
