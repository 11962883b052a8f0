# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The nice value reaches every thread of a process, or its refusal is told."""

import os
import subprocess
import sys
import textwrap

import pytest

PROGRAM = textwrap.dedent("""
    import os, sys, threading
    from vos_ros.nodes.priority import set_nice
    if len(sys.argv) > 2:
        os.setuid(int(sys.argv[2]))
    stop = threading.Event()
    threading.Thread(target=stop.wait, daemon=True).start()
    print(set_nice(int(sys.argv[1])))
    print({os.getpriority(os.PRIO_PROCESS, int(t)) for t in os.listdir('/proc/self/task')})
    stop.set()
""")


def run(*arguments):
    done = subprocess.run([sys.executable, '-c', PROGRAM, *arguments], capture_output=True,
                          text=True, check=True)
    return done.stdout.splitlines()


def test_every_thread_has_it():
    before = os.getpriority(os.PRIO_PROCESS, 0)
    if before >= 19:
        pytest.skip('this process is as nice as can be')
    assert run(str(before + 1)) == ['None', str({before + 1})]


@pytest.mark.skipif(os.getuid() != 0, reason='needs root to become another user')
def test_a_refusal_is_told():
    told, threads = run('-5', '65534')
    assert 'nice -5 was refused' in told and '-5' not in threads
