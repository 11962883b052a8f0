# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The most recent images and the instance tracker's results for them, as messages.

Kept as they came: neither decoded nor copied until a designation asks for one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from vos_ros.msg import TrackArray
from vos_ros.nodes import images
from vos_ros.nodes.live_parameters import Values
from vos_ros.nodes.overridable import overridable
from vos_ros.tracking.prompt import Prompt
from vos_ros.tracking.prompt import PromptError
from vos_ros.tracking.prompt import Scene
from vos_ros.tracking.stamp_ring import StampRing

LABELS = 'instances/labels'
TRACKS = 'instances/tracks'
# A Track is about this large as a Python object.
_TRACK_BYTES = 1000
# Nanoseconds by which an image with instances may be older than the newest to stand for it.
_HARDLY_OLDER = 500_000_000


def nanoseconds(stamp: Any) -> int:
    """Return a builtin_interfaces/Time as nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


@dataclass(frozen=True)
class Moment:
    """An image that was asked for, and all that came after it.

    messages: image messages, the one asked for first, the newest last.  labels, tracks: of the
    instance tracker for the first image, None where there are none or where its stamp is zero:
    those of stamp zero are of any image.  stamp: of the first image, nanoseconds.
    """

    messages: list[Any]
    labels: Any
    tracks: Any
    stamp: int = 0


class Recent:
    """Rings of images, instance labels and instance tracks.

    Images are put by the node, which has them anyway; the instance tracker's topics are
    subscribed here.
    """

    def __init__(self, node: Node, values: Values) -> None:
        """Subscribe what the instance tracker publishes; raise ValueError as `overridable`."""
        self.images: StampRing[Any] = StampRing(1, 0.0, 0)
        self._labels: StampRing[Any] = StampRing(1, 0.0, 0)
        self._tracks: StampRing[Any] = StampRing(1, 0.0, 0)
        self.configure(values)
        for kind, topic, ring in (
                (Image, LABELS, self._labels), (TrackArray, TRACKS, self._tracks)):
            with overridable(node, topic) as options:
                node.create_subscription(
                    kind, topic, _putter(ring), QoSProfile(depth=5),
                    qos_overriding_options=options)
        self._topic = node.resolve_topic_name(LABELS)

    def configure(self, values: Values) -> None:
        """Take new bounds on."""
        for ring in (self.images, self._labels, self._tracks):
            ring.frames = max(1, values['ring_frames'])
            ring.seconds = values['ring_seconds']
            ring.bytes = int(values['ring_megabytes'] * 1e6)
        self._time_jump = int(values['time_jump'] * 1e9)

    @property
    def held_bytes(self) -> int:
        """Return the bytes of everything kept."""
        return self.images.held_bytes + self._labels.held_bytes + self._tracks.held_bytes

    def put(self, message: Any) -> None:
        """Keep an image message."""
        self.images.put(nanoseconds(message.header.stamp), message, len(message.data))

    def moment(self, stamp: int, by_track: bool, by_instance: bool = False) -> Moment:
        """Return the image of a stamp, in nanoseconds; 0 means the newest one.

        by_track: the newest image of which the instance tracker's result is here.  by_instance:
        that one if it is hardly older than the newest.  Raises PromptError when there is no such
        image.
        """
        if not stamp and by_track:
            stamp = self._newest_labelled()
        elif not stamp and by_instance:
            newest, labelled = self.images.newest(), self._labelled()
            if newest is not None and labelled \
                    and 0 <= newest[0] - labelled[-1] <= _HARDLY_OLDER:
                stamp = labelled[-1]
        messages = self.images.since(stamp) if stamp else []
        if stamp and not messages:
            raise PromptError(self._unknown(stamp))
        if not messages:
            newest = self.images.newest()
            if newest is None:
                raise PromptError('no image has come yet')
            stamp, message = newest
            messages = [message]
        if not stamp:
            return Moment(messages, None, None)
        return Moment(messages, self._labels.at(stamp), self._tracks.at(stamp), stamp)

    def going_on(self, moment: Moment) -> Moment:
        """Return a moment with what has come since it was asked for."""
        more = self.images.after(moment.messages[-1])
        labels, tracks = moment.labels, moment.tracks
        if moment.stamp:
            labels = self._labels.at(moment.stamp) if labels is None else labels
            tracks = self._tracks.at(moment.stamp) if tracks is None else tracks
        return replace(moment, messages=[*moment.messages, *more], labels=labels, tracks=tracks)

    def scene(self, moment: Moment, image: Any, prompts: Sequence[Prompt]) -> Scene:
        """Return what prompts are about; image: uint8 [H, W, 3] of the moment's first message.

        Its labels are read where a prompt may be an instance.  Raises PromptError where one is a
        track and they cannot be read.
        """
        kinds = {kind for prompt in prompts for kind in prompt.kinds}
        labels = None
        if moment.labels is not None and kinds & {'track_id', 'box', 'points'}:
            try:
                labels = images.to_labels(moment.labels)
            except images.ImageError as error:
                # A box or points can do without.
                if 'track_id' in kinds:
                    raise PromptError(f'labels on {self._topic}: {error}') from None
        names = {} if moment.tracks is None \
            else {row.id: row.label for row in moment.tracks.tracks}
        return Scene(image, labels, names)

    def _labelled(self) -> list[int]:
        """Return the stamps with labels of the images since stamps last went back."""
        have: set[int] = set()
        latest = 0
        for stamp in self.images.stamps():
            if stamp and latest - stamp > self._time_jump:
                have.clear()
                latest = stamp
            have.add(stamp)
            latest = max(latest, stamp)
        return [stamp for stamp in self._labels.stamps() if stamp and stamp in have]

    def _newest_labelled(self) -> int:
        labelled = self._labelled()
        if not labelled and 0 in self.images.stamps():
            raise PromptError(
                'the images have stamp zero: which labels of the instance tracker belong to which '
                'image cannot be told; give a mask, box, points or polygon, or have the camera '
                'stamp its images')
        if not labelled:
            raise PromptError(
                f'no labels of the instance tracker for any image kept; they are expected on '
                f'{self._topic}, {len(self._labels)} are here')
        return labelled[-1]

    def _unknown(self, stamp: int) -> str:
        kept = self.images.stamps()
        if not kept:
            return f'no image of stamp {_seconds(stamp)} is kept: none has come yet'
        return (f'no image of stamp {_seconds(stamp)} is kept; kept are {len(kept)} from '
                f'{_seconds(kept[0])} to {_seconds(kept[-1])} (ring_seconds, ring_frames and '
                'ring_megabytes say how many)')


def _putter(ring: StampRing[Any]) -> Any:
    def put(message: Any) -> None:
        size = len(message.data) if hasattr(message, 'data') \
            else _TRACK_BYTES * len(message.tracks)
        ring.put(nanoseconds(message.header.stamp), message, size)

    return put


def _seconds(stamp: int) -> str:
    return f'{stamp // 1_000_000_000}.{stamp % 1_000_000_000:09d}'
