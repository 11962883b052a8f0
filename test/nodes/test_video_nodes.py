# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Video source and overlay as processes: every kind of source, and the whole chain to a file."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vos_ros.msg')

from rclpy.qos import DurabilityPolicy
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import Empty
from std_msgs.msg import Header
from vos_ros.msg import TrackArray

from vos_ros.nodes import images
from vos_ros.nodes.sources import open_source


def play(ros, count, **parameters):
    """Play a source to its end; return the process and the images that came."""
    ros.listen(Image, '/image')
    ros.listen(CameraInfo, '/camera_info')
    ros.listen(Empty, '/video_source/finished', depth=1,
               durability=DurabilityPolicy.TRANSIENT_LOCAL)
    process = ros.start('video_source', **parameters)
    ros.until(lambda: ros.received['/video_source/finished'], 20, 'the end')
    ros.until(lambda: len(ros.received['/image']) >= count, 5, f'{count} images')
    assert process.wait() == 0
    assert 'Traceback' not in process.output()
    return process, ros.received['/image']


def seconds(message):
    return message.header.stamp.sec + message.header.stamp.nanosec / 1e9


@pytest.fixture
def video(tmp_path, scene):
    path = tmp_path / 'video.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 20.0, (160, 120))
    for index in range(12):
        writer.write(cv2.cvtColor(scene(index), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def test_video_file_with_its_own_stamps_and_rate(ros, video, scene):
    _, got = play(ros, 12, source=video, stamps='file', frame_id='eye', encoding='rgb8')
    assert len(got) == 12
    np.testing.assert_allclose(np.diff([seconds(m) for m in got]), 0.05, atol=1e-6)
    assert {(m.header.frame_id, m.encoding) for m in got} == {('eye', 'rgb8')}
    for index, message in enumerate(got):
        assert np.abs(images.to_rgb(message).astype(int) - scene(index)).mean() < 6
    ros.until(lambda: ros.received['/camera_info'], 5, 'camera_info')
    info = ros.received['/camera_info'][0]
    assert (info.width, info.height) == (160, 120)
    assert info.header == got[0].header


def test_folder_loop_limit_and_compressed(ros, tmp_path, scene):
    folder = tmp_path / 'pictures'
    folder.mkdir()
    for index in range(3):
        cv2.imwrite(str(folder / f'{index:03}.png'), cv2.cvtColor(scene(5 * index),
                                                                  cv2.COLOR_RGB2BGR))
    ros.listen(CompressedImage, '/image/compressed')
    _, got = play(ros, 5, source=folder, loop=True, max_frames=5, rate=20.0, compressed=True,
                  min_subscribers=2)
    assert len(got) == 5
    for index, message in enumerate(got):
        np.testing.assert_array_equal(images.to_rgb(message), scene(5 * (index % 3)))
    packed = ros.received['/image/compressed']
    ros.until(lambda: len(packed) == 5, 5, 'the last compressed image')
    assert [m.header.stamp for m in packed] == [m.header.stamp for m in got]
    assert np.abs(images.from_compressed(packed[1]).astype(int) - scene(5)).mean() < 4


def test_compressed_images_follow_the_remapping_of_images(ros):
    ros.listen(CompressedImage, '/cam/image_raw/compressed')
    process = ros.start('video_source', {'image': '/cam/image_raw'}, source='pattern', width=64,
                        max_frames=4, compressed=True, min_subscribers=1)
    ros.until(lambda: len(ros.received['/cam/image_raw/compressed']) == 4, 20)
    assert process.wait() == 0


def test_lockstep_waits_for_each_of_two_images_with_one_stamp(ros, tmp_path, scene):
    cv2.imwrite(str(tmp_path / '1.png'), scene(0))
    ros.listen(Image, '/image')
    consumed = ros.publisher(Header, '/consumed')
    ros.start('video_source', source=tmp_path, loop=True, max_frames=3, stamps='file',
              lockstep='header', min_subscribers=1, lockstep_timeout=60.0)
    for count in (1, 2, 3):
        ros.until(lambda count=count: len(ros.received['/image']) >= count, 20)
        ros.spin(0.3)
        assert len(ros.received['/image']) == count, 'it did not wait'
        consumed.publish(ros.received['/image'][-1].header)


def test_pattern_at_a_rate_and_size(ros):
    _, got = play(ros, 10, source='pattern', rate=25.0, max_frames=10, width=320, height=180)
    assert len(got) == 10
    assert {(m.width, m.height, m.step, m.encoding) for m in got} == {(320, 180, 960, 'bgr8')}
    # 9 gaps of 40 ms; a busy machine may delay one image but not the mean.
    assert 0.3 < seconds(got[-1]) - seconds(got[0]) < 0.9


@pytest.mark.parametrize('packed', [False, True])
def test_bag(ros, tmp_path, scene, packed):
    write_bag(tmp_path / 'bag', [scene(index) for index in range(6)], packed)
    file = next((tmp_path / 'bag').glob('*.mcap'))
    _, got = play(ros, 6, source=file if packed else tmp_path / 'bag', stamps='file')
    # To the nanosecond, or other topics of the bag could not be matched.
    assert [(m.header.stamp.sec, m.header.stamp.nanosec) for m in got] == [
        (1_759_000_000, 123_456_789 + 10 ** 8 * n) for n in range(6)]
    tolerance = 4 if packed else 0
    assert np.abs(images.to_rgb(got[3]).astype(int) - scene(3)).mean() <= tolerance


def write_bag(folder, pictures, packed):
    pytest.importorskip('rosbags')
    from rosbags.rosbag2 import StoragePlugin
    from rosbags.rosbag2 import Writer
    from rosbags.typesys import get_typestore
    from rosbags.typesys import Stores
    store = get_typestore(Stores.ROS2_HUMBLE)
    kinds = store.types
    header = kinds['std_msgs/msg/Header']
    stamp = kinds['builtin_interfaces/msg/Time']
    name = 'sensor_msgs/msg/CompressedImage' if packed else 'sensor_msgs/msg/Image'
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        other = writer.add_connection('/chatter', 'std_msgs/msg/String', typestore=store)
        connection = writer.add_connection('/cam', name, typestore=store)
        text = kinds['std_msgs/msg/String'](data='hello')
        writer.write(other, 1, store.serialize_cdr(text, 'std_msgs/msg/String'))
        for index, picture in enumerate(pictures):
            nanoseconds = 1_759_000_000_123_456_789 + index * 10 ** 8
            head = header(stamp=stamp(sec=nanoseconds // 10 ** 9, nanosec=nanoseconds % 10 ** 9),
                          frame_id='cam')
            if packed:
                data = cv2.imencode('.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
                message = kinds[name](header=head, format='jpeg', data=data.reshape(-1))
            else:
                message = kinds[name](
                    header=head, height=120, width=160, encoding='rgb8', is_bigendian=0, step=480,
                    data=picture.reshape(-1))
            writer.write(connection, nanoseconds, store.serialize_cdr(message, name))


@pytest.mark.parametrize(('make', 'says'), [
    (lambda folder: folder / 'nothing.mp4', 'no such file'),
    (lambda folder: folder, 'holds no picture'),
    (lambda folder: (folder / 'text.mp4').write_text('no video') and folder / 'text.mp4',
     'cannot be opened as video')])
def test_sources_that_cannot_be_read_are_named(ros, tmp_path, make, says):
    folder = tmp_path / 'empty'
    folder.mkdir()
    process = ros.start('video_source', source=make(folder))
    assert process.wait() == 1
    assert says in process.output()
    assert str(folder) in process.output()
    assert 'Traceback' not in process.output()


def test_bag_without_images_names_its_topics(tmp_path):
    write_bag(tmp_path / 'bag', [], packed=False)
    with pytest.raises(ValueError, match='/chatter'):
        open_source(str(tmp_path / 'bag'))


def test_chain_from_video_to_overlay_file_loses_nothing(
        ros, video, tiny_package, eager, tmp_path):
    out = tmp_path / 'out'
    overlay = ros.start(
        'overlay', {name: f'/instance_tracker/{name}' for name in ('tracks', 'labels', 'latency')}
        | {'finished': '/video_source/finished'},
        output=out / 'overlay.mp4', contact_sheet=out / 'sheet.png', summary=out / 'summary.json')
    tracker = ros.start('instance_tracker', model_path=tiny_package, **eager)
    # The source waits for those who hear images; that they hear each other it cannot see.
    ros.until(lambda: all(
        ros.node.count_publishers(topic) and ros.node.count_subscribers(topic)
        for topic in ('/instance_tracker/labels', '/instance_tracker/tracks')), 20)
    ros.spin(0.5)
    source = ros.start('video_source', {'consumed': '/overlay/written'}, source=video,
                       lockstep='header', min_subscribers=2)
    assert source.wait(40) == 0
    assert overlay.wait(20) == 0
    assert tracker.interrupt() == 0
    summary = json.loads((out / 'summary.json').read_text())
    assert summary == json.loads(overlay.output().splitlines()[-1])
    assert summary['images_in'] == summary['pictures'] == summary['frames_processed'] == 12
    assert summary['dropped_busy'] == summary['lost_transport'] == summary['not_matched'] == 0
    assert summary['tracks'] > 0
    for stage in ('decode', 'network', 'publish', 'pipeline'):
        assert 0 < summary[f'{stage}_p50_ms'] <= summary[f'{stage}_p95_ms']
    assert 'was not consumed' not in source.output()
    capture = cv2.VideoCapture(str(out / 'overlay.mp4'))
    pictures = []
    while (read := capture.read())[0]:
        pictures.append(read[1])
    assert len(pictures) == 12
    assert pictures[0].shape == (120, 160, 3)
    plain = cv2.VideoCapture(str(video)).read()[1]
    assert (np.abs(pictures[0].astype(int) - plain) > 40).any(2).mean() > 0.005, 'nothing drawn'
    sheet = cv2.imread(str(out / 'sheet.png'))
    assert sheet.shape == (3 * 360, 4 * 480, 3)


def test_overlay_says_its_summary_also_where_it_cannot_be_written(ros, tmp_path):
    (tmp_path / 'file').write_text('no folder')
    overlay = ros.start('overlay', summary=tmp_path / 'file' / 's.json')
    ros.until(lambda: ros.node.count_publishers('/overlay/written'), 15, 'the overlay node')
    assert overlay.interrupt() == 0
    text = overlay.output()
    assert '"pictures": 0' in text and 'summary not written' in text
    assert 'Traceback' not in text


def test_overlay_interrupted_still_writes_what_it_has(ros, tmp_path):
    overlay = ros.start('overlay', output=tmp_path / 'none.mp4', summary=tmp_path / 's.json')
    ros.until(lambda: ros.node.count_publishers('/overlay/written'), 15, 'the overlay node')
    assert overlay.interrupt() == 0
    assert json.loads((tmp_path / 's.json').read_text())['pictures'] == 0
    assert not (tmp_path / 'none.mp4').exists()


def test_overlay_says_what_it_lacks_and_waits_for_a_slow_tracker(ros, tmp_path):
    written = '/overlay/written'
    ros.listen(Header, written)
    pictures = ros.publisher(Image, '/image', depth=200)
    tracks = ros.publisher(TrackArray, '/tracks', depth=200)
    wrong = ros.publisher(Header, '/labels')
    overlay = ros.start('overlay', output=tmp_path / 'slow.mp4')

    def send(publisher, second, message=None):
        message = message or TrackArray()
        message.header.stamp.sec = second
        publisher.publish(message)

    def picture(second):
        send(pictures, second, images.fill(Image(), np.zeros((32, 48, 3), np.uint8), 'rgb8'))

    ros.connected(pictures, written)
    ros.until(lambda: 'no picture for' in overlay.output())
    said = [line for line in overlay.output().splitlines() if 'no picture for' in line]
    assert len(said) == 1 and '[WARN]' in said[0]
    assert 'no image on /image, which has a publisher' in said[0]
    assert 'no labels on /labels, published as std_msgs/msg/Header, not as sensor_msgs' in said[0]
    assert 'no tracks on /tracks, which has a publisher' in said[0]
    ros.node.destroy_publisher(wrong)

    # A hundred images are ahead of their results.
    for second in range(1, 101):
        picture(second)
        ros.spin(0.02)
    ros.until(lambda: 'no labels on /labels (sensor_msgs/msg/Image), which has no publisher; no '
              'tracks' in overlay.output())
    labels = ros.publisher(Image, '/labels')
    ros.connected(labels)
    ros.until(lambda: tracks.get_subscription_count())
    for count, second in enumerate((1, 50, 100), 1):
        send(labels, second, images.fill(Image(), np.zeros((32, 48), np.uint16), 'mono16'))
        send(tracks, second)
        ros.until(lambda count=count: len(ros.received[written]) == count, what='a picture')
    assert overlay.interrupt() == 0
    assert json.loads(overlay.output().splitlines()[-1])['pictures'] == 3


@pytest.mark.parametrize(('node', 'topic', 'others', 'kind', 'parameters'), [
    ('overlay', '/labels', ['/tracks', '/latency'], 'subscription', {}),
    ('video_source', '/image', ['/image/compressed', '/camera_info'], 'publisher',
     {'source': 'pattern', 'compressed': True})])
def test_an_override_is_of_its_topic_alone(ros, node, topic, others, kind, parameters):
    ros.start(node, **parameters, **{f'qos_overrides.{topic}.{kind}.reliability': 'best_effort'})
    ask = ros.node.get_publishers_info_by_topic if kind == 'publisher' \
        else ros.node.get_subscriptions_info_by_topic
    ros.until(lambda: all(ask(name) for name in [topic, *others]), 20, 'the topics')
    assert [[end.qos_profile.reliability.name for end in ask(name)]
            for name in [topic, *others]] == [['BEST_EFFORT'], ['RELIABLE'], ['RELIABLE']]


@pytest.mark.parametrize(('node', 'says', 'parameters'), [
    ('overlay', '/labels cannot be had with its qos_overrides',
     {'qos_overrides./labels.subscription.depth': -5}),
    ('video_source', '/image/compressed cannot be had with its qos_overrides',
     {'source': 'pattern', 'compressed': True,
      'qos_overrides./image/compressed.publisher.depth': -5})])
def test_overrides_that_cannot_be_are_told_in_a_line(ros, node, says, parameters):
    process = ros.start(node, **parameters)
    assert process.wait() == 1
    assert says in process.output() and 'Traceback' not in process.output()
