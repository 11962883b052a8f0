# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The memory tracker as a process: what is designated by service comes out as labels and tracks.

The network has random weights: what is tested here is true for any weights.
"""

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vos_ros.msg')

from diagnostic_msgs.msg import DiagnosticStatus
from memory_probe import mask_message
from memory_probe import MemoryProbe
from memory_probe import NAME
from memory_probe import picture_message
from memory_probe import stamp_of
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger
from vos_ros.msg import Track

from vos_ros.nodes import images

HEIGHT, WIDTH = 120, 160


@pytest.fixture
def memory(ros, xmem_package):
    return MemoryProbe(ros, xmem_package, max_objects=4)


def disc(index, height=HEIGHT, width=WIDTH):
    """Give where the disc of the n-th picture of ``scene`` is."""
    rows, columns = np.mgrid[:height, :width]
    return (rows - height // 2) ** 2 + (columns - 30 - 2 * index) ** 2 < 400


def test_every_kind_of_prompt(memory, scene):
    labels, tracks, latency, _ = memory.show(scene(0), 10)
    assert not labels.any() and not tracks and latency.frames_processed == 1
    truth = disc(0)
    box = [8.0, 38.0, 53.0, 83.0]
    square = [100.0, 20.0, 120.0, 20.0, 120.0, 40.0, 100.0, 40.0]
    for prompts, methods in (
            ([{'mask': mask_message(truth), 'name': 'ball'}], ['mask']),
            ([{'mask': mask_message(truth, 'mono16')}], ['mask']),
            ([{'box': box}], ['grabcut']),
            ([{'points': [30.0, 60.0]}], ['grabcut']),
            ([{'box': box, 'points': [30.0, 60.0, 120.0, 10.0], 'point_labels': [1, 0]}],
             ['grabcut']),
            ([{'polygon': square}, {'mask': mask_message(truth)}], ['polygon', 'mask'])):
        reply = memory.add(*prompts)
        assert reply.success, reply.message
        assert reply.methods == methods
        assert stamp_of(reply) == (10, 5) and reply.header.frame_id == 'camera'
        assert list(reply.ids) == list(reply.added_ids)
        given = images.to_labels(reply.labels)
        assert set(np.unique(given)) == {0, *reply.added_ids}
        found = given == reply.added_ids[-1]
        assert (found & truth).sum() / (found | truth).sum() > 0.9
        assert memory.remove(everything=True).success
    assert list(reply.added_ids) == [6, 7]  # no id was given twice


def test_objects_come_and_go_under_lasting_ids(memory, scene):
    memory.show(scene(0), 10)
    assert memory.add({'mask': mask_message(disc(0)), 'name': 'ball', 'id': 5}).added_ids[0] == 5
    listed = memory.list()
    assert (list(listed.ids), listed.names, list(listed.states)) == ([5], ['ball'], [Track.NEW])
    labels, tracks, _, usage = memory.show(scene(1), 11)
    assert set(tracks) == {5} and tracks[5].label == 'ball'
    assert set(np.unique(labels)) <= {0, 5}
    assert tracks[5].area == np.count_nonzero(labels == 5)
    if tracks[5].area:
        assert tracks[5].state == Track.NEW
    assert (usage.objects, memory.list().memory.objects) == (1, 1)
    assert memory.add({'polygon': [100.0, 20.0, 140.0, 20.0, 120.0, 60.0]}).added_ids[0] == 1
    assert list(memory.list().ids) == [1, 5]
    refused = memory.remove(1, 9)
    assert not refused.success and refused.message == 'id 9 is not followed; followed are: 1, 5'
    assert list(refused.ids) == [1, 5]
    assert list(memory.remove(5).ids) == [1]
    _, tracks, _, usage = memory.show(scene(2), 12)
    assert set(tracks) == {1, 5} and tracks[5].state == Track.REMOVED
    assert usage.objects == 1
    _, tracks, _, _ = memory.show(scene(3), 13)
    assert set(tracks) == {1}
    assert memory.ros.call(Trigger, f'{NAME}/reset', Trigger.Request()).success
    _, tracks, _, usage = memory.show(scene(4), 14)
    assert tracks[1].state == Track.REMOVED
    assert (usage.objects, usage.working_elements) == (0, 0)
    assert memory.add({'mask': mask_message(disc(4))}).added_ids[0] == 2
    # What comes and goes between two images is told, too.
    for count, change in (('1', None), ('0', lambda: memory.remove(2)),
                          ('1', lambda: memory.add({'mask': mask_message(disc(4))}))):
        assert change is None or change().success
        memory.ros.diagnostics('processing', objects=count)


def test_a_refused_request_changes_nothing(memory, scene):
    assert memory.add({'box': [1.0, 1.0, 9.0, 9.0]}).message == 'no image has come yet'
    memory.show(scene(0), 10)
    good = {'mask': mask_message(disc(0))}
    assert memory.add({**good, 'id': 7, 'name': 'ball'}).success
    before = memory.list()
    small = mask_message(np.ones((9, 9)))
    empty = mask_message(disc(0) & False)
    colour = images.fill(type(small)(), scene(0), 'rgb8')
    for prompts, second, words in (
            ([], 0, 'the request names no object'),
            ([good, {}], 0, 'object 1: has no mask, box'),
            ([good, {'mask': small}], 0, 'object 1: its mask is 9x9, the image is 160x120'),
            ([good, {'mask': empty, 'name': 'x'}], 0, "object 1 ('x'): its mask is empty"),
            ([good, {'mask': colour}], 0, 'object 1: its mask: image 160x120, encoding'),
            ([{'mask': colour, 'name': 'x'}], 0, "object 0 ('x'): its mask: image 160x120"),
            ([{**good, 'id': 7}], 0, 'object 0: id 7 is followed already'),
            ([{**good, 'id': 70000}], 0, 'object 0: object id 70000 is outside'),
            ([good] * 4, 0, '4 new objects beside 1 followed make 5, max_objects is 4'),
            ([good, {'box': [1.0, 2.0, 3.0]}], 0, 'object 1: its box has 3 numbers'),
            ([{'box': [1.0, 1.0, 161.0, 9.0]}], 0, 'is not inside the image of 160x120'),
            ([{'points': [160.5, 9.0]}], 0, 'outside the image'),
            ([{'track_id': 3}], 0, 'no labels of the instance tracker'),
            ([{'track_id': 3}], 10, 'object 0: track 3 is unknown'),
            ([good], 77, 'no image of stamp 77.000000005 is kept; kept are 1 from 10.000000005')):
        reply = memory.add(*prompts, second=second)
        assert not reply.success
        assert words in reply.message
        assert (list(reply.ids), reply.names) == ([7], ['ball'])
        assert not reply.added_ids and not reply.labels.data
    after = memory.list()
    for listing in (before, after):
        listing.memory.process_rss_bytes = 0
    assert after == before
    _, tracks, _, usage = memory.show(scene(1), 11)
    assert set(tracks) == {7} and usage.objects == 1
    corrected = {'mask': mask_message(disc(1)), 'id': 7, 'name': 'other'}
    assert memory.add(corrected, replace=True).names == ['ball']
    memory.ros.until(lambda: memory.process.output().count("following 7 'ball' (mask)") == 2, 10,
                     'its name in the log')


def test_a_track_of_an_image_of_stamp_zero_is_refused(memory, scene):
    memory.show(scene(0), 0, nanosec=0)
    reply = memory.add({'track_id': 3})
    assert not reply.success and 'the images have stamp zero' in reply.message
    assert memory.add({'box': [8.0, 38.0, 53.0, 83.0]}).methods == ['grabcut']


def test_an_object_is_designated_on_an_older_picture(memory, scene):
    for second in range(10, 16):
        memory.show(scene(second - 10), second)
    reply = memory.add({'mask': mask_message(disc(2))}, second=12)
    assert reply.success, reply.message
    assert stamp_of(reply) == (12, 5)
    assert np.array_equal(images.to_labels(reply.labels) > 0, disc(2))
    assert 'brought forward over 3 images' in memory.process.output()
    # Only the object is new: what was on the pictures before came out once and stays so.
    _, tracks, latency, _ = memory.show(scene(6), 16)
    assert list(tracks) == [1] and latency.frames_processed == 7


def test_pictures_leave_the_ring(memory, scene):
    memory.ros.call(SetParameters, f'{NAME}/set_parameters', SetParameters.Request(
        parameters=[Parameter('ring_frames', value=2).to_parameter_msg()]))
    for second in range(10, 14):
        memory.show(scene(0), second)
    assert 'kept are 2 from 12.000000005 to 13.000000005' in memory.add(
        {'box': [1.0, 1.0, 30.0, 30.0]}, second=11).message
    assert memory.add({'box': [1.0, 1.0, 30.0, 30.0]}, second=12).success


def test_memory_stays_below_its_ceiling(ros, xmem_package, scene):
    memory = MemoryProbe(ros, xmem_package, mem_every=1, working_memory_max_frames=3,
                         working_memory_min_frames=2, num_prototypes=16,
                         long_term_max_elements=64)
    memory.show(scene(0), 10)
    assert memory.add({'mask': mask_message(disc(0))}).success
    most = 0
    for second in range(11, 31):
        usage = memory.show(scene(second % 20), second)[3]
        assert usage.working_elements <= usage.working_max_elements
        assert usage.long_term_elements <= usage.long_term_max_elements == 64
        assert 0 < usage.total_bytes <= usage.total_max_bytes
        most = max(most, usage.long_term_elements)
    assert most >= 48 and usage.consolidations >= 10 and usage.obsolete_removed > 0
    assert usage.process_rss_bytes > usage.total_bytes
    assert 'ceiling of the memories at 160x120' in memory.process.output()
    status, values = ros.diagnostics('processing', objects='1')
    assert status.level == DiagnosticStatus.OK
    assert int(values['memory_bytes']) <= int(values['memory_ceiling_bytes'])


def test_sizes_that_take_turns_are_told_once(ros, xmem_package, scene):
    memory = MemoryProbe(ros, xmem_package, latency_budget_ms=60000.0)
    large = np.kron(scene(0), np.ones((2, 2, 1), np.uint8))

    def told(text):
        return memory.process.output().count(text)

    memory.show(scene(0), 10)
    # One for the size that was taken for granted at the start, one for the first image's.
    ros.until(lambda: told('operating points, starting at') == 2, what='a budget')
    before = [told(text) for text in ('ceiling of the memories at', 'operating points, starting')]
    for second in range(11, 19):
        memory.show((scene(second), large)[second % 2], second)
    ros.spin(1.0)
    assert before == [told(text) for text in ('ceiling of the memories at',
                                              'operating points, starting')]
    assert not told('ceiling of the memories at 320x240')
    # A camera that was set to another size.
    for second in range(19, 22):
        memory.show(large, second)
    ros.until(lambda: told('ceiling of the memories at 320x240') == 1, what='the new size')


def test_bad_pictures_are_dropped_and_counted(memory, scene):
    memory.show(scene(0), 10)
    assert memory.add({'mask': mask_message(disc(0))}).success
    broken = picture_message(scene(1), 11)
    broken.data = broken.data[:100]
    memory.publisher.publish(broken)
    memory.ros.until(lambda: 'truncated' in memory.process.output(), what='first one dropped')
    memory.publisher.publish(picture_message(scene(1)[..., 0], 12, encoding='mono16'))
    memory.ros.diagnostics('processing', dropped_bad='2')
    _, tracks, latency, _ = memory.show(scene(2), 13)
    assert list(tracks) == [1]
    assert latency.dropped_bad == 2
    # A click on the broken picture says what is wrong with it.
    assert 'truncated' in memory.add({'box': [1.0, 1.0, 30.0, 30.0]}, second=11).message
    # A picture of another size goes on under the same id.
    labels, tracks, _, _ = memory.show(scene(3, 90, 200), 14)
    assert labels.shape == (90, 200) and list(tracks) == [1]


def test_parameters_live_and_refused(memory, scene):
    memory.show(scene(0), 10)

    def put(**values):
        return memory.ros.call(SetParameters, f'{NAME}/set_parameters', SetParameters.Request(
            parameters=[Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
        )).results[0]

    assert put(mem_every=3).successful
    assert not put(mem_every=0).successful
    refused = put(working_memory_min_frames=50)
    assert not refused.successful and 'working_memory_max_frames' in refused.reason
    assert not put(memory_path='/elsewhere').successful
    assert 'r=3' in memory.show(scene(1), 11)[2].operating_point
