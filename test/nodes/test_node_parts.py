# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The parts of a node that need no ROS: worker, counters, matcher, time jumps, tables."""

from pathlib import Path
import shutil
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from vos_ros.nodes import tables
from vos_ros.nodes.counters import SequenceGaps
from vos_ros.nodes.matcher import StampMatcher
from vos_ros.nodes.parameters import refusal
from vos_ros.nodes.recorder import Recorder
from vos_ros.nodes.recorder import write_json
from vos_ros.nodes.sources import Pattern
from vos_ros.nodes.timejump import TimeJump
from vos_ros.nodes.transport import transport_hint
from vos_ros.nodes.worker import Worker
from vos_ros.runtime.heap import keep_large_blocks
from vos_ros.tracking.tracks import Tracks


class Gate:
    """A worker whose frames wait until they are let through."""

    def __init__(self):
        self.seen, self.errors = [], []
        self.entered, self.open = threading.Semaphore(0), threading.Semaphore(0)
        self.worker = Worker(self._process, self.errors.append)
        self.worker.start()

    def _process(self, frame):
        self.entered.release()
        self.open.acquire()
        self.seen.append(frame)
        if frame == 'boom':
            raise KeyError(frame)


def test_newest_frame_wins_and_replaced_ones_are_told():
    gate = Gate()
    assert not gate.worker.put(1)
    gate.entered.acquire()
    assert not gate.worker.put(2)
    assert gate.worker.put(3)
    assert gate.worker.put(4)
    work, seconds = gate.worker.busy()
    assert work == 'frame' and seconds > 0
    for _ in range(2):
        gate.open.release()
    gate.entered.acquire()
    gate.worker.stop()
    assert gate.seen == [1, 4]
    assert gate.worker.busy() == ('', 0.0)


def test_jobs_run_between_frames_on_the_same_thread_and_without_any_frame():
    gate = Gate()
    names = gate.worker.call(lambda: threading.current_thread().name)
    assert names.result(5) == 'tracker'
    gate.worker.put('a')
    gate.entered.acquire()
    job = gate.worker.call(lambda: list(gate.seen))
    gate.worker.put('b')
    gate.open.release()
    assert job.result(5) == ['a']
    failing = gate.worker.call(lambda: 1 / 0)
    gate.open.release()
    with pytest.raises(ZeroDivisionError):
        failing.result(5)
    gate.worker.stop()
    assert gate.worker.call(lambda: 1).cancelled()


def test_an_escaped_exception_is_told():
    gate = Gate()
    gate.open.release()
    gate.worker.put('boom')
    end = time.monotonic() + 5
    while not gate.errors and time.monotonic() < end:
        time.sleep(0.01)
    assert isinstance(gate.errors[0], KeyError)
    assert gate.worker.call(lambda: 1).cancelled(), 'nobody would ever do it'
    gate.worker.stop(lambda: gate.seen.append('last'))
    assert gate.seen == ['boom', 'last']


@pytest.mark.parametrize('name', ['video.unknown', 'file/video.mp4'])
def test_a_video_that_cannot_be_written_is_told_once_and_nothing_piles_up(tmp_path, name):
    (tmp_path / 'file').write_text('no folder')
    recorder = Recorder(str(tmp_path / name), str(tmp_path / 'sheet.png'))
    tracks = Tracks.empty()
    told = 0
    for index in range(40):
        try:
            recorder.add(np.zeros((48, 64, 3), np.uint8), index / 30, tracks)
        except (OSError, ValueError) as error:
            assert name.split('/')[0] in str(error)
            told += 1
    assert told == 1
    recorder.close()
    assert (tmp_path / 'sheet.png').is_file()
    assert recorder.summary()['pictures'] == 40


def test_pictures_of_a_video_that_cannot_be_read_are_not_in_it(tmp_path):
    # As under a quota: OpenCV does not tell that nothing more could be written.
    program = (
        'import resource, sys\n'
        'import numpy as np\n'
        'from vos_ros.nodes.recorder import Recorder\n'
        'from vos_ros.tracking.tracks import Tracks\n'
        'import signal\n'
        'signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n'
        'resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n'
        'recorder, rng = Recorder(sys.argv[1], ""), np.random.default_rng(0)\n'
        'for index in range(60):\n'
        '    picture = rng.integers(0, 255, (240, 320, 3), np.uint8)\n'
        '    recorder.add(picture, index / 30, Tracks.empty())\n'
        'try:\n'
        '    recorder.close()\n'
        'except OSError as error:\n'
        '    summary = recorder.summary()\n'
        '    print(summary["pictures"], summary["in_video"], error)\n')
    done = subprocess.run([sys.executable, '-c', program, str(tmp_path / 'video.mp4')],
                          capture_output=True, text=True)
    assert '60 0 ' in done.stdout and 'video.mp4: was not written whole' in done.stdout, \
        done.stderr


