# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A tracker that gets no images says why, once, and says when it is well again."""

import itertools

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vos_ros.msg')

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import String

from vos_ros.nodes import images
from vos_ros.nodes.counters import FrameCounters
from vos_ros.nodes.image_input import ImageInput

TIMEOUT = {'image_timeout': 0.5}


def warnings(process, text):
    return sum('[WARN]' in line and text in line for line in process.output().splitlines())


def test_no_publisher_then_other_type_then_silent_then_well(ros, tiny_package, eager, scene):
    elsewhere = ros.publisher(Image, '/front/image_rect')
    process = ros.start('instance_tracker', model_path=tiny_package, **eager, **TIMEOUT)
    status, _ = ros.diagnostics('input', state='no publisher')
    assert status.level == DiagnosticStatus.WARN
    assert 'no publisher on /image (sensor_msgs/msg/Image)' in status.message
    ros.spin(1.5)
    status, _ = ros.diagnostics('input', state='no publisher')
    assert '/front/image_rect' in status.message, 'the topic that was probably meant'
    assert warnings(process, 'no publisher on /image') == 1, 'told once, not every second'

    wrong = ros.publisher(String, '/image')
    status, _ = ros.diagnostics('input', state='other type')
    assert 'std_msgs/msg/String' in status.message
    ros.node.destroy_publisher(wrong)

    wrong = ros.publisher(CompressedImage, '/image')
    ros.until(lambda: 'compressed' in ros.diagnostics('input', state='other type')[0].message)
    ros.node.destroy_publisher(wrong)

    publisher = ros.publisher(Image, '/image')
    status, _ = ros.diagnostics('input', state='silent')
    assert 'has a publisher' in status.message
    assert 'lost' not in status.message, 'with the profile for images nothing is lost'
    message = images.fill(Image(), scene(1), 'rgb8')
    message.header.stamp.sec = 9
    ros.node.create_timer(0.1, lambda: publisher.publish(message))
    ros.until(lambda: 'input is well again' in process.output(), 10, 'recovery')
    status, values = ros.diagnostics('input', state='ok')
    assert status.level == DiagnosticStatus.OK
    assert int(values['frames_in']) > 0
    assert elsewhere


def test_a_camera_that_has_just_come_is_given_time(ros, tiny_package, eager, scene):
    process = ros.start('instance_tracker', model_path=tiny_package, **eager, image_timeout=2.5)
    ros.diagnostics('input', state='no publisher')
    publisher = ros.publisher(Image, '/image')
    status, _ = ros.diagnostics('input', state='waiting')
    assert 'waiting for its images' in status.message
    message = images.fill(Image(), scene(1), 'rgb8')
    message.header.stamp.sec = 9
    ros.connected(publisher)
    publisher.publish(message)
    ros.diagnostics('input', state='ok')
    assert not warnings(process, 'has a publisher')
    # It stops.
    ros.diagnostics('input', state='silent')
    assert warnings(process, 'has a publisher') == 1


def test_simulated_time_may_stand_still_or_go_back(ros, tiny_package, eager):
    clock = ros.publisher(Clock, '/clock')
    process = ros.start('instance_tracker', model_path=tiny_package, use_sim_time=True, **eager,
                        **TIMEOUT)
    ros.diagnostics('input', state='no publisher')
    ros.connected(clock)
    for second in (100, 101, 102, 50, 51, 3, 4):
        clock.publish(Clock(clock=Time(sec=second)))
        ros.spin(0.1)
    ros.diagnostics('input', state='no publisher')
    assert process.process.poll() is None
    assert process.interrupt() == 0


@pytest.mark.parametrize(('simulated', 'text'), [
    (True, 'use_sim_time is true, but nothing came on /clock'),
    (False, "s ahead of this node's clock: they are processed")])
def test_stamps_ahead_of_the_clock_are_told(
        ros, tiny_package, eager, scene, simulated, text):
    publisher = ros.publisher(Image, '/image')
    process = ros.start('instance_tracker', model_path=tiny_package, use_sim_time=simulated,
                        **eager)
    ros.connected(publisher)
    message = images.fill(Image(), scene(1), 'rgb8')

    def send():
        message.header.stamp = ros.node.get_clock().now().to_msg()
        message.header.stamp.sec += ahead
        publisher.publish(message)

    ahead = 0 if simulated else 60
    ros.node.create_timer(0.1, send)
    status, _ = ros.diagnostics('input', state='future stamps')
    assert status.level == DiagnosticStatus.WARN and text in status.message
    assert warnings(process, text) == 1
    if not simulated:
        # The camera's clock is set; the images before it are of a time to come.
        ahead = 0
        ros.diagnostics('input', state='ok')


