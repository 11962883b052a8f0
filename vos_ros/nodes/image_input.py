# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The image subscription, what it lost, and why it is silent when it is."""

from collections.abc import Callable
from dataclasses import dataclass
import time
from typing import Any

from rclpy.node import Node
from rclpy.qos import HistoryPolicy
from rclpy.qos import qos_check_compatible
from rclpy.qos import QoSCompatibility
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

from vos_ros.nodes.cdr import CdrError
from vos_ros.nodes.cdr import make_reader
from vos_ros.nodes.counters import FrameCounters
from vos_ros.nodes.counters import SequenceGaps
from vos_ros.nodes.overridable import overridable
from vos_ros.nodes.taker import no_events
from vos_ros.nodes.taker import Taker
from vos_ros.nodes.transport import transport_hint

# Told as a fault when more than this share of the images is lost in transport.
_LOSSY = 0.1
# Only trackers publish it.
_LATENCY = 'vos_ros/msg/Latency'
_TYPES = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}


@dataclass
class Arrival:
    """An image message as it came.

    message: RawImage or RawCompressedImage, read in place (see cdr.py).
    receive_ms: from the middleware having it until the callback had it as a Python object, NaN
    when the middleware does not tell.
    arrived: time.perf_counter() then.
    """

    message: Any
    receive_ms: float
    arrived: float


@dataclass(frozen=True)
class InputState:
    """What /diagnostics and the log say of the input; kind names the case, 'ok' is one."""

    kind: str
    text: str


