# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The instance tracker as a process: images in over DDS, labels and tracks out."""

import math

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vos_ros.msg')

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from vos_ros.msg import Latency
from vos_ros.msg import Track
from vos_ros.msg import TrackArray

from vos_ros.nodes import images

LABELS, TRACKS, LATENCY = (f'/instance_tracker/{name}' for name in ('labels', 'tracks', 'latency'))
KINDS = {LABELS: Image, TRACKS: TrackArray, LATENCY: Latency}


def stamp_of(message):
    return message.header.stamp.sec, message.header.stamp.nanosec


def send(publisher, pixels, second, encoding='rgb8', frame_id='camera', nanosec=5):
    message = images.fill(Image(), pixels, encoding)
    message.header.stamp = Time(sec=second, nanosec=nanosec if second else 0)
    message.header.frame_id = frame_id
    publisher.publish(message)


@pytest.fixture
def tracker(ros, tiny_package, eager):
    """Start a tracker; return (publisher, exchange), which sends a picture and awaits results."""
    for topic, kind in KINDS.items():
        ros.listen(kind, topic)
    publisher = ros.publisher(Image, '/image')
    process = ros.start('instance_tracker', model_path=tiny_package, **eager)
    ros.connected(publisher, *KINDS)

    def exchange(pixels, second, **options):
        for topic in KINDS:
            ros.received[topic].clear()
        send(publisher, pixels, second, **options)
        ros.until(lambda: all(ros.received[topic] for topic in KINDS), 10, 'labels, tracks, ...')
        return tuple(ros.received[topic][-1] for topic in KINDS)

    exchange.publisher, exchange.process = publisher, process
    return exchange


def test_labels_and_tracks_carry_the_stamp_and_one_set_of_ids(tracker, scene):
    some = 0
    for second in range(10, 16):
        labels, tracks, latency = tracker(scene(second), second, frame_id='left')
        for message in (labels, tracks, latency):
            assert stamp_of(message) == (second, 5)
            assert message.header.frame_id == 'left'
        assert (labels.height, labels.width, labels.encoding) == (120, 160, 'mono16')
        pixels = images.to_labels(labels)
        seen = set(np.unique(pixels).tolist()) - {0}
        assert seen == {track.id for track in tracks.tracks if track.area > 0}
        for track in tracks.tracks:
            assert track.area == np.count_nonzero(pixels == track.id)
            assert track.label in ('person', 'vehicle', 'animal')
        some += len(seen)
    assert some
    assert latency.frames_in == latency.frames_processed == 6
    assert (latency.dropped_busy, latency.dropped_bad, latency.lost_transport) == (0, 0, 0)
    assert list(latency.stages[:3]) == ['receive', 'wait', 'decode']
    assert 0 < sum(latency.stage_ms[2:]) <= latency.step_ms * 1.01


def parameters(ros, **values):
    """Set parameters over the node's service; return the results."""
    request = SetParameters.Request(parameters=[
        Parameter(name, value=value).to_parameter_msg() for name, value in values.items()])
    return ros.call(SetParameters, '/instance_tracker/set_parameters', request).results


def test_encodings_strides_and_bad_images(tracker, scene, ros):
    """Every encoding of one picture must give the label map that rgb8 gives."""
    picture = scene(4)
    parameters(ros, reuse_interval=1)
    reference = None
    wide = np.zeros((120, 200, 3), np.uint8)
    wide[:, :160] = picture
    encoded = {
        'rgb8': picture, 'bgr8': picture[..., ::-1],
        'rgba8': np.dstack([picture, picture[..., 0]]),
        'bgra8': np.dstack([picture[..., ::-1], picture[..., 0]])}
    for second, (encoding, pixels) in enumerate(encoded.items(), 20):
        ros.call(Trigger, '/instance_tracker/reset', Trigger.Request())
        labels = images.to_labels(tracker(pixels, second, encoding=encoding)[0])
        reference = labels > 0 if reference is None else reference
        np.testing.assert_array_equal(labels > 0, reference, encoding)
    assert reference.any()
    ros.call(Trigger, '/instance_tracker/reset', Trigger.Request())
    strided = images.fill(Image(), wide, 'rgb8')
    strided.width = 160
    strided.header.stamp.sec = 30
    tracker.publisher.publish(strided)
    ros.until(lambda: stamp_of(ros.received[LABELS][-1])[0] == 30, 10, 'strided image')
    np.testing.assert_array_equal(
        images.to_labels(ros.received[LABELS][-1]) > 0, reference, 'strided')
    assert tracker(picture[..., 0], 31, encoding='mono8')[0].height == 120
    # What cannot be read is dropped, counted and named; the node goes on.
    for encoding in ('bayer_rggb8', 'rgb8'):
        bad = images.fill(Image(), picture, 'rgb8')
        bad.encoding = encoding
        bad.data = bad.data[:-10]
        bad.header.stamp.sec = 35
        tracker.publisher.publish(bad)
        ros.spin(0.3)  # together, the newer one would win
    tracker.publisher.publish(b'\x00\x01\x00\x00no image at all')
    status, values = ros.diagnostics('processing', dropped_bad='3')
    assert values['dropped_failed'] == '0'
    assert status.level == DiagnosticStatus.WARN
    assert '3 images in a row could not be read, the last: image: ' in status.message
    assert tracker(picture, 40)[2].dropped_bad == 3
    assert 'message dropped: image: ' in tracker.process.output()
    assert 'bayer_rggb8' in tracker.process.output()
    assert ros.diagnostics('processing', frames_processed='7')[0].message == 'running'