def test_a_good_share_of_bad_images_is_told_all_the_time(ros, tiny_package, eager, scene):
    publisher = ros.publisher(Image, '/image')
    ros.start('instance_tracker', model_path=tiny_package, **eager)
    ros.connected(publisher)
    good, bad = (images.fill(Image(), scene(1), 'rgb8') for _ in range(2))
    bad.encoding = 'no_such'
    turn = itertools.cycle([good, bad])

    def send():
        message = next(turn)
        message.header.stamp = ros.node.get_clock().now().to_msg()
        publisher.publish(message)

    ros.node.create_timer(0.1, send)
    seen = set()
    ros.until(lambda: 'no_such' in ros.diagnostics('processing')[0].message, 10, 'told')
    for _ in range(4):
        status, values = ros.diagnostics('processing')
        seen.add(status.level)
    assert seen == {DiagnosticStatus.WARN} and 'no_such' in status.message
    assert int(values['frames_processed']) > 10 and int(values['dropped_bad']) > 10


def test_images_of_other_trackers_are_not_proposed(ros, tiny_package, eager):
    ros.start('instance_tracker', {'image': '/front', '__node': 'first'}, model_path=tiny_package,
              **eager, **TIMEOUT)
    ros.until(lambda: ros.node.count_publishers('/first/labels'), what='the other tracker')
    ros.start('instance_tracker', model_path=tiny_package, **eager, **TIMEOUT)

    def told():
        while True:
            status, values = ros.diagnostics('input', state='no publisher')
            if values['topic'] == '/image':
                return status.message

    ros.until(lambda: 'no camera publishes sensor_msgs/msg/Image' in told())
    camera = ros.publisher(Image, '/side/image_rect')
    # One that shares its topic with a tracker is still a camera.
    shared = ros.publisher(Image, '/first/overlay')
    ros.until(lambda: 'published on /first/overlay, /side/image_rect: remap' in told())
    assert camera and shared


@pytest.mark.parametrize(('topic', 'advice'), [
    ('/side/image/compressed', 'remap image to /side/image'),
    ('/side/jpeg', 'remap image/compressed to /side/jpeg')])
def test_advice_for_compressed_images_can_be_followed(ros, tiny_package, eager, topic, advice):
    camera = ros.publisher(CompressedImage, topic)
    ros.start('instance_tracker', model_path=tiny_package, image_transport='compressed', **eager,
              **TIMEOUT)

    def told():
        status, _ = ros.diagnostics('input', state='no publisher')
        return status.message

    ros.until(lambda: f'published on {topic}: {advice}' in told())
    remapped = {'image': '/side/image'} if 'image to' in advice \
        else {'image/compressed': topic}
    ros.start('instance_tracker', {**remapped, '__node': 'second'}, model_path=tiny_package,
              image_transport='compressed', **eager, **TIMEOUT)
    ros.until(lambda: ros.node.count_subscribers(topic) == 1)
    assert camera


def test_incompatible_qos_is_named(ros, tiny_package, eager):
    publisher = ros.publisher(Image, '/camera/image', reliability=ReliabilityPolicy.BEST_EFFORT)
    process = ros.start(
        'instance_tracker', {'image': '/camera/image'}, model_path=tiny_package, **eager,
        **TIMEOUT, **{'qos_overrides./camera/image.subscription.reliability': 'reliable'})
    status, _ = ros.diagnostics('input', state='incompatible QoS')
    assert status.level == DiagnosticStatus.WARN
    assert '/camera/image' in status.message
    assert 'reliab' in status.message.lower()
    ros.spin(1.5)
    assert warnings(process, 'no publisher on /camera/image has a QoS') == 1
    assert publisher


# Late keyframes fail when their frame's result is out already: nothing is dropped, but it counts.
@pytest.mark.parametrize(('late', 'dropped', 'processed'), [(False, '3', '2'), (True, '0', '5')])
def test_failing_inference_is_counted_and_ends_the_node_for_a_respawn(
        ros, tiny_package, eager, scene, tmp_path, late, dropped, processed):
    package = fragile(tiny_package, tmp_path / 'fragile')
    publisher = ros.publisher(Image, '/image')
    process = ros.start('instance_tracker', model_path=package, max_failures=3,
                        late_keyframes=late, **{**eager, 'reuse_interval': 1})
    ros.connected(publisher, '/instance_tracker/labels')

    def send(pixels, second):
        message = images.fill(Image(), pixels, 'rgb8')
        message.header.stamp.sec = second
        publisher.publish(message)
        ros.spin(0.2)

    dark = scene(1) // 4
    bright = dark + 150
    for second, pixels in enumerate((dark, bright, bright, dark, bright), 10):
        send(pixels, second)
    ros.diagnostics('processing', dropped_failed=dropped, frames_processed=processed)
    assert process.process.poll() is None, 'three failures, but not in a row'
    send(bright, 20)
    send(bright, 21)
    assert process.wait() == 1
    assert '3 images in a row failed' in process.output()


