# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A video, a webcam or a bag through the instance tracker, recorded: source:=my.mp4."""

from launch import LaunchDescription
from launch.actions import Shutdown

from vos_ros.nodes import launching

# Whatever a params_file for a robot says: the source publishes raw images, with the wall's time.
OURS = {'image_transport': 'raw', 'use_sim_time': False}


def end_on_failure(event, _context):
    """Shut down when the source has failed; after its end the overlay still has to write."""
    return Shutdown(reason='video_source failed') if event.returncode else None


def end_without_tracker(event, _context):
    """Shut down when the tracker has failed: the others would wait for it."""
    return Shutdown(reason='the tracker failed') if event.returncode else None


def generate_launch_description():
    """Return video_source, instance_tracker and overlay; all end when the video does."""
    return LaunchDescription([
        *launching.large_images(),
        *launching.common_arguments(),
        launching.argument('source', 'pattern', 'A video file, a folder of images, the number of '
                           'a webcam, a bag, or pattern for a synthetic video.'),
        launching.argument('loop', 'false', 'Start over at the end.', ('true', 'false')),
        launching.argument('rate', '0.0', 'Images per second; 0 takes the rate of the source.'),
        launching.argument('lockstep', 'header', 'header: every image waits for its picture; '
                           'off: images come at the rate and the newest one wins.',
                           ('header', 'off')),
        launching.argument('max_frames', '0', 'End after so many images; 0 plays all.'),
        launching.argument('overlay_file', 'overlay.mp4', 'Video file to write.'),
        launching.argument('fps', '0.0', 'Frame rate of overlay_file; 0 goes by the stamps.'),
        *launching.tracker_arguments('instance_tracker'),
        *launching.numbers(rate=float, max_frames=int, fps=float),
        launching.node(
            'video_source',
            [launching.share('config', 'video_source.yaml'),
             {'source': launching.text('source'), 'loop': launching.flag('loop'),
              'rate': launching.number('rate'), 'lockstep': launching.text('lockstep'),
              'max_frames': launching.integer('max_frames'), 'min_subscribers': 2}],
            [('consumed', 'overlay/written')], on_exit=end_on_failure),
        *launching.tracker('instance_tracker', parameters=OURS, at_end=end_without_tracker),
        launching.overlay(
            'instance_tracker', {'fps': launching.number('fps'), **OURS},
            [('finished', 'video_source/finished')], on_exit=Shutdown()),
    ])
