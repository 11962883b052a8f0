# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A user of the memory tracker: sends pictures, calls its services, reads its topics."""

from builtin_interfaces.msg import Time
import numpy as np
from sensor_msgs.msg import Image
from vos_ros.msg import Latency
from vos_ros.msg import MemoryUsage
from vos_ros.msg import ObjectPrompt
from vos_ros.msg import TrackArray
from vos_ros.srv import AddObjects
from vos_ros.srv import ListObjects
from vos_ros.srv import RemoveObjects

from vos_ros.nodes import images

NAME = '/memory_tracker'
KINDS = {f'{NAME}/labels': Image, f'{NAME}/tracks': TrackArray, f'{NAME}/latency': Latency,
         f'{NAME}/memory': MemoryUsage}


def stamp_of(message):
    return message.header.stamp.sec, message.header.stamp.nanosec


def picture_message(pixels, second, nanosec=5, encoding='rgb8'):
    message = images.fill(Image(), pixels, encoding)
    message.header.stamp = Time(sec=second, nanosec=nanosec)
    message.header.frame_id = 'camera'
    return message


def mask_message(mask, encoding='mono8'):
    kind = np.uint8 if encoding == 'mono8' else np.uint16
    return images.fill(Image(), mask.astype(kind) * 255, encoding)


class MemoryProbe:
    """The node in a process of its own, and everything a user does with it."""

    def __init__(self, ros, package, remaps=None, **parameters):
        self.ros = ros
        for topic, kind in KINDS.items():
            ros.listen(kind, topic)
        self.publisher = ros.publisher(Image, '/image')
        self._package = package
        self._remaps = remaps
        self._parameters = {
            'threads': 1, 'short_side': 0, 'ring_seconds': 60.0,
            # A picture that is lost would be waited for; on a full machine best effort loses some.
            'qos_overrides./image.subscription.reliability': 'reliable', **parameters}
        self.process = None
        self.start()

    def start(self):
        # An earlier process is gone on purpose; after kill -9 its topics are still listed.
        self.ros.processes.clear()
        before = self._publishers()
        self.process = self.ros.start(
            'memory_tracker', self._remaps, model_path=self._package, **self._parameters)
        self.ros.until(lambda: self._publishers() - before, 30, 'the memory tracker')
        # It advertises before it loads what it saved.
        self.ros.until(lambda: 'waiting for images' in self.process.output(), 30, 'its start')
        self.ros.connected(self.publisher, *KINDS)

    def _publishers(self):
        return {bytes(entry.endpoint_gid) for topic in KINDS
                for entry in self.ros.node.get_publishers_info_by_topic(topic)}

    def show(self, pixels, second, **options):
        """Send a picture; return labels (uint16 [H, W]), tracks by id, latency, memory."""
        for topic in KINDS:
            self.ros.received[topic].clear()
        self.publisher.publish(picture_message(pixels, second, **options))
        self.ros.until(lambda: all(self.ros.received[topic] for topic in KINDS), 30,
                       f'results for second {second}')
        labels, tracks, latency, memory = (self.ros.received[topic][-1] for topic in KINDS)
        for message in (labels, tracks, latency, memory):
            assert stamp_of(message)[0] == second
        return (images.to_labels(labels), {row.id: row for row in tracks.tracks}, latency, memory)

    def call(self, kind, name, **fields):
        return self.ros.call(kind, f'{NAME}/{name}', kind.Request(**fields))

    def add(self, *prompts, second=0, nanosec=5, replace=False):
        stamp = Time(sec=second, nanosec=nanosec if second else 0)
        return self.call(AddObjects, 'add_objects', stamp=stamp, replace=replace,
                         objects=[ObjectPrompt(**prompt) for prompt in prompts])

    def remove(self, *ids, everything=False):
        return self.call(RemoveObjects, 'remove_objects', ids=list(ids), all=everything)

    def list(self):
        return self.call(ListObjects, 'list_objects')