def test_a_disk_that_fills_ends_the_video_and_is_told_once(tmp_path, monkeypatch):
    recorder = Recorder(str(tmp_path / 'video.mp4'), str(tmp_path / 'sheet.png'))
    told, free = [], 10 ** 9
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: SimpleNamespace(total=10 ** 9, free=free))
    for index in range(40):
        free = 10 ** 9 if index < 30 else 0
        try:
            recorder.add(np.zeros((48, 64, 3), np.uint8), index / 30, Tracks.empty())
        except OSError as error:
            told.append(str(error))
    assert len(told) == 1 and 'video.mp4: the disk is full' in told[0]
    recorder.close()
    summary = recorder.summary()
    assert (summary['pictures'], summary['in_video'], recorder.recording) == (40, 30, False)
    assert cv2.VideoCapture(str(tmp_path / 'video.mp4')).get(cv2.CAP_PROP_FRAME_COUNT) == 30
    assert (tmp_path / 'sheet.png').is_file()


@pytest.mark.parametrize('name', ['sheet', 'sheet.unknown'])
def test_a_sheet_that_is_no_picture_is_named(tmp_path, name):
    recorder = Recorder('', str(tmp_path / name))
    recorder.add(np.zeros((48, 64, 3), np.uint8), 0.0, Tracks.empty())
    with pytest.raises(ValueError, match=f'{name}: OpenCV cannot write a picture there'):
        recorder.close()
    assert recorder.summary()['pictures'] == 1


def test_home_is_found_in_what_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    recorder = Recorder('~/a/video.mp4', '~/b/sheet.png')
    recorder.add(np.zeros((48, 64, 3), np.uint8), 0.0, Tracks.empty())
    recorder.close()
    write_json('~/c/summary.json', recorder.summary())
    assert sorted(str(f.relative_to(tmp_path)) for f in tmp_path.rglob('*.*')) == [
        'a/video.mp4', 'b/sheet.png', 'c/summary.json']


def test_the_last_job_is_next_and_what_waits_is_not_done():
    gate = Gate()
    begun, go = threading.Event(), threading.Event()
    first = gate.worker.call(lambda: (begun.set(), go.wait(10)))
    assert begun.wait(5)
    assert gate.worker.busy()[0] == 'request'
    waiting = gate.worker.call(lambda: gate.seen.append('waiting'))
    gate.worker.put('frame')
    # The work at hand leaves the last job all of its time.
    threading.Timer(1.0, go.set).start()
    gate.worker.stop(lambda: (time.sleep(1.2), gate.seen.append('last')), timeout=2.0)
    assert first.done() and waiting.cancelled()
    assert gate.seen == ['last']
    gate = Gate()
    with pytest.raises(ZeroDivisionError):
        gate.worker.stop(lambda: 1 / 0)


def test_stop_does_not_wait_for_ever_and_says_what_for():
    gate = Gate()
    gate.worker.put(1)
    gate.entered.acquire()
    with pytest.raises(TimeoutError, match='the frame in work does not end'):
        gate.worker.stop(lambda: gate.seen.append('last'), timeout=0.05)
    gate.open.release()
    gate, go = Gate(), threading.Event()
    with pytest.raises(TimeoutError, match='what is to be done last does not end'):
        gate.worker.stop(lambda: go.wait(10), timeout=0.05)
    go.set()


def test_sequence_gaps():
    gaps = SequenceGaps()
    assert [gaps.missed(n) for n in (7, 8, 11, 12, 3, 4, 5000, 5002)] == [0, 0, 2, 0, 0, 0, 0, 1]
    gaps.restart()
    assert gaps.missed(5009) == 0
    assert gaps.missed(2 ** 64 - 1) == gaps.missed(None) == 0
    assert gaps.missed(5011) == 1


def test_time_jump_starts_one_new_timeline():
    jump = TimeJump()
    stamps = [10.0, 10.1, 10.05, 10.2, 2.0, 2.1, 2.2]
    assert [bool(jump.check(stamp, 0.5)) for stamp in stamps] == [
        False, False, False, False, True, False, False]


def test_one_stamp_far_ahead_is_no_timeline():
    jump = TimeJump()
    stamps = [30.0, 31.0, 3631.0, 32.0, 31.9, 33.0, 3633.0, 3634.0, 34.0, 34.1]
    assert [bool(jump.check(stamp, 0.5)) for stamp in stamps] == [False] * 8 + [True, False]
    # A frame that is used before its turn may be the one that goes on.
    assert not jump.check(90.0, 0.5) and not jump.ahead(35.0, 0.5)
    assert [bool(jump.check(stamp, 0.5)) for stamp in (34.8, 35.1, 20.0)] == [False, False, True]
    # A video that starts over, its last frame far behind the one before.
    assert not jump.check(40.0, 0.5) and jump.check(20.0, 0.5)


def test_many_small_steps_back_are_one_jump():
    jump = TimeJump()
    jump.check(10.0, 0.5)
    assert [bool(jump.check(10.0 - 0.1 * step, 0.5)) for step in range(1, 8)].count(True) == 1


def test_the_clock_counts_only_where_stamps_are_zero():
    jump = TimeJump()
    jump.check(5.0, 0.5)
    jump.clock_jumped()
    assert not jump.check(5.1, 0.5)
    jump = TimeJump()
    jump.check(0.0, 0.5)
    assert not jump.check(0.0, 0.5)
    jump.clock_jumped()
    assert jump.check(0.0, 0.5)
    assert not jump.check(0.0, 0.5)


