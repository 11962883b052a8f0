# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""XMem's decoder from stride 16 to logits at stride 4, on CPUs, by Winograd's convolutions.

Nine tenths of decoding are seven 3x3 convolutions at strides 8 and 4.  Those of the image features
are computed once for all objects; then one object after the other goes through the same buffers,
so that memory hardly grows with their number.  All maps are [height, width, channels].
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from vos_ros.runtime.product import product
from vos_ros.runtime.strips import Strips
from vos_ros.runtime.winograd import blank
from vos_ros.runtime.winograd import inside
from vos_ros.runtime.winograd import Winograd

FloatArray = NDArray[np.float32]

# Rows of a map that one thread adds or pools at a time.
_ROWS = 8


@dataclass(frozen=True)
class Decoded:
    """logits: float32 [n, 4 h, 4 w] of a grid [h, w].

    pooled8, pooled4: features at strides 8 and 4 averaged to the grid, [n, h, w, C]; the logits
    are the last channel of pooled4.
    """

    logits: FloatArray
    pooled8: FloatArray
    pooled4: FloatArray


class StripDecoder:
    """The decoder of one network; one thread uses it.

    weights: model.safetensors with the tensors of the official names below `decoder`.
    strips: the threads, which share the rows of every map.
    Raises KeyError for a tensor that is not there.
    """

    def __init__(self, weights: Path, strips: Strips) -> None:
        """Read the weights and transform them."""
        self._strips = strips
        with safe_open(weights, 'numpy') as file:
            names = set(file.keys())

            def read(name: str) -> tuple[FloatArray, FloatArray]:
                both = []
                for part in ('weight', 'bias'):
                    full = f'decoder.{name}.{part}'
                    if full not in names:
                        raise KeyError(full)
                    both.append(np.asarray(file.get_tensor(full), np.float32))
                return both[0], both[1]

            def convolution(name: str) -> Winograd:
                return Winograd(*read(name), self._strips)

            self._up8 = _Upsample(convolution, 'up_16_8')
            self._up4 = _Upsample(convolution, 'up_8_4')
            weight, bias = read('pred')
        self._predict = np.ascontiguousarray(weight[0].transpose(1, 2, 0).reshape(9, -1))
        self._bias = float(bias[0])
        self._maps: dict[tuple[str, int, int, int], FloatArray] = {}

    def __call__(self, g16: FloatArray, f8: FloatArray, f4: FloatArray) -> Decoded:
        """Decode the objects of a frame.

        g16: float32 [n, h, w, C], what the fuse graph gives.  f8, f4: the image features
        [C, 2 h, 2 w] and [C, 4 h, 4 w], in the key graph's own order.
        """
        count, h, w = g16.shape[:3]
        skip8 = self._skip('8', f8, self._up8)
        skip4 = self._skip('4', f4, self._up4)
        logits = np.empty((count, 4 * h, 4 * w), np.float32)
        widths = self._up8.outputs, self._up4.outputs
        pooled8 = np.empty((count, h, w, widths[0]), np.float32)
        pooled4 = np.empty((count, h, w, widths[1] + 1), np.float32)
        for i in range(count):
            g8 = self._upsample('8', g16[i], skip8, self._up8)
            self._pool(g8, 2, pooled8[i])
            g4 = self._upsample('4', g8, skip4, self._up4)
            self._pool(g4, 4, pooled4[i, ..., :-1])
            logits[i] = self._logits(4 * h, 4 * w)
        pooled4[..., -1] = logits.reshape(count, h, 4, w, 4).mean((2, 4))
        return Decoded(logits, pooled8, pooled4)

    def _map(self, name: str, height: int, width: int, channels: int) -> FloatArray:
        """Return the padded buffer of that name; its border is zero, the rest as it was left."""
        key = name, height, width, channels
        if key not in self._maps:
            # A frame of another size: the buffers of the last one go.
            self._maps = {k: v for k, v in self._maps.items() if k[0] != name}
            self._maps[key] = blank(height, width, channels)
        return self._maps[key]

    def _skip(self, scale: str, feature: FloatArray, up: '_Upsample') -> FloatArray:
        channels, height, width = feature.shape
        # Where it fits, in the buffer that each object will fill later.
        name = 'x' if channels == up.inputs else 'feature'
        padded = self._map(name + scale, height, width, channels)
        place = inside(padded, height, width)

        def turn(first: int, end: int) -> None:
            place[first:end] = feature[:, first:end].transpose(1, 2, 0)

        self._strips.run(turn, height, _ROWS)
        out = inside(self._map('skip' + scale, height, width, up.inputs), height, width)
        up.skip(padded, out)
        return out

    def _upsample(self, scale: str, g: FloatArray, skip: FloatArray,
                  up: '_Upsample') -> FloatArray:
        """Return conv2(relu(conv1(relu(x)))) + x, or + downsample(x); x = g enlarged + skip."""
        height, width = skip.shape[:2]
        x = self._map('x' + scale, height, width, up.inputs)
        middle = self._map('middle' + scale, height, width, up.outputs)
        source = inside(x, height, width)

        def enlarge(first: int, end: int) -> None:
            _enlarge(g, skip, source, first, end)

        # Rows of g, each of which becomes two.
        self._strips.run(enlarge, len(g), _ROWS)
        up.conv1(x, inside(middle, height, width), relu=True, relu_out=True)
        out = source
        if up.downsample is not None:
            out = inside(self._map('g' + scale, height, width, up.outputs), height, width)
            up.downsample(x, out)
        up.conv2(middle, out, add=True)
        return out

    def _pool(self, maps: FloatArray, side: int, out: FloatArray) -> None:
        """Average squares of a map into out [h, w, C]."""
        _, width, channels = out.shape

        def pool(first: int, end: int) -> None:
            rows = maps[side * first:side * end:side] + maps[side * first + 1:side * end:side]
            for i in range(2, side):
                rows += maps[side * first + i:side * end:side]
            squares = rows.reshape(end - first, width, side, channels)
            out[first:end] = squares.sum(2)
            out[first:end] /= side * side

        self._strips.run(pool, len(out), max(1, _ROWS // side))

    def _logits(self, height: int, width: int) -> FloatArray:
        """Convolve relu(g4), which lies in the last buffer, to one channel."""
        name = 'x4' if self._up4.downsample is None else 'g4'
        padded = self._map(name, height, width, self._up4.outputs)
        channels = padded.shape[2]
        shares = np.empty((*padded.shape[:2], 9), np.float32)

        def share(first: int, end: int) -> None:
            rows = self._strips.scratch('relu', end - first, padded.shape[1], channels)
            np.maximum(padded[first:end], 0, out=rows)
            product(rows.reshape(-1, channels), self._predict, shares[first:end].reshape(-1, 9))

        self._strips.run(share, len(padded), _ROWS)
        out = np.full((height, width), self._bias, np.float32)
        for i in range(9):
            y, x = divmod(i, 3)
            out += shares[y:y + height, x:x + width, i]
        return out


class _Upsample:
    """The convolutions of one step up."""

    def __init__(self, convolution: Callable[[str], Winograd], name: str) -> None:
        self.skip = convolution(f'{name}.skip_conv')
        self.conv1 = convolution(f'{name}.out_conv.conv1')
        self.conv2 = convolution(f'{name}.out_conv.conv2')
        self.inputs, self.outputs = self.conv1.inputs, self.conv1.outputs
        self.downsample = convolution(f'{name}.out_conv.downsample') \
            if self.inputs != self.outputs else None


def _enlarge(g: FloatArray, skip: FloatArray, out: FloatArray, first: int, end: int) -> None:
    """Write 2 x bilinear g [h, w, C] + skip into out [2 h, 2 w, C], for rows [first, end) of g.

    Half-pixel centres, the border repeated: result 2 i is 3/4 of pixel i and 1/4 of the one
    before it, result 2 i + 1 of the one after it.
    """
    own = g[first:end]
    for odd in (0, 1):
        other = np.clip(np.arange(first, end) + 2 * odd - 1, 0, len(g) - 1)
        rows = np.float32(0.75) * own
        rows += np.float32(0.25) * g[other]
        quarter = np.float32(0.25) * rows
        rows *= np.float32(0.75)
        place = slice(2 * first + odd, 2 * end, 2)
        row, base = out[place], skip[place]
        np.add(base[:, ::2], rows, out=row[:, ::2])
        np.add(base[:, 1::2], rows, out=row[:, 1::2])
        row[:, 2::2] += quarter[:, :-1]
        row[:, 0] += quarter[:, 0]
        row[:, 1:-1:2] += quarter[:, 1:]
        row[:, -1] += quarter[:, -1]
