# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Ten thousand frames through the memory tracker: memory and step time must not grow."""

from pathlib import Path
import time

import numpy as np
from xmem_worker import resident_mib
from xmem_worker import video_frame

from vos_ros.runtime.package import load_package
from vos_ros.runtime.xmem import OnnxXMem
from vos_ros.tracking.engine import MemoryTracker
from vos_ros.tracking.memory_params import MemoryTrackerParams

# Small frames and stores, so that every store is full long before the frames are over and all that
# happens in a long run happens hundreds of times: consolidation, eviction, late objects, removal.
_SIZE = (96, 128)
# Fewer frames leave no window round the frames that are compared.
_FEWEST = 100
_PARAMS = MemoryTrackerParams(mem_every=2, long_term_max_elements=1000, num_prototypes=64)


def soak(package: Path, frames: int, threads: int = 1) -> dict[str, float]:
    """Run the frames over a package of XMem.

    Returns growth of memory after a tenth, and of step time after a fifth of them.  SystemExit
    for too few frames.
    """
    if frames < _FEWEST:
        raise SystemExit(f'--soak-frames is {frames}, must be at least {_FEWEST}')
    tracker = MemoryTracker(OnnxXMem(load_package(package), threads), _PARAMS)
    video = [video_frame(n, *_SIZE, 3) for n in range(180)]
    early, middle = frames // 10, frames // 5
    window = max(20, frames // 20)
    swap = max(10, frames // 50)
    # Written before the run, so that the figures themselves take no memory during it.
    times, resident = np.ones(frames), np.ones(frames)
    print(f'{frames:,} frames of {_SIZE[1]}x{_SIZE[0]}, XMem-Lite\n'
          f'{"frame":>8}{"RSS MiB":>10}{"step ms":>10}{"working":>9}{"long-term":>10}')
    for number in range(frames):
        image, labels = video[number % len(video)]
        mask = objects = None
        if number % swap == 0:
            # An object leaves and another one comes, under a new id and in a group of its own.
            if number:
                tracker.remove([tracker.objects[0].id])
            objects = tracker.new_ids(3 if number == 0 else 1)
            mask = np.stack([labels == (i + 1 if number == 0 else 1)
                             for i in range(len(objects))])
        begin = time.process_time()
        tracker.step(image, mask, objects)
        times[number] = (time.process_time() - begin) * 1e3
        resident[number] = resident_mib('VmRSS')
        done = slice(max(0, number + 1 - window), number + 1)
        usage = tracker.usage()
        if usage.allocated_bytes > usage.ceiling_bytes:
            raise SystemExit(f'frame {number}: {usage.allocated_bytes} bytes are over the ceiling '
                             f'{usage.ceiling_bytes}')
        if (number + 1) % max(1, frames // 10) == 0:
            print(f'{number + 1:>8}{resident[number]:>10.1f}{np.median(times[done]):>10.2f}'
                  f'{usage.working.elements:>9}{usage.long_term.elements:>10}')
    # Tops of windows, since memory saw-tooths with each consolidation.
    then = max(resident[early - window // 2:early + window // 2])
    growth = max(resident[-window:]) / then - 1
    slower = np.median(times[-window:]) / np.median(
        times[middle - window // 2:middle + window // 2])
    print(f'resident memory after frame {early:,}: {100 * growth:+.2f} %; CPU time of a step at '
          f'the end against frame {middle:,}: {slower:.3f}')
    return {'soak_frames': frames, 'soak_memory_growth': float(growth),
            'soak_step_ratio': float(slower),
            'soak_peak_mib': resident_mib()}