def test_resolution_may_change_at_any_frame(tracker, scene):
    for second, (height, width) in enumerate([(120, 160), (90, 200), (240, 320), (31, 17)], 10):
        labels, tracks, _ = tracker(scene(second, height, width), second)
        assert (labels.height, labels.width) == (height, width)
        seen = set(np.unique(images.to_labels(labels)).tolist()) - {0}
        assert seen == {track.id for track in tracks.tracks if track.area}


def test_images_that_stand_go_into_a_turned_input(tracker, scene):
    sizes = []
    for second, (height, width) in enumerate([(120, 160), (160, 120), (120, 160)], 10):
        labels, tracks, latency = tracker(scene(second, height, width), second)
        assert (labels.height, labels.width) == (height, width)
        seen = set(np.unique(images.to_labels(labels)).tolist()) - {0}
        assert seen == {track.id for track in tracks.tracks if track.area} and seen
        sizes.append(latency.operating_point.split()[1].split('x'))
    assert sizes[1] == sizes[0][::-1] != sizes[0] == sizes[2]


def test_parameters_are_live_checked_and_applied(tracker, scene, ros):
    keyframes = [tracker(scene(second), second)[1].keyframe for second in range(4, 10, 2)]
    assert keyframes.count(True) == 3, 'two seconds apart, every image is a keyframe (max_gap)'
    assert parameters(ros, max_gap=100.0, reuse_interval=2)[0].successful
    results = [tracker(scene(second), second) for second in range(13, 19)]
    assert [result[1].keyframe for result in results].count(True) == 3
    assert results[-1][2].operating_point.startswith('T=2 ')
    for name, value in (('reuse_interval', 0), ('birth_score', 1.5), ('min_cosine', -2.0)):
        result = parameters(ros, **{name: value})[0]
        assert not result.successful
        assert name in result.reason
    contradiction = parameters(ros, keep_score=0.9)[0]
    assert not contradiction.successful
    assert 'must not exceed birth_score' in contradiction.reason
    read_only = parameters(ros, model_path='/etc')[0]
    assert not read_only.successful
    assert 'read-only' in read_only.reason
    wrong_type = parameters(ros, birth_score='high')[0]
    assert not wrong_type.successful
    assert tracker(scene(20), 20)[2].operating_point.startswith('T=2 ')


def test_reset_and_time_going_back_give_new_ids_once(tracker, scene, ros):
    def ids(result):
        return {track.id for track in result[1].tracks if track.state != Track.REMOVED}

    first = ids(tracker(scene(0), 100))
    assert first
    assert ids(tracker(scene(0), 101)) == first
    answer = ros.call(Trigger, '/instance_tracker/reset', Trigger.Request())
    assert answer.success
    result = tracker(scene(0), 102)
    second = ids(result)
    assert not second & first
    assert {t.id for t in result[1].tracks if t.state == Track.REMOVED} == first
    third = ids(tracker(scene(0), 50))
    assert third
    assert not third & (first | second)
    for stamp in (51, 52, 53):
        assert ids(tracker(scene(0), stamp)) == third
    assert tracker.process.output().count('stamps went back') == 1
    # A step back within the threshold is an image out of order.
    assert ids(tracker(scene(0), 52, nanosec=999_999_999)) == third


