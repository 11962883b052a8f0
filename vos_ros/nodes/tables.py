# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The parameters of every node; ``python -m vos_ros.nodes.tables`` prints docs/parameters.md."""

from dataclasses import replace

from vos_ros.nodes.parameters import from_dataclass
from vos_ros.nodes.parameters import markdown
from vos_ros.nodes.parameters import ParameterSpec
from vos_ros.nodes.parameters import Table
from vos_ros.runtime.package import REUSE_FEATURES
from vos_ros.tracking.memory_params import MemoryTrackerParams
from vos_ros.tracking.params import InstanceTrackerParams

# Every tracker node has these.
TRACKER: Table = (
    ParameterSpec(
        'image_transport', 'raw', 'How images come in: `raw` subscribes `image` '
        '(sensor_msgs/Image), `compressed` subscribes `image/compressed`.',
        choices=('raw', 'compressed'), live=False),
    ParameterSpec(
        'image_timeout', 2.0, 'Seconds without an image after which the node says why there is '
        'none.', 0.1, 3600.0),
    ParameterSpec(
        'time_jump', 0.5, 'Stamps that go back by more than so many seconds (a bag that starts '
        'over) end all tracks once.', 0.0, 3600.0),
    ParameterSpec(
        'watchdog_timeout', 10.0, 'Seconds that one frame may compute before /diagnostics shows '
        'an error.', 0.1, 3600.0),
    ParameterSpec(
        'max_failures', 10, 'Frames in a row that may fail in the network before the node ends '
        'with an error, so that a respawn acts; 0 never ends it.', 0, 100000),
    ParameterSpec(
        'latency_budget_ms', 0.0, 'Most milliseconds from the stamp of an image to its results '
        'that 95 % of the images may take; to keep it the node gives up quality, within the '
        'bounds below, and says what. 0 for no budget: then it does not interfere.', 0.0,
        100000.0),
    ParameterSpec(
        'max_frame_skip', 3, 'For the budget, as the last resort: images in a row that may be '
        'left out because their results would be late; 0 never.', 0, 100),
    ParameterSpec(
        'nice', 0, "The process's nice value: below 0 it has the cores before programs of 0, "
        'which needs the permission; 0 leaves it as it is.', -20, 19, live=False),
    ParameterSpec(
        'budget_nice', -10, "For the budget: the process's nice value while there is one, so that "
        'its frames go before other programs of 0; without the permission it stays as it was. 0 '
        'leaves it, and so does a `nice` that is given.', -20, 0),
    ParameterSpec(
        'calibration_path', '', 'For the budget: costs of the operating points on this board, as '
        '`ros2 run vos_ros vos-ros calibrate` writes them (.yaml); empty times them at the start.',
        live=False),
    ParameterSpec(
        'overlay_opacity', 0.45, 'How strongly masks colour the overlay.', 0.0, 1.0),
    ParameterSpec(
        'overlay_quality', 85, 'JPEG quality of `~/overlay/compressed`.', 1, 100),
)

INSTANCE_TRACKER: Table = (
    ParameterSpec(
        'model_path', 'mobileinst-lite0', 'Model package: its folder, or the name of one that is '
        'installed.', live=False),
    ParameterSpec(
        'threads', 2, 'Threads of the network.', 1, 64, live=False),
    ParameterSpec(
        'providers', ['cpu'], 'What should compute, best first (cpu, xnnpack, cuda, tensorrt, '
        'openvino, ...); what is missing is named and the next one taken.', live=False),
    ParameterSpec(
        'reuse_features', 'cached', 'What runs on the frames between keyframes: `cached` the '
        'first half of the backbone, with the rest from the keyframe; `full` all of it; `motion` '
        'no network, masks move by optical flow.', choices=tuple(REUSE_FEATURES), live=False),
    ParameterSpec(
        'late_keyframes', False, 'A frame that is to be a keyframe is published first, as one '
        'between keyframes; what the keyframe finds is shown on the next one. So no result waits '
        'for the whole network.'),
    *from_dataclass(InstanceTrackerParams),
    ParameterSpec(
        'may_delay_keyframes', True, 'For the budget: late_keyframes may be switched on.'),
    ParameterSpec(
        'min_short_side', 128, 'For the budget: the shorter side of the input is never made '
        'smaller than this.', 64, 4320),
    ParameterSpec(
        'max_reuse_interval', 12, 'For the budget: reuse_interval is never made longer than '
        'this.', 1, 60),
    *TRACKER,
)

