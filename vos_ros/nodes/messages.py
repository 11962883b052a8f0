# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Tracks as messages, and back."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from std_msgs.msg import Header

from vos_ros.msg import TrackArray
from vos_ros.tracking.tracks import Tracks

try:
    from vision_msgs.msg import Detection2D
    from vision_msgs.msg import Detection2DArray
    from vision_msgs.msg import LabelInfo
    from vision_msgs.msg import ObjectHypothesisWithPose
    from vision_msgs.msg import VisionClass
    HAS_VISION_MSGS = True
except ImportError:
    HAS_VISION_MSGS = False


def tracks_of(message: TrackArray) -> Tracks:
    """Return a TrackArray's rows as a struct of arrays."""
    rows = message.tracks
    return Tracks(
        ids=np.array([row.id for row in rows], np.uint32),
        class_ids=np.array([row.class_id for row in rows], np.int32),
        labels=tuple(row.label for row in rows),
        scores=np.array([row.score for row in rows], np.float32),
        states=np.array([row.state for row in rows], np.uint8),
        ages=np.array([row.age for row in rows], np.uint32),
        boxes=np.array([row.box for row in rows], np.float32).reshape(-1, 4),
        areas=np.array([row.area for row in rows], np.uint32))


def detection_array(header: Header, tracks: Tracks) -> Any:
    """Return the visible tracks as vision_msgs/Detection2DArray, ids as in the label map."""
    message = Detection2DArray(header=header)
    for row in np.flatnonzero(tracks.areas):
        x1, y1, x2, y2 = (float(side) for side in tracks.boxes[row])
        detection = Detection2D(header=header, id=str(int(tracks.ids[row])))
        detection.bbox.center.position.x = (x1 + x2) / 2
        detection.bbox.center.position.y = (y1 + y2) / 2
        detection.bbox.size_x = x2 - x1
        detection.bbox.size_y = y2 - y1
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id = tracks.labels[row]
        hypothesis.hypothesis.score = float(tracks.scores[row])
        detection.results = [hypothesis]
        message.detections.append(detection)
    return message


def label_info(header: Header, classes: Sequence[str], threshold: float) -> Any:
    """Return the class names as vision_msgs/LabelInfo."""
    return LabelInfo(header=header, threshold=threshold, class_map=[
        VisionClass(class_id=index, class_name=name) for index, name in enumerate(classes)])
