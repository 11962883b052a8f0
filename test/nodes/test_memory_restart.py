# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Memories that outlive the process: saved on request, by themselves, after kill -9."""

import time

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vos_ros.msg')

from memory_probe import mask_message
from memory_probe import MemoryProbe
from memory_probe import NAME
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger
from vos_ros.msg import Track
from vos_ros.srv import LoadMemory
from vos_ros.srv import SaveMemory

BOXES = ([20.0, 40.0, 60.0, 80.0], [100.0, 10.0, 140.0, 50.0])


def mask_of(box):
    mask = np.zeros((120, 160), bool)
    x1, y1, x2, y2 = (int(v) for v in box)
    mask[y1:y2, x1:x2] = True
    return mask_message(mask)


def follow_two(memory, scene):
    memory.show(scene(0), 10)
    reply = memory.add({'mask': mask_of(BOXES[0]), 'name': 'cup', 'id': 4},
                       {'mask': mask_of(BOXES[1]), 'name': 'plate'})
    assert list(reply.added_ids) == [4, 1]


def appears(path, timeout=10.0, newer_than=0):
    end = time.monotonic() + 4 * timeout
    while not path.exists() or path.stat().st_mtime_ns <= newer_than:
        assert time.monotonic() < end, f'{path} was not written'
        time.sleep(0.02)
    return path.stat().st_mtime_ns


def settled(path, seconds=1.0):
    """Wait until nobody wrote to a file for a while; return when it was written last."""
    written, since = path.stat().st_mtime_ns, time.monotonic()
    while time.monotonic() < since + seconds:
        time.sleep(0.05)
        if path.stat().st_mtime_ns != written:
            written, since = path.stat().st_mtime_ns, time.monotonic()
    return written


def test_after_kill_9_the_node_goes_on_with_the_same_objects(ros, xmem_package, scene, tmp_path):
    path = tmp_path / 'deep' / 'memory.safetensors'
    memory = MemoryProbe(ros, xmem_package, memory_path=path, save_period=0.2)
    follow_two(memory, scene)
    written = appears(path)
    time.sleep(0.25)
    before = {}
    for second in range(11, 18):
        before = memory.show(scene(second - 10), second)[1]
    appears(path, newer_than=written)
    # Of all savings until here; the one that is waited for is then the last one.
    written = settled(path)
    memory.show(scene(8), 18)
    appears(path, newer_than=written)
    memory.process.process.kill()
    memory.process.process.wait()
    assert not [file for file in path.parent.iterdir() if file != path]

    memory.start()
    assert 'objects followed: 1, 4' in memory.process.output()
    listed = memory.list()
    assert (list(listed.ids), listed.names) == ([1, 4], ['plate', 'cup'])
    assert listed.memory.working_elements > 0
    _, tracks, _, usage = memory.show(scene(9), 19)
    assert set(tracks) == {1, 4} and usage.objects == 2
    for obj, track in tracks.items():
        assert track.label == before[obj].label
        assert track.age > before[obj].age
        assert track.state in (Track.TRACKED, Track.LOST)
    # Ids of before the restart are not given again.
    assert memory.remove(1).success
    assert memory.add({'mask': mask_of(BOXES[1])}).added_ids[0] == 2


def test_after_ctrl_c_too(ros, xmem_package, scene, tmp_path):
    path = tmp_path / 'memory.safetensors'
    memory = MemoryProbe(ros, xmem_package, memory_path=path, save_period=0.0)
    follow_two(memory, scene)
    written = appears(path)
    memory.show(scene(1), 11)
    assert memory.process.interrupt() == 0
    assert path.stat().st_mtime_ns > written
    memory.start()
    assert list(memory.list().ids) == [1, 4]
    assert memory.remove(everything=True).success
    memory.process.interrupt()
    memory.start()
    assert not memory.list().ids


def test_a_damaged_memory_is_put_aside(ros, xmem_package, scene, tmp_path):
    path = tmp_path / 'memory.safetensors'
    memory = MemoryProbe(ros, xmem_package, memory_path=path)
    follow_two(memory, scene)
    memory.process.interrupt()
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    memory.start()
    assert 'SHA-256 does not match; put aside as memory.safetensors.refused' \
        in memory.process.output()
    assert not memory.list().ids
    assert (tmp_path / 'memory.safetensors.refused').read_bytes() == content