MEMORY_TRACKER: Table = (
    ParameterSpec(
        'model_path', 'xmem-lite', 'Model package: its folder, or the name of one that is '
        'installed.', live=False),
    ParameterSpec(
        'threads', 2, 'Threads of the network and of a memory read.', 1, 64, live=False),
    ParameterSpec(
        'providers', ['cpu'], 'What should compute, best first (cpu, xnnpack, cuda, tensorrt, '
        'openvino, ...); what is missing is named and the next one taken.', live=False),
    ParameterSpec(
        'runtime', 'onnxruntime', '`torch` runs the network and the memories by PyTorch, for '
        'CUDA.', choices=('onnxruntime', 'torch'), live=False),
    ParameterSpec(
        'device', 'cpu', 'Where PyTorch computes, for example `cuda`; only for runtime torch.',
        live=False),
    # Without a user's word the tracker is the published method, the node what serves a robot.
    *(replace(spec, default=0.2) if spec.name == 'stray_share' else spec
      for spec in from_dataclass(MemoryTrackerParams) if spec.name != 'short_side'),
    ParameterSpec(
        'short_side', -1, 'Frames are scaled down until their shorter side has so many pixels; 0 '
        'keeps their size, -1 takes the size that the model was made for.', -1, 4320),
    ParameterSpec(
        'min_short_side', 240, 'For the budget: the shorter side of the input is never made '
        'smaller than this.', 16, 4320),
    ParameterSpec(
        'max_mem_every', 20, 'For the budget: mem_every is never made longer than this.', 1,
        1000),
    ParameterSpec(
        'min_top_k', 10, 'For the budget: top_k is never made smaller than this.', 1, 1000),
    ParameterSpec(
        'may_skip_long_term', True, 'For the budget: the long-term memory may be left unread, '
        'near the last resort.'),
    ParameterSpec(
        'ring_seconds', 2.0, 'Seconds that images are kept, so that an object can be designated '
        'on a picture that is not the newest.', 0.0, 60.0),
    ParameterSpec(
        'ring_frames', 60, 'Most images kept.', 1, 1000),
    ParameterSpec(
        'ring_megabytes', 128.0, 'Most megabytes of images kept, as they came; as many again at '
        'most for the labels of the instance tracker.', 0.0, 100000.0),
    ParameterSpec(
        'catch_up_frames', 8, 'Most images, spread evenly, over which an object designated on an '
        'older picture is brought up to the newest one; frames are dropped meanwhile.', 1, 100),
    ParameterSpec(
        'memory_path', '', 'File (.safetensors) to save the memories to and to go on from after '
        'a restart; empty for none.', live=False),
    ParameterSpec(
        'save_period', 10.0, 'Seconds between savings to memory_path; besides, it is saved '
        'whenever objects come or go, and at the end. 0 saves only then.', 0.0, 86400.0),
    ParameterSpec(
        'memory_directory', '', 'The folder in which `~/save_memory` and `~/load_memory` may '
        'write and read; empty is ~/.ros/vos_ros.', live=False),
    *TRACKER,
)