def fragile(package, folder):
    """Return a copy of a package whose key graph fails in onnxruntime on bright images.

    Gather of an index beyond its 60 entries is an error at run time, not at load.
    """
    onnx = pytest.importorskip('onnx')
    import numpy as np
    from onnx import helper
    from onnx import numpy_helper

    from vos_ros.runtime.package import load_package
    from vos_ros.runtime.package import write_package
    source = load_package(package)
    model = onnx.load(source.graphs['key'])
    graph = model.graph
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name == 'logits':
                node.output[index] = 'logits_before'
        for index, name in enumerate(node.input):
            if name == 'logits':
                node.input[index] = 'logits_before'
    graph.initializer.extend([
        numpy_helper.from_array(np.zeros(60, np.float32), 'brightness_table'),
        numpy_helper.from_array(np.array([-1], np.int64), 'everything')])
    graph.node.extend([
        helper.make_node('Cast', ['image'], ['image_int'], to=onnx.TensorProto.INT64),
        helper.make_node('Reshape', ['image_int', 'everything'], ['flat']),
        helper.make_node('ReduceMin', ['flat'], ['darkest'], keepdims=0),
        helper.make_node('Gather', ['brightness_table', 'darkest'], ['nothing'], axis=0),
        helper.make_node('Add', ['logits_before', 'nothing'], ['logits'])])
    folder.mkdir()
    onnx.save(model, folder / 'key.onnx')
    write_package(
        folder, kind='mobileinst', name='fragile', licence='Apache-2.0',
        input_size=source.input_size, classes=source.classes,
        graphs={'key': folder / 'key.onnx', 'reuse': source.graphs['reuse']},
        network=dict(source.network), training_data='none')
    return folder


@pytest.mark.parametrize('ros', ['default transport'], indirect=True)
def test_images_lost_on_the_way_are_counted_and_the_cure_is_named(
        ros, tiny_package, eager, tmp_path):
    """The default shared memory of Fast DDS cannot hold the large images: most never arrive."""
    # On some machines none of them does, and then nothing tells of a loss but the small ones.
    large, small = np.zeros((1080, 1920, 3), np.uint8), np.zeros((120, 160, 3), np.uint8)
    folder = tmp_path / 'pictures'
    folder.mkdir()
    for index in range(30):
        cv2.imwrite(str(folder / f'{index}.png'), large if index % 5 else small)
    ros.start('instance_tracker', model_path=tiny_package, **eager)
    # A process of its own: this one may have read the profile before.
    ros.start('video_source', source=str(folder), loop=True)
    found = []

    def lossy():
        found.append(ros.diagnostics('input'))
        return found[-1][1]['state'] == 'lossy'

    ros.until(lossy, 20, 'the state lossy')
    status, values = found[-1]
    assert status.level == DiagnosticStatus.WARN
    assert 'DEFAULT_PROFILES_FILE=' in status.message
    assert int(values['lost_transport']) > 2


@pytest.mark.parametrize('ros', ['default transport'], indirect=True)
def test_where_nothing_comes_at_all_the_cure_for_lost_images_is_named(ros, tiny_package, eager):
    publisher = ros.publisher(Image, '/image')
    ros.start('instance_tracker', model_path=tiny_package, **eager, **TIMEOUT)
    status, _ = ros.diagnostics('input', state='silent')
    assert 'has a publisher' in status.message
    assert 'lost on the way' in status.message
    assert 'DEFAULT_PROFILES_FILE=' in status.message
    ros.node.destroy_publisher(publisher)


def test_another_publisher_invents_no_losses(ros):
    counters = FrameCounters()
    source = ImageInput(ros.node, 'raw', counters, lambda _arrival: None, print, depth=50)
    first = ros.publisher(Image, '/image', depth=50)
    ros.connected(first)
    message = images.fill(Image(), np.zeros((4, 4, 3), np.uint8), 'rgb8')

    def send(*publishers):
        before = counters.frames_in
        for publisher in publishers:
            publisher.publish(message)
        ros.until(lambda: counters.frames_in == before + len(publishers), what='images')

    for _ in range(3):
        send(*[first] * 20)
        source.state(1.0)
    assert counters.lost_transport == 0
    second = ros.publisher(Image, '/image', depth=50)
    ros.connected(second)
    # Their numbers interleave, 1, 61, 2, 62 and so on, before the graph was looked at again.
    for _ in range(5):
        send(second)
        send(first)
    source.state(1.0)
    for _ in range(5):
        send(second)
        send(first)
    ros.node.destroy_publisher(second)
    ros.until(lambda: ros.node.count_publishers('/image') == 1)
    for _ in range(2):
        send(first)
        assert source.state(1.0).kind != 'lossy'
    assert counters.lost_transport == 0
    source._gaps._last -= 7
    send(first)
    assert source.state(1.0).kind == 'lossy' and counters.lost_transport == 7
    assert source.stop()