def test_overlay_is_drawn_only_for_subscribers_under_the_same_header(tracker, scene, ros):
    tracker(scene(1), 10)
    _, values = ros.diagnostics('processing', frames_processed='1')
    assert 'overlay_ms' not in values
    raw, packed = '/instance_tracker/overlay', '/instance_tracker/overlay/compressed'
    ros.listen(Image, raw)
    ros.listen(CompressedImage, packed)
    ros.until(lambda: ros.node.count_subscribers(raw) and ros.node.count_subscribers(packed))
    ros.spin(0.5)
    labels, _, _ = tracker(scene(2), 11, frame_id='eye')
    ros.until(lambda: ros.received[raw] and ros.received[packed], 10, 'overlays')
    for message in (ros.received[raw][-1], ros.received[packed][-1]):
        assert (stamp_of(message), message.header.frame_id) == ((11, 5), 'eye')
    picture = images.to_rgb(ros.received[raw][-1])
    changed = (picture != scene(2)).any(2)
    assert changed[images.to_labels(labels) > 0].mean() > 0.9
    again = images.from_compressed(ros.received[packed][-1])
    assert np.abs(again.astype(int) - picture).mean() < 12
    assert 'overlay_ms' in ros.diagnostics('processing', frames_processed='2')[1]


def test_zero_stamps_are_processed_and_reported(tracker, scene, ros):
    _, _, latency = tracker(scene(1), 0)
    assert math.isnan(latency.pipeline_ms)
    status, _ = ros.diagnostics('input', state='zero stamps')
    assert status.level == DiagnosticStatus.WARN
    tracker(scene(2), 12)
    ros.diagnostics('input', state='ok')


def test_counts_add_up_when_images_come_too_fast(tracker, scene, ros):
    """However fast the machine: a coded overlay holds the worker up, and images go on coming."""
    overlay = '/instance_tracker/overlay/compressed'
    ros.listen(CompressedImage, overlay)
    ros.until(lambda: ros.node.count_publishers(overlay))
    big = scene(3, 480, 640)
    sent = 0
    while sent < 120 or not any(each.dropped_busy for each in ros.received[LATENCY][-1:]):
        assert sent < 1500, 'the node keeps up with everything'
        send(tracker.publisher, big, 1000 + sent)
        sent += 1
        ros.spin(0.002)
    # Two more, alone: the gap before the first shows what was lost last, which is counted once a
    # second, so that the other one tells it.
    for second in (9000, 9001):
        ros.spin(1.5)
        send(tracker.publisher, big, second)
        ros.until(lambda s=second: stamp_of(ros.received[LATENCY][-1])[0] == s, 10, 'the last')
        sent += 1
    last = ros.received[LATENCY][-1]
    assert last.frames_in + last.lost_transport == sent
    assert last.frames_in == last.frames_processed + last.dropped_busy
    assert last.dropped_busy > 0
    ros.until(lambda: len(ros.received[TRACKS]) == last.frames_processed, 5, 'all tracks')


def test_interrupt_while_computing_ends_with_status_zero(tracker, scene, ros):
    tracker(scene(1), 10)
    for index in range(20):
        send(tracker.publisher, scene(2, 480, 640), 20 + index)
    assert tracker.process.interrupt() == 0
    assert 'Traceback' not in tracker.process.output()


def test_compressed_images(ros, tiny_package, eager, scene):
    ros.listen(Image, LABELS)
    publisher = ros.publisher(CompressedImage, '/camera/image_raw/compressed')
    ros.start('instance_tracker', {'image': '/camera/image_raw'}, model_path=tiny_package,
              image_transport='compressed', **eager)
    ros.connected(publisher, LABELS)
    for second, bad in ((10, False), (11, True), (12, False)):
        message = images.to_compressed(CompressedImage(), scene(second))
        if bad:
            message.data = message.data[:20]
        message.header.stamp.sec = second
        publisher.publish(message)
        ros.spin(0.3)
    ros.until(lambda: [stamp_of(m)[0] for m in ros.received[LABELS]] == [10, 12], 10, '10, 12')
    ros.diagnostics('processing', dropped_bad='1', frames_processed='2')
    assert images.to_labels(ros.received[LABELS][-1]).shape == (120, 160)


@pytest.mark.parametrize(('changes', 'says'), [
    ({'model_path': '/nowhere'}, '/nowhere'), ({'reuse_interval': 99}, 'reuse_interval'),
    ({'image_transport': 'theora'}, 'image_transport'), ({'providers': "['gpu9']"}, 'gpu9'),
    ({'qos_overrides./image.subscription.reliability': 'some'}, '/image cannot be had with'),
    ({'qos_overrides./instance_tracker/labels.publisher.depth': -5},
     '/instance_tracker/labels cannot be had with its qos_overrides')])
def test_a_start_that_cannot_work_says_why_and_ends(ros, tiny_package, changes, says):
    process = ros.start('instance_tracker', **{'model_path': tiny_package, **changes})
    assert process.wait() == 1
    assert says in process.output()
    assert 'Traceback' not in process.output()
