#!/usr/bin/env python3
# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the package weighs: install size, time until the first mask, resident memory.

Each way to run MobileInst starts in a process of its own: onnxruntime, and PyTorch on the same
weights.  first_mask_s: from before the first import until the first frame's label map, model
loaded meanwhile; first_mask_cpu_s: the processor time of it, which a busy machine changes less;
start_s: the time with the start of Python.  rss_mb: resident after ten frames.
install_mb: the installed distributions that the way needs, with what those require; left out
where one of the modules comes from no distribution that pip knows, as apt's python3-opencv.
With ROS, the instance node and the memory node follow a VGA video as two processes, one object
designated: nodes_rss_mb is the resident memory of both together after --frames frames.
"""

import argparse
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import metadata
from importlib.util import find_spec
import json
import os
from pathlib import Path
import re
import subprocess
import sys
import time
from typing import Any

from common import finish
from common import machine
from common import parser
from common import rounds_of

ROOT = Path(__file__).resolve().parent.parent
# Modules that both ways import, with the distributions that hold them.
_BOTH = {
    'numpy': ('numpy',), 'yaml': ('PyYAML',), 'safetensors': ('safetensors',),
    'cv2': ('opencv-python-headless', 'opencv-python', 'opencv-contrib-python-headless',
            'opencv-contrib-python')}
LIGHT = {'onnxruntime': ('onnxruntime', 'onnxruntime-gpu', 'onnxruntime-openvino'), **_BOTH}
TORCH = {'torch': ('torch',), **_BOTH}

# A whole start: imports, model, tracker, one frame; then nine more.
_LIGHT = """
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.tracking.instances import InstanceTracker
import numpy as np
tracker = InstanceTracker(MobileInst(load_package(sys.argv[1])))
frame = np.full((480, 640, 3), 90, np.uint8)
def step():
    return tracker.step(frame).label_map
