# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One thread that owns the tracker, fed by a slot in which the newest frame wins."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
import threading
import time
from typing import Any
from typing import Generic
from typing import TypeVar

Frame = TypeVar('Frame')


class Worker(Generic[Frame]):
    """Runs ``process(frame)`` on its own thread, one frame at a time.

    A frame put while another is computed waits; a newer one takes its place.  So a frame waits for
    one computation at most, and nothing queues up.  Jobs (changes of parameters, service calls)
    run between two frames, in order, before a waiting frame: what they touch is never in use.

    Before ``start`` they wait.  process must handle its own exceptions; one that escapes is handed
    to ``died`` and ends the thread.
    """

    def __init__(
            self, process: Callable[[Frame], None],
            died: Callable[[BaseException], None]) -> None:
        """Make the thread, not started yet."""
        self._process = process
        self._died = died
        self._condition = threading.Condition()
        self._frame: Frame | None = None
        self._jobs: deque[tuple[Callable[[], Any], Future]] = deque()
        self._stopping = False
        self._work: tuple[str, float] | None = None     # what is in work, since when
        self._thread = threading.Thread(target=self._run, name='tracker', daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, frame: Frame) -> bool:
        """Hand over a frame; return True when an older one, never computed, was replaced."""
        with self._condition:
            replaced = self._frame is not None
            self._frame = frame
            self._condition.notify()
            return replaced

    def call(self, job: Callable[[], Any]) -> Future:
        """Run a job on the thread, between two frames; the future carries what it returns."""
        future: Future = Future()
        with self._condition:
            if self._stopping:
                future.cancel()
                return future
            self._jobs.append((job, future))
            self._condition.notify()
        return future

    def busy(self) -> tuple[str, float]:
        """Return what is in work, 'frame', 'request' or '', and for how many seconds."""
        work = self._work
        return ('', 0.0) if work is None else (work[0], time.monotonic() - work[1])

    def stop(self, last: Callable[[], Any] = lambda: None, timeout: float = 10.0) -> None:
        """Let the work at hand finish, do a last job and end the thread; what waits is cancelled.

        timeout: seconds for the work at hand, and as many again for the last job.  Raises
        TimeoutError, which names what does not end, and what the last job raises.
        """
        future: Future = Future()
        ended = threading.Event()
        future.add_done_callback(lambda _: ended.set())
        with self._condition:
            work = self.busy()[0]
            self._cancel()
            self._frame = None
            if self._stopping:
                future.cancel()
            else:
                self._jobs.append((last, future))
            self._stopping = True
            self._condition.notify()
        if not ended.wait(timeout) and future.cancel():
            raise TimeoutError(f'the {work} in work does not end; leaving it')
        if not ended.wait(timeout):
            raise TimeoutError('what is to be done last does not end; leaving it')
        if future.cancelled():
            last()      # the thread has died, so nobody else uses what it owned
        else:
            future.result()
        self._thread.join(timeout)

    def _cancel(self) -> None:
        for _, future in self._jobs:
            future.cancel()
        self._jobs.clear()

    def _run(self) -> None:
        try:
            while True:
                with self._condition:
                    while not (self._stopping or self._jobs or self._frame is not None):
                        self._condition.wait()
                    if self._stopping and not self._jobs:
                        return
                    job = self._jobs.popleft() if self._jobs else None
                    frame = None
                    if job is None:
                        frame, self._frame = self._frame, None
                    self._work = 'frame' if job is None else 'request', time.monotonic()
                if job is not None:
                    _fulfil(*job)
                elif frame is not None:
                    self._process(frame)
                    # The message must not live on while the thread waits for the next one.
                    del frame
                self._work = None
        except BaseException as error:
            self._work = None
            # Nobody will do what is asked from here on, and whoever asks is told so.
            with self._condition:
                self._stopping = True
                self._cancel()
            self._died(error)


def _fulfil(job: Callable[[], Any], future: Future) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(job())
    except Exception as error:
        future.set_exception(error)