def test_save_and_load_by_service(ros, xmem_package, scene, tmp_path):
    memory = MemoryProbe(ros, xmem_package, memory_directory=tmp_path)
    follow_two(memory, scene)

    def save(name, overwrite=False):
        return memory.call(SaveMemory, 'save_memory', path=name, overwrite=overwrite)

    def load(name):
        return memory.call(LoadMemory, 'load_memory', path=name)

    saved = save('two.safetensors')
    assert saved.success, saved.message
    file = tmp_path / 'two.safetensors'
    assert (saved.path, saved.bytes, list(saved.ids)) == (
        str(file), file.stat().st_size, [1, 4])
    assert 'exists; set overwrite' in save('two.safetensors').message
    assert save('two.safetensors', overwrite=True).success
    for name, words in (
            ('../two.safetensors', 'is not inside the memory_directory'),
            ('/etc/two.safetensors', 'is not inside the memory_directory'),
            ('two.txt', 'does not end in .safetensors'), ('', 'the path is empty')):
        assert words in save(name).message
        assert words in load(name).message

    assert memory.remove(4).success
    assert memory.add({'mask': mask_of(BOXES[0])}).added_ids[0] == 2
    loaded = load('two.safetensors')
    assert loaded.success and list(loaded.ids) == [1, 4]
    _, tracks, _, _ = memory.show(scene(1), 11)
    assert {1, 4} <= set(tracks) and tracks.get(2, Track(state=3)).state == Track.REMOVED

    # What was given between saving and loading is not given again.
    assert memory.add({'mask': mask_of(BOXES[0])}).added_ids[0] == 3
    assert memory.remove(3).success

    assert 'no saved memory' in load('none.safetensors').message
    (tmp_path / 'bad.safetensors').write_bytes(b'nothing')
    refused = load('bad.safetensors')
    assert not refused.success and 'bad.safetensors' in refused.message
    assert (list(refused.ids), refused.names) == ([1, 4], ['plate', 'cup'])


def test_a_memory_loaded_between_two_passes_of_a_bag_is_followed_in_the_second(
        ros, xmem_package, scene, tmp_path):
    memory = MemoryProbe(ros, xmem_package, memory_directory=tmp_path)
    follow_two(memory, scene)
    assert memory.call(SaveMemory, 'save_memory', path='two.safetensors').success
    memory.show(scene(1), 100)
    assert list(memory.call(LoadMemory, 'load_memory', path='two.safetensors').ids) == [1, 4]
    assert set(memory.show(scene(0), 10)[1]) == {1, 4}
    # Nothing asked for: the next pass ends them.
    memory.show(scene(1), 100)
    states = {obj: track.state for obj, track in memory.show(scene(0), 10)[1].items()}
    assert states == {1: Track.REMOVED, 4: Track.REMOVED}
    # A reset is a beginning too.
    assert memory.call(Trigger, 'reset').success
    assert 'went back by 90' in memory.process.output()


def test_a_memory_of_too_many_objects_is_refused_and_stays(ros, xmem_package, scene, tmp_path):
    memory = MemoryProbe(ros, xmem_package, memory_directory=tmp_path)
    follow_two(memory, scene)
    path = tmp_path / 'two.safetensors'
    assert memory.call(SaveMemory, 'save_memory', path=path.name).success
    content = path.read_bytes()
    assert memory.remove(4).success
    assert ros.call(SetParameters, f'{NAME}/set_parameters', SetParameters.Request(
        parameters=[Parameter('max_objects', value=1).to_parameter_msg()])).results[0].successful
    refused = memory.call(LoadMemory, 'load_memory', path=path.name)
    assert not refused.success
    assert refused.message == f'{path}: holds 2 objects, max_objects is 1'
    assert (list(refused.ids), refused.names) == ([1], ['plate'])
    # At the start too; going on without it would write over it.
    other = ros.start('memory_tracker', {'__node': 'other'}, model_path=xmem_package, threads=1,
                      memory_path=path, max_objects=1)
    assert other.wait() == 1
    ros.processes.remove(other)
    assert 'holds 2 objects, max_objects is 1' in other.output()
    assert [entry.name for entry in tmp_path.iterdir() if path.name in entry.name] == [path.name]
    assert path.read_bytes() == content
