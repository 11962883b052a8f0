# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One frame through XMem: read, decode, and remember (XMem section 3.1 and its inference)."""

from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vos_ros.budget.clock import StageClock
from vos_ros.runtime.memory_ops import Array
from vos_ros.tracking.memory import Memory
from vos_ros.tracking.memory_network import EncodedFrame
from vos_ros.tracking.memory_network import MemoryNetwork
from vos_ros.tracking.memory_params import MemoryTrackerParams
from vos_ros.tracking.memory_state import export_memory
from vos_ros.tracking.memory_state import restore_memory
from vos_ros.tracking.strays import Strays

FloatArray = NDArray[np.float32]

STRIDE = 16
_LEAST = np.float32(1e-7)


def aggregate(masks: FloatArray) -> FloatArray:
    """Make masks [n, H, W] compete: probabilities [n + 1, H, W] that sum to 1, background first.

    The background has the product of (1 - p); a share is its odds over the sum of all odds.
    """
    background = np.prod(1 - masks, axis=0, keepdims=True)
    p = np.clip(np.concatenate([background, masks]), _LEAST, 1 - _LEAST)
    odds = p / (1 - p)
    return odds / odds.sum(0)


@dataclass(frozen=True)
class Padding:
    """Zeros that make both sides multiples of 16: half (rounded down) above and left."""

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, height: int, width: int) -> 'Padding':
        """Return the padding of images of this size."""
        return cls((-height % STRIDE) // 2, (-width % STRIDE) // 2, height, width)

    def pad(self, planes: FloatArray) -> FloatArray:
        """Pad [n, height, width]."""
        rows, columns = -self.height % STRIDE, -self.width % STRIDE
        if not rows and not columns:
            return np.ascontiguousarray(planes, np.float32)
        return np.pad(planes.astype(np.float32, copy=False), (
            (0, 0), (self.top, rows - self.top), (self.left, columns - self.left)))

    def crop(self, planes: FloatArray) -> FloatArray:
        """Undo `pad`."""
        return planes[:, self.top:self.top + self.height, self.left:self.left + self.width]


@dataclass(frozen=True)
class CoreResult:
    """probabilities: float32 [objects + 1, H, W], background first, objects in order.

    remembered: whether the frame went into the memory.  segmented: whether the network decoded.
    """

    probabilities: FloatArray
    remembered: bool
    segmented: bool


class XMemCore:
    """The method itself, on normalised images; ids are any integers, in the order of appearance.

    One thread uses it.  `clock` times the stages key, read, decode, value, memory.
    late: whether a frame that was segmented goes into the memory in `finish` only, or before
    whatever comes next; no result depends on it.
    """

    def __init__(self, network: MemoryNetwork, params: MemoryTrackerParams,
                 clock: StageClock | None = None) -> None:
        """Start without objects."""
        self.network = network
        self.params = params
        self.clock = clock or StageClock()
        self.objects: list[int] = []
        self.late = False
        self.regridded = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything but the parameters."""
        self.frame = -1
        self.last_memory = 0
        self.last_deep = -self.params.deep_update_every
        self.objects = []
        self._unfinished: tuple[EncodedFrame, FloatArray, bool] | None = None
        self.hidden: Array | None = None
        self.grid: tuple[int, int] | None = None
        self._strays = Strays()
        self.memory = Memory(self.network.ops, self.network.key_dim, self.network.value_dim,
                             self.params)

    def configure(self, params: MemoryTrackerParams) -> None:
        """Go on with other parameters; what the memory holds beyond them goes at once."""
        self.finish()
        self.params = params
        if not params.stray_share:
            # Where objects are is noted only while it is asked for.
            self._strays = Strays()
        self.memory.params = params
        self.memory.make_room()

    def remove(self, objects: Sequence[int]) -> None:
        """Forget objects; KeyError names one that is not known."""
        for obj in objects:
            if obj not in self.objects:
                raise KeyError(obj)
        self.finish()
        kept = [i for i, obj in enumerate(self.objects) if obj not in objects]
        if self.hidden is not None:
            index = self.network.ops.array(np.array(kept, np.intp))
            self.hidden = self.hidden[index] if kept else None
        self.objects = [self.objects[i] for i in kept]
        self._strays.forget(objects)
        # They are gone by then, also where memory is too short for moving the others' tokens; that
        # is done with the next memory frame.  What torch raises then is a RuntimeError.
        with contextlib.suppress(MemoryError, RuntimeError):
            self.memory.remove(*objects)
            self.memory.give_back()

    def step(self, image: FloatArray, mask: FloatArray | None = None,
             objects: Sequence[int] | None = None, valid: Sequence[int] | None = None,
             end: bool = False) -> CoreResult:
        """Process the next frame.

        image: float32 [3, H, W], normalised.
        mask: float32 [n, H, W], one channel for each of `objects`: those known so far, in their
            order, and new ones after them.  Pixels outside every given mask say nothing.
        valid: objects whose channel was really given; the others are predicted.  None means that
            the mask is taken as it is; naming all skips the prediction.
        end: True on a last frame: nothing is updated, but for new objects, of which nothing would
            be known without.

        Raises ValueError for a first frame without a mask, and for objects that do not continue
        those known.  When the network fails, no new object is known afterwards.
        """
        if mask is None and not self.objects:
            raise ValueError('no object is known yet: the first frame needs a mask')
        names = self._names(mask, objects)
        self.finish()
        params, clock = self.params, self.clock
        self.frame += 1
        coupled = params.deep_update_every < 0
        due = mask is not None or self.frame - self.last_memory >= params.mem_every
        remember = len(names) > len(self.objects) or (due and not end)
        deep = not end and (remember if coupled else
                            self.frame - self.last_deep >= params.deep_update_every)
        ordinary = not end and not (coupled and deep)
        decode = bool(self.objects) and (
            mask is None or valid is None or len(valid) != len(names))

        padding = Padding.of(*image.shape[1:])
        with clock.stage('key'):
            encoded = self.network.encode_key(padding.pad(image))
        self._fit(encoded.grid)
        found = self._segment(encoded, ordinary) if decode else None
        if mask is not None:
            found = self._combine(padding.pad(mask), found, names, valid)
            self._grow_hidden(len(names))
            if params.stray_share:
                self._strays.note(found, names)
        if found is None:
            raise ValueError('a frame without a mask has to be segmented')
        probabilities = found
        before, self.objects = self.objects, names
        if remember:
            self._unfinished = encoded, probabilities[1:], deep
            if mask is not None or not self.late:
                try:
                    self.finish()
                except Exception:
                    self.objects = before
                    self._strays.forget(names[len(before):])
                    if self.hidden is not None:
                        self.hidden = self.hidden[:len(before)] if before else None
                    self.memory.retain(before)
                    raise
        return CoreResult(padding.crop(probabilities), remember, decode)

    def _names(self, mask: FloatArray | None, objects: Sequence[int] | None) -> list[int]:
        if mask is None:
            return self.objects
        names = list(self.objects if objects is None else objects)
        if names[:len(self.objects)] != self.objects or len(set(names)) != len(names):
            raise ValueError(f'objects {names} must be those known, {self.objects}, and then new '
                             'ones, each once')
        if len(mask) != len(names):
            raise ValueError(f'mask has {len(mask)} channels for {len(names)} objects')
        return names

    def _fit(self, grid: tuple[int, int]) -> None:
        """Carry the sensory memory over to a frame of another size; tokens have no size."""
        if self.grid is not None and grid != self.grid:
            self.regridded += 1
            if self.hidden is not None:
                self.hidden = self.network.ops.resize(self.hidden, *grid)
        self.grid = grid

    def _segment(self, encoded: EncodedFrame, ordinary: bool) -> FloatArray:
        with self.clock.stage('read'):
            readout = self.memory.read(encoded.key, encoded.selection)
        with self.clock.stage('decode'):
            found, hidden = self.network.decode(encoded, readout, self.hidden)
            if self.params.stray_share:
                found = self._strays.take_off(found, self.objects, self.params.stray_share)
        if ordinary:
            self.hidden = hidden
        return found

    def _combine(self, mask: FloatArray, found: FloatArray | None, names: list[int],
                 valid: Sequence[int] | None) -> FloatArray:
        """Merge given masks with the prediction; a pixel in a given mask belongs to it alone."""
        if found is not None and valid is not None:
            mask = mask.copy()
            free = mask.sum(0) <= 0.5
            for i, obj in enumerate(names[:len(found) - 1]):
                if obj not in valid:
                    mask[i] = found[i + 1] * free
        return aggregate(mask)

    def _grow_hidden(self, count: int) -> None:
        network = self.network
        if not network.hidden_dim or self.grid is None:
            return
        have = 0 if self.hidden is None else len(self.hidden)
        if have < count:
            new = network.ops.zeros(count - have, network.hidden_dim, *self.grid)
            self.hidden = new if self.hidden is None \
                else network.ops.concatenate([self.hidden, new])

    @property
    def unfinished(self) -> bool:
        """Return whether `finish` has something to do."""
        return self._unfinished is not None

    def finish(self) -> None:
        """Put the last frame into the memory, if it was left out until now."""
        if self._unfinished is None:
            return
        (encoded, masks, deep), self._unfinished = self._unfinished, None
        with self.clock.stage('value'):
            values, hidden = self.network.encode_value(encoded, masks, self.hidden)
        with self.clock.stage('memory'):
            self.memory.add(self.frame, encoded.key, encoded.shrinkage, encoded.selection,
                            dict(zip(self.objects, values, strict=True)))
        self.last_memory = self.frame
        if deep:
            self.hidden = hidden
            self.last_deep = self.frame

    def export(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """Return all that `restore` needs: arrays, and JSON-able values."""
        self.finish()
        arrays, memory = export_memory(self.memory)
        if self.hidden is not None:
            arrays['hidden'] = self.network.ops.numpy(self.hidden)
        arrays.update(self._strays.export())
        return arrays, {
            'memory': memory, 'objects': list(self.objects), 'frame': self.frame,
            'last_memory': self.last_memory, 'last_deep': self.last_deep,
            'regridded': self.regridded,
            'grid': None if self.grid is None else list(self.grid)}

    def restore(self, arrays: Mapping[str, NDArray], meta: Mapping[str, Any]) -> None:
        """Go on from what `export` gave; KeyError or ValueError names what does not fit.

        The core may be half restored then: throw it away.
        """
        self.reset()
        restore_memory(self.memory, arrays, meta['memory'])
        self.objects = [int(obj) for obj in meta['objects']]
        self.frame, self.last_memory = int(meta['frame']), int(meta['last_memory'])
        self.last_deep = int(meta['last_deep'])
        self.regridded = int(meta.get('regridded', 0))
        self.grid = None if meta['grid'] is None else (int(meta['grid'][0]), int(meta['grid'][1]))
        if sorted(self.objects) != sorted(self.memory.objects):
            raise ValueError(f'objects {self.objects}, values of {self.memory.objects}')
        if self.network.hidden_dim and self.objects and self.grid is not None:
            hidden = arrays['hidden']
            shape = (len(self.objects), self.network.hidden_dim, *self.grid)
            if hidden.shape != shape or hidden.dtype != np.float32:
                raise ValueError(f'hidden is {hidden.dtype}{hidden.shape}, must be float32{shape}')
            self.hidden = self.network.ops.array(hidden)
        if self.params.stray_share:
            self._strays.restore(arrays, self.objects)
        # It may have been saved under higher ceilings.
        self.memory.make_room()