class ImageInput:
    """Subscribes `image` raw or compressed, counts losses, explains silence.

    topic: the resolved name.  Best effort, keep last 1, so that it hears every publisher and
    holds at most one image back; all of it can be overridden by qos_overrides parameters.
    """

    def __init__(
            self, node: Node, transport: str, counters: FrameCounters,
            arrived: Callable[[Arrival], None], died: Callable[[BaseException], None],
            depth: int = 1) -> None:
        """Subscribe; raise ValueError for qos_overrides that cannot be.

        arrived: called for every image, on a thread of its own.  died: called with the exception
        that ended that thread, if one did.
        """
        self._node = node
        self._counters = counters
        self._arrived = arrived
        self._gaps = SequenceGaps()
        self._publishers: set[bytes] = set()
        # Messages missing by their numbers: so many in all, and so many that were judged.
        self._missing = self._judged = 0
        self._came = self._lost = 0
        self._last = self._changed = time.monotonic()
        self.zero_stamps = 0
        self.topic = node.resolve_topic_name('image')
        if transport == 'compressed':
            self.topic = node.resolve_topic_name(self.topic + '/compressed')
        self.type_name = f'sensor_msgs/msg/{"Image" if transport == "raw" else "CompressedImage"}'
        self._read = make_reader(self.type_name)
        profile = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=depth,
            reliability=ReliabilityPolicy.BEST_EFFORT)
        with overridable(node, self.topic) as options:
            self._subscription = node.create_subscription(
                _TYPES[self.type_name], self.topic, self._not_here, profile, raw=True,
                event_callbacks=no_events(), qos_overriding_options=options)
        self._profile = _effective(node, self._subscription.topic_name, profile)
        self._taker = Taker(node, self._subscription, self._on_image, died)

    def stop(self) -> bool:
        """Take no more images; return False when the thread does not end."""
        return self._taker.stop()

    def seconds_silent(self) -> float:
        """Return the seconds since the last image, or since the start."""
        return time.monotonic() - self._last

    def state(self, timeout: float) -> InputState:
        """Return what is wrong with the input, looking at the graph; called once a second."""
        # Taken before the look at the graph, which then knows all whose images are counted here.
        so_far = self._missing
        missing, self._judged = so_far - self._judged, so_far
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        before, self._publishers = self._publishers, {
            bytes(entry.endpoint_gid) for entry in publishers}
        if self._publishers != before:
            self._changed = time.monotonic()
            self._gaps.restart()
        # With several publishers the numbers interleave and tell nothing.
        elif len(publishers) == 1:
            self._counters.lost_transport += missing
        if self.seconds_silent() < timeout:
            lost, self._lost = self._counters.lost_transport - self._lost, \
                self._counters.lost_transport
            came, self._came = self._counters.frames_in - self._came, self._counters.frames_in
            if lost > max(2, came * _LOSSY):
                return InputState('lossy', (
                    f'{lost} of {lost + came} images on {self.topic} were lost on the way in the '
                    'last second or, on a busy processor, replaced before this node could take '
                    f'them{transport_hint()}'))
            if self.zero_stamps:
                return InputState('zero stamps', (
                    f'images on {self.topic} have stamp 0: they are processed, but latency cannot '
                    'be told and other nodes cannot match the results by time'))
            return InputState('ok', f'images on {self.topic}')
        if not publishers:
            return InputState('no publisher', (
                f'no publisher on {self.topic} ({self.type_name}); {self._elsewhere()}'))
        fitting = [entry for entry in publishers if entry.topic_type == self.type_name]
        if not fitting:
            types = ', '.join(sorted({entry.topic_type for entry in publishers}))
            return InputState('other type', (
                f'{self.topic} is published as {types}, this node needs {self.type_name}'
                + self._transport_hint(types)))
        reasons = []
        for entry in fitting:
            compatible, reason = qos_check_compatible(entry.qos_profile, self._profile)
            if compatible != QoSCompatibility.ERROR:
                if time.monotonic() - self._changed < timeout:
                    return InputState('waiting', (
                        f'{self.topic} has a publisher, {_full_name(entry)}: waiting for its '
                        'images'))
                return InputState('silent', (
                    f'{self.topic} has a publisher, {_full_name(entry)}, but no image came for '
                    f'{self.seconds_silent():.0f} s{_all_lost()}'))
            reasons.append(f'{_full_name(entry)}: {reason}')
        return InputState('incompatible QoS', (
            f'no publisher on {self.topic} has a QoS that this subscription can hear: '
            + '; '.join(reasons)))

    @staticmethod
    def _not_here(_data: bytes) -> None:
        raise AssertionError('an executor took an image')

    def _on_image(self, data: bytes, info: Any) -> None:
        received = info.get('received_timestamp') or 0
        self._missing += self._gaps.missed(info.get('publication_sequence_number'))
        self._last = time.monotonic()
        self._counters.frames_in += 1
        try:
            message = self._read(data)
        except CdrError as error:
            self._counters.dropped_garbled += 1
            self._counters.unreadable(error)
            self._node.get_logger().error(f'message dropped: {error}', throttle_duration_sec=2.0)
            return
        stamp = message.header.stamp
        self.zero_stamps = 0 if stamp.sec or stamp.nanosec else self.zero_stamps + 1
        receive_ms = (time.time_ns() - received) / 1e6 if received else float('nan')
        self._arrived(Arrival(message, receive_ms, time.perf_counter()))

    def _elsewhere(self) -> str:
        """Name the topics on which images are published, for one of them is often meant.

        What trackers publish, this node and others, is left out: it looks like a camera's topic.
        """
        topics = self._node.get_topic_names_and_types()
        trackers = {maker for name, types in topics if _LATENCY in types
                    for maker in self._makers(name)}
        others = sorted(name for name, types in topics
                        if self.type_name in types and name != self.topic
                        and self._makers(name) - trackers)
        if not others:
            return f'no camera publishes {self.type_name}'
        return f'it is published on {", ".join(others[:5])}: {self._remapping(others[0])}'

    def _remapping(self, topic: str) -> str:
        """Say what to remap so that images are heard on a topic, one of those named."""
        if self.type_name == 'sensor_msgs/msg/Image':
            return 'remap image to it'
        # With image_transport compressed the subscription is to image/compressed.
        base = topic.removesuffix('/compressed')
        return f'remap image to {base}' if base != topic else f'remap image/compressed to {topic}'

    def _makers(self, topic: str) -> set[str]:
        return {_full_name(entry) for entry in self._node.get_publishers_info_by_topic(topic)}

    def _transport_hint(self, types: str) -> str:
        if 'sensor_msgs/msg/CompressedImage' in types.split(', '):
            return '; set image_transport to compressed and remap image to the name without ' \
                '/compressed'
        if 'sensor_msgs/msg/Image' in types.split(', '):
            return '; set image_transport to raw'
        return ''


def _effective(node: Node, topic: str, profile: QoSProfile) -> QoSProfile:
    """Return the QoS after qos_overrides, which rclpy applies but does not tell."""
    for entry in node.get_subscriptions_info_by_topic(topic):
        if entry.node_name == node.get_name() and entry.node_namespace == node.get_namespace():
            return entry.qos_profile
    return profile


def _all_lost() -> str:
    # Where nothing at all arrives no sequence number tells of a loss.
    hint = transport_hint()
    return f'; if it does publish, they are lost on the way{hint}' if hint else ''


def _full_name(entry: Any) -> str:
    # The graph knows an endpoint a little before the name of its node.
    if 'UNKNOWN' in entry.node_name:
        return 'a node'
    return entry.node_namespace.rstrip('/') + '/' + entry.node_name