VIDEO_SOURCE: Table = (
    ParameterSpec(
        'source', 'pattern', 'A video file, a folder of images, a webcam index (`0`), a bag '
        '(.mcap, .db3 or its folder), or `pattern` for a synthetic video.', live=False),
    ParameterSpec(
        'loop', False, 'Start over at the end; with file stamps, they jump back then.',
        live=False),
    ParameterSpec(
        'rate', 0.0, 'Images per second; 0 takes the rate of the source.', 0.0, 1000.0,
        live=False),
    ParameterSpec(
        'lockstep', 'off', 'Publish the next image only when the one before was consumed: '
        '`latency` hears it from a vos_ros/Latency on `consumed` (a tracker), `header` from a '
        'std_msgs/Header there (the overlay node). No image is lost then, and rate is ignored.',
        choices=('off', 'latency', 'header'), live=False),
    ParameterSpec(
        'lockstep_timeout', 10.0, 'Seconds to wait for an image to be consumed before going on.',
        0.1, 3600.0, live=False),
    ParameterSpec(
        'stamps', 'now', 'Stamp images with the time they are published (`now`) or with their '
        'time in the source (`file`).', choices=('now', 'file'), live=False),
    ParameterSpec(
        'frame_id', 'camera', 'frame_id of the images.', live=False),
    ParameterSpec(
        'encoding', 'bgr8', 'Encoding of the images.', choices=('bgr8', 'rgb8'), live=False),
    ParameterSpec(
        'compressed', False, 'Publish `image/compressed` (JPEG) too.', live=False),
    ParameterSpec(
        'jpeg_quality', 90, 'Quality of `image/compressed`.', 1, 100, live=False),
    ParameterSpec(
        'max_frames', 0, 'End after so many images; 0 plays all.', 0, 10 ** 9, live=False),
    ParameterSpec(
        'min_subscribers', 1, 'Wait for so many subscribers before the first image.', 0, 100,
        live=False),
    ParameterSpec(
        'width', 0, 'Scale images to this width, keeping their aspect; 0 leaves them. The width '
        'of `pattern` (640 when 0).', 0, 16384, live=False),
    ParameterSpec(
        'height', 0, 'Height of `pattern`; 0 is three quarters of its width.', 0, 16384,
        live=False),
    ParameterSpec(
        'bag_topic', '', 'Image topic of a bag; empty takes the first one.', live=False),
)

OVERLAY: Table = (
    ParameterSpec(
        'output', '', 'Video file (.mp4) to write; empty writes none.', live=False),
    ParameterSpec(
        'contact_sheet', '', 'Picture (.png) of frames spread over the video; empty writes none.',
        live=False),
    ParameterSpec(
        'summary', '', 'JSON file for the summary; empty only prints it.', live=False),
    ParameterSpec(
        'fps', 0.0, 'Frame rate of the video file; 0 takes it from the stamps of its first '
        'images.', 0.0, 1000.0, live=False),
    ParameterSpec(
        'opacity', 0.45, 'How strongly masks colour the picture.', 0.0, 1.0),
    ParameterSpec(
        'image_transport', 'raw', 'How images come in: `raw` or `compressed`.',
        choices=('raw', 'compressed'), live=False),
    ParameterSpec(
        'idle_exit', 0.0, 'Write the files and end after so many seconds without a picture; 0 '
        'waits for `finished` or Ctrl-C.', 0.0, 3600.0, live=False),
)

TABLES: dict[str, Table] = {
    'instance_tracker': INSTANCE_TRACKER,
    'memory_tracker': MEMORY_TRACKER,
    'video_source': VIDEO_SOURCE,
    'overlay': OVERLAY,
}

_INTRODUCTION = """# Parameters

Set them in a YAML file (copy one of `config/`; launch files take it as `params_file:=`) or with
`ros2 run vos_ros instance_tracker --ros-args -p name:=value`. *Live* ones can be
changed while the node runs (`ros2 param set`); the others are read-only, since they decide what is
loaded or subscribed, and a node that could load any path on request would be an open door. A value
out of range is refused with its reason, and nothing changes.

QoS of every subscription and publisher for images, masks and tracks can be overridden by the
standard parameters. They name the topic as it is after remapping, with `/compressed` where that is
subscribed; one that names another topic changes nothing, and nothing says so:

    /**:
      ros__parameters:
        qos_overrides./camera/image_raw.subscription.reliability: reliable

This page is printed by `python -m vos_ros.nodes.tables`; a test compares them.
"""


def page() -> str:
    """Return docs/parameters.md."""
    parts = [_INTRODUCTION]
    for node, table in TABLES.items():
        parts.append(f'## {node}\n\n{markdown(table)}\n')
    return '\n'.join(parts)


if __name__ == '__main__':
    print(page(), end='')