def test_matcher_is_exact_bounded_and_survives_a_loop():
    matcher = StampMatcher(('image', 'labels'), bytes=3, seconds=60.0)
    assert matcher.add('image', 1, 'i1', 1) is None
    assert matcher.add('labels', 2, 'l2', 1) is None
    assert matcher.add('labels', 1, 'l1', 1) == {'image': 'i1', 'labels': 'l1'}
    # A second pass of a bag brings lower stamps than those left over from the first.
    for stamp in (100, 101, 102):
        matcher.add('image', stamp, stamp, 1)
    assert matcher.evicted == 1
    assert matcher.add('image', 5, 'i5', 1) is None
    assert matcher.add('labels', 5, 'l5', 0) == {'image': 'i5', 'labels': 'l5'}
    assert len(matcher) <= 3
    with pytest.raises(KeyError):
        matcher.add('depth', 1, None, 0)


def test_matcher_waits_as_long_as_its_bytes_and_seconds_allow():
    matcher = StampMatcher(('image', 'labels'), bytes=100, seconds=60.0)
    for stamp in range(100):
        matcher.add('image', stamp, stamp, 1)
    assert (len(matcher), matcher.evicted) == (100, 0)
    matcher.add('image', 100, 100, 40)
    assert (len(matcher), matcher.evicted) == (61, 40)
    assert matcher.add('labels', 39, 'l', 0) is None
    assert (len(matcher), matcher.late) == (61, 1), 'its image had to leave'
    assert matcher.add('labels', 40, 'l', 0) == {'image': 40, 'labels': 'l'}
    # A second pass of a bag is not late.
    matcher.add('image', 39, 'again', 0)
    assert matcher.add('labels', 39, 'l', 0) and matcher.late == 1
    assert matcher.add('image', 200, 'larger than all', 1000) is None
    assert matcher.add('labels', 200, 'l', 0) and not len(matcher)
    matcher = StampMatcher(('image', 'labels'), bytes=100, seconds=0.02)
    matcher.add('image', 1, 1, 1)
    time.sleep(0.05)
    matcher.add('image', 2, 2, 1)
    assert (len(matcher), matcher.evicted) == (1, 1)
    assert matcher.add('labels', 1, 'l', 1) is None and matcher.late == 1


def test_tables_refuse_by_name_and_hold_their_own_defaults():
    for node, table in tables.TABLES.items():
        names = [spec.name for spec in table]
        assert len(set(names)) == len(names), node
        assert refusal(table, {spec.name: spec.default for spec in table}) is None
        for spec in table:
            assert spec.description.endswith('.'), spec.name
            if spec.high is not None:
                assert spec.name in refusal(table, {spec.name: spec.high + 1})
            if spec.choices:
                assert spec.name in refusal(table, {spec.name: 'nonsense'})


def test_docs_parameters_is_the_printed_page():
    page = Path(__file__).parents[2] / 'docs' / 'parameters.md'
    assert page.read_text() == tables.page(), 'run: python -m vos_ros.nodes.tables > ' + str(page)


def test_pattern_has_its_size_and_moves():
    frames = [frame.image for frame, _ in zip(Pattern(64, 48), range(20), strict=False)]
    assert frames[0].shape == (48, 64, 3)
    assert np.count_nonzero(frames[0] != frames[19]) > 50


def test_mallopt_is_accepted_by_glibc():
    import platform
    if platform.libc_ver()[0] != 'glibc':
        pytest.skip('no glibc here')
    assert keep_large_blocks()


def test_transport_hint_names_the_cure():
    assert 'FASTDDS_DEFAULT_PROFILES_FILE=' in transport_hint({})
    assert 'FASTRTPS_DEFAULT_PROFILES_FILE=' in transport_hint({'ROS_DISTRO': 'jazzy'})
    assert 'fastdds.xml' in transport_hint({'RMW_IMPLEMENTATION': 'rmw_fastrtps_cpp'})
    assert 'FASTDDS_BUILTIN_TRANSPORTS=UDPv4' in transport_hint(
        {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'})
    assert transport_hint({'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}) == ''
    assert transport_hint({'FASTDDS_DEFAULT_PROFILES_FILE': 'p.xml'}) == ''
    assert transport_hint({'FASTRTPS_DEFAULT_PROFILES_FILE': 'p.xml'}) == ''


def test_a_frame_that_is_used_before_its_turn_starts_the_timeline():
    jump = TimeJump()
    jump.check(10.0, 0.5)
    assert not jump.ahead(10.4, 0.5) and not jump.ahead(9.8, 0.5) and not jump.ahead(0.0, 0.5)
    assert 'went back by 8.000 s' in jump.ahead(2.0, 0.5)
    assert [bool(jump.check(stamp, 0.5)) for stamp in (1.9, 2.0, 2.1)] == [False] * 3
    jump.forget()
    assert not jump.check(1.0, 0.5) and jump.check(0.1, 0.5)