"""
_TORCH = """
import torch
torch.set_num_threads(1)
from safetensors.torch import load_file
from vos_ros.models.mobileinst import build
from vos_ros.runtime.mobileinst import KeyOutput
from vos_ros.runtime.package import load_package
from vos_ros.tracking.instances import InstanceTracker
import numpy as np
package = load_package(sys.argv[1])
model = build(dict(package.network))
model.load_state_dict(load_file(str(package.weights)))
model.eval()
mean = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
deviation = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)
class Network:
    input_size = package.input_size
    mask_size = (package.input_size[0] // 8, package.input_size[1] // 8)
    enlargement = 1
    classes = package.classes
    def run(self, image):
        tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        with torch.inference_mode():
            return {k: v[0].numpy() for k, v in model((tensor - mean) / deviation).items()}
    def key(self, image):
        out = self.run(image)
        return KeyOutput(*(out[k] for k in ('logits', 'objectness', 'kernels', 'masks',
                                            'mask_features')))
    def reuse(self, image, kernels, context):
        return np.tensordot(kernels, self.run(image)['mask_features'], 1)
tracker = InstanceTracker(Network())
frame = np.full((480, 640, 3), 90, np.uint8)
def step():
    return tracker.step(frame).label_map
"""
_AROUND = """
import time
begin = time.perf_counter()
import json
import os
import sys
sys.path.insert(0, {root!r})
from vos_ros.budget.threads import one_blas_thread
one_blas_thread()
{body}
step()
first = time.perf_counter() - begin
spent = time.process_time()
for _ in range(9):
    step()
status = open('/proc/self/status').read()
rss = int(status.split('VmRSS:')[1].split()[0]) / 1024
print(json.dumps({{'first_mask_s': first, 'first_mask_cpu_s': spent, 'rss_mb': rss,
                  'wall': time.time() - {wall}, 'after': time.perf_counter() - begin - first}}))
"""


def main() -> None:
    """Run the benchmark."""
    arguments = parser(__doc__ or '', rounds=5, quick_rounds=2)
    arguments.add_argument('--model', default='mobileinst-lite0', help='a mobileinst package')
    arguments.add_argument('--memory-model', default='xmem-lite', help='an xmem package')
    arguments.add_argument('--frames', type=int, default=60, help='frames that the nodes compute')
    arguments.add_argument('--domain', type=int, default=1 + os.getpid() % 90,
                           help='ROS domain of the nodes')
    arguments.add_argument('--no-nodes', action='store_true', help='leave the nodes out')
    args = arguments.parse_args()
    print(machine())
    from vos_ros.runtime.package import find_package
    model = str(find_package(args.model))
    figures: dict[str, float] = {}
    for suffix, modules, body in (('', LIGHT, _LIGHT), ('_torch', TORCH, _TORCH)):
        missing = [module for module in modules if find_spec(module) is None]
        if missing:
            print(f'{next(iter(modules))}: {", ".join(missing)} cannot be imported: left out')
            continue
        try:
            figures[f'install{suffix}_mb'] = install_size(distributions(modules))
        except LookupError as error:
            print(f'install{suffix}_mb is left out: {error.args[0]}')
        starts = [start(body, model) for _ in range(rounds_of(args))]
        for name in ('first_mask_s', 'first_mask_cpu_s', 'start_s', 'rss_mb'):
            what, unit = name.rsplit('_', 1)
            figures[f'{what}{suffix}_{unit}'] = \
                sorted(one[name] for one in starts)[len(starts) // 2]
    if not args.no_nodes:
        figures |= nodes(args)
    for name, value in figures.items():
        print(f'{name:<24}{value:>10.2f}')
    finish(figures, args)


def distributions(modules: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the distribution that holds each module, of those that may.

    Raises LookupError naming the module where none of them is installed.
    """
    there = {re.sub(r'[-_.]+', '-', found.metadata['Name'] or '').lower()
             for found in metadata.distributions()}
    out = []
    for module, names in modules.items():
        known = [name for name in names if name.lower() in there]
        if not known:
            raise LookupError(f'{module} is of none of {", ".join(names)}')
        out.append(known[0])
    return out


def install_size(names: Sequence[str]) -> float:
    """Return the megabytes on disk of installed distributions and all they require.

    Extras do not count, nor what environment markers rule out here.
    """
    seen: set[str] = set()
    waiting = list(names)
    total = 0
    while waiting:
        name = re.sub(r'[-_.]+', '-', waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue        # a requirement that this platform does not have
        for file in found.files or ():
            path = Path(str(found.locate_file(file)))
            total += path.stat().st_size if path.is_file() and path.suffix != '.pyc' else 0
        waiting += [match.group() for line in found.requires or () if 'extra ==' not in line
                    for match in [re.match(r'[\w.-]+', line)] if match]
    return total / 1e6


def start(body: str, model: str) -> dict[str, float]:
    """Start a process that computes ten frames; return its figures."""
    code = _AROUND.format(root=str(ROOT), body=body, wall=time.time())
    done = subprocess.run([sys.executable, '-c', code, model], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f'footprint: a start failed:\n{done.stderr}')
    figures = json.loads(done.stdout.splitlines()[-1])
    figures['start_s'] = figures.pop('wall') - figures.pop('after')
    return figures


def nodes(args: argparse.Namespace) -> dict[str, float]:
    """Run both nodes on a VGA video; return their resident megabytes."""
    try:
        import rclpy
    except ModuleNotFoundError:
        print('no rclpy here: the nodes are left out')
        return {}
    from ros_overhead import node
    from ros_overhead import TRANSPORTS
    os.environ.update(TRANSPORTS[''])
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=args.domain)
    probe = rclpy.create_node('footprint', context=context)
    source = {'source': 'pattern', 'width': 640, 'height': 480, 'rate': 5.0, 'loop': 'true'}
    figures = {}
    try:
        with ExitStack() as stack:
            running = {
                name: stack.enter_context(node(name, {'model_path': model, 'threads': 1},
                                               args.domain))
                for name, model in (('instance_tracker', args.model),
                                    ('memory_tracker', args.memory_model))}
            stack.enter_context(node('video_source', source, args.domain))
            _follow(probe, context, args.frames)
            for name, process in running.items():
                if process.poll() is not None:
                    raise SystemExit(f'footprint: {name} ended with {process.returncode}')
                figures[f'{name}_rss_mb'] = resident(process.pid)
    finally:
        probe.destroy_node()
        context.try_shutdown()
    return figures | {'nodes_rss_mb': sum(figures.values())}


def _follow(probe: Any, context: Any, frames: int) -> None:
    """Designate an object and wait until both nodes have computed so many frames with it."""
    from rclpy.executors import SingleThreadedExecutor
    from vos_ros.msg import Latency
    from vos_ros.msg import ObjectPrompt
    from vos_ros.srv import AddObjects
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(probe)
    count = {'instance_tracker': 0, 'memory_tracker': 0}

    def counter(name: str) -> Any:
        def on_latency(_: Any) -> None:
            count[name] += 1
        return on_latency

    for name in count:
        probe.create_subscription(Latency, f'/{name}/latency', counter(name), 10)
    client = probe.create_client(AddObjects, '/memory_tracker/add_objects')
    request = AddObjects.Request(objects=[ObjectPrompt(name='thing',
                                                       box=[200.0, 150.0, 400.0, 350.0])])
    deadline = time.monotonic() + 120 + 2 * frames
    reply = None
    while reply is None or not reply.success:
        future = client.call_async(request)
        executor.spin_until_future_complete(future, timeout_sec=5)
        reply = future.result() if future.done() else None
        if time.monotonic() > deadline:
            raise SystemExit(f'footprint: no object was taken: {reply and reply.message}')
    begun = dict(count)
    while any(count[name] - begun[name] < frames for name in count):
        executor.spin_once(timeout_sec=0.2)
        if time.monotonic() > deadline:
            raise SystemExit(f'footprint: the nodes computed {count} frames only')
    executor.shutdown()


def resident(pid: int) -> float:
    """Return a process's resident memory, megabytes of 1024 KiB."""
    status = Path(f'/proc/{pid}/status').read_text()
    return int(status.split('VmRSS:')[1].split()[0]) / 1024


if __name__ == '__main__':
    main()
