# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""MobileInst's graphs as two calls: key frames find instances, reuse frames follow them."""

from collections.abc import Sequence
import copy
from dataclasses import dataclass
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.guide import enlargement
from vos_ros.runtime.guide import interpolated
from vos_ros.runtime.guide import NEIGHBOURS
from vos_ros.runtime.motion import KeyframeView
from vos_ros.runtime.motion import Motion
from vos_ros.runtime.package import ModelPackage
from vos_ros.runtime.package import PackageError
from vos_ros.runtime.package import REUSE_FEATURES
from vos_ros.runtime.session import Graph

_KEY_OUTPUTS = ('logits', 'objectness', 'kernels', 'masks', 'mask_features')

# What a keyframe leaves for them: deep features, or a view of it for optical flow.
Context = NDArray[np.float32] | KeyframeView | None


@dataclass(frozen=True)
class KeyOutput:
    """What a key frame yields; N queries, C classes, kernels of D numbers, masks of h x w cells.

    logits: float32 [N, C], class logits, no sigmoid yet.
    objectness: float32 [N], logit of the mask IoU the network expects of its own mask.
    kernels: float32 [N, D].
    masks: float32 [N, h, w], mask logits = kernels · mask_features.
    mask_features: float32 [D, h, w]; the kernel of any frame can be multiplied with it.
    context: what ``reuse`` needs of this frame; None where it needs nothing.
    look_dim: the first so many numbers of a kernel are about how its object looks, the others
        about where it is; None: all of them.
    bands: Fourier bands of the window that a kernel ends with, see ``vos_ros.tracking.windows``;
        0: it has none.
    guide: float32 [9 f f, h, w], what ``vos_ros.runtime.guide.enlarge`` makes masks of f h x f w
        cells by; None from a network without.
    """

    logits: NDArray[np.float32]
    objectness: NDArray[np.float32]
    kernels: NDArray[np.float32]
    masks: NDArray[np.float32]
    mask_features: NDArray[np.float32]
    context: Context = None
    look_dim: int | None = None
    bands: int = 0
    guide: NDArray[np.float32] | None = None


class MobileInst:
    """A mobileinst package, loaded: ``key`` runs everything, ``reuse`` skips the decoder.

    input_size: (height, width) of the image both calls take; the package's own when not
        given, any multiples of 64 when the graphs leave it open, as those of vos-ros export do.
    mask_size: (h, w) of the masks that ``key`` gives.
    enlargement: f; those that ``reuse`` gives are [f h, f w], and so are those of ``key`` after
        ``vos_ros.runtime.guide.enlarge``. 1 for a package without a guide.
    threads, providers, spinning, arena: see ``vos_ros.runtime.session.Graph``.
    reuse_features: what runs on reuse frames.  'cached': the backbone to 1/16; what is deeper is
        taken from the keyframe (a package without a graph for that runs in full, which
        ``messages`` says).  'full': all of it.  'motion': no network, masks move by optical flow.

    Raises PackageError when the package is of another kind or its graphs contradict model.yaml,
    GraphError when onnxruntime cannot load a graph.
    """

    def __init__(
            self, package: ModelPackage, threads: int = 1, providers: Sequence[str] = ('cpu',), *,
            spinning: bool = False, arena: bool = True,
            input_size: tuple[int, int] | None = None, reuse_features: str = 'cached') -> None:
        """Load both graphs and check that they fit each other and the package."""
        if reuse_features not in REUSE_FEATURES:
            raise ValueError(f'reuse_features is {reuse_features!r}, must be one of '
                             f'{", ".join(REUSE_FEATURES)}')
        if package.kind != 'mobileinst':
            raise PackageError(f'{package.path}: is of kind {package.kind!r}, not mobileinst')
        self.package = package
        self.input_size = input_size or package.input_size
        sides = free_sides(self.input_size)

        def load(name: str) -> Graph:
            # One of them runs at a time, so they share what they compute in; a plan would hold its
            # block for each of them.
            return Graph(package.graphs[name], threads, providers, spinning=spinning, arena=arena,
                         plan=False, shared=arena, sides=sides)

        self._key = load('key')
        messages = self._key.messages
        if reuse_features == 'cached' and 'reuse_cached' not in package.graphs:
            reuse_features = 'full'
            messages += (f'{package.name} has no graph reuse_cached: the frames between keyframes '
                         'run in full',)
        self.reuse_features = reuse_features
        graph = REUSE_FEATURES[reuse_features]
        self._reuse = Motion() if graph is None else load(graph)
        if isinstance(self._reuse, Graph):
            messages += self._reuse.messages
        self.providers = self._key.providers
        self.messages = tuple(dict.fromkeys(messages))
        self._key_outputs = _KEY_OUTPUTS + (('context',) if reuse_features == 'cached' else ()) \
            + (('guide',) if 'guide' in self._key.outputs else ())
        self._check_graphs()
        features = self._key.outputs['mask_features'][1]
        self.kernel_dim = int(features[0])
        # What a kernel ends with: the constant of a box's window, and the waves of any window.
        bands = package.network.get('window_bands', 0)
        constant = bool(package.network.get('box_windows', False))
        most = (self.kernel_dim - constant) // 4
        if not isinstance(bands, int) or not 0 <= bands <= most:
            raise PackageError(f'{package.path}: network.window_bands is {bands!r}, must be 0 to '
                               f'{most} for kernels of {self.kernel_dim} numbers')
        self._bands = bands
        self._look_dim = self.kernel_dim - 4 * bands - constant
        self.mask_size = (int(features[1]), int(features[2]))
        self.enlargement = self._enlargement()
        self._fine_size = (self.enlargement * self.mask_size[0],
                           self.enlargement * self.mask_size[1])

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the class names, in the order of the logits."""
        return self.package.classes

    def key(self, image: NDArray[np.uint8]) -> KeyOutput:
        """Run the whole network.

        image: uint8 [height, width, 3] RGB at ``input_size`` (letterboxed by the caller).
        """
        output = KeyOutput(
            look_dim=self._look_dim, bands=self._bands,
            **self._key.run(self._key_outputs, image=np.ascontiguousarray(image)[None]))
        if isinstance(self._reuse, Motion):
            output = replace(output, context=self._reuse.view(image, output.mask_features))
        return output

    def reuse(
            self, image: NDArray[np.uint8], kernels: NDArray[np.float32],
            context: Context = None) -> NDArray[np.float32]:
        """Follow the kernels of a keyframe; context: the ``KeyOutput.context`` of that keyframe.

        The paper's M^{t+i} = K^t · X_mask^{t+i}.  kernels: float32 [n, D].  Returns mask logits
        float32 [n, f h, f w].  With no kernel there is nothing to compute, and nothing is.
        Raises ValueError without the context that ``reuse_features`` needs, PackageError for a
        graph whose masks are of another size.
        """
        if not len(kernels):
            return np.zeros((0, *self._fine_size), np.float32)
        kernels = np.ascontiguousarray(kernels, dtype=np.float32)
        if isinstance(self._reuse, Motion):
            if not isinstance(context, KeyframeView):
                raise ValueError("reuse_features 'motion' needs the context of a keyframe")
            return interpolated(self._reuse.follow(image, kernels, context), self.enlargement)
        inputs: dict[str, NDArray] = {'image': np.ascontiguousarray(image)[None],
                                      'kernels': kernels}
        if self.reuse_features == 'cached':
            if not isinstance(context, np.ndarray):
                raise ValueError("reuse_features 'cached' needs the context of a keyframe")
            inputs['context'] = context
        masks = self._reuse.run(('masks',), **inputs)['masks']
        # The graph does not say it before it has run.
        if masks.shape[1:] != self._fine_size:
            raise PackageError(f'{self._reuse.path}: gives masks of {masks.shape[1:]}, must give '
                               f'{self._fine_size}, as fine as {self._key.path} and its guide '
                               'make those of a keyframe')
        return masks

    def by_motion(self) -> 'MobileInst':
        """Return this network with the reuse frames of 'motion'; the graphs are shared."""
        other = copy.copy(self)
        other.reuse_features = 'motion'
        other._reuse = Motion()
        other._key_outputs = tuple(name for name in self._key_outputs if name != 'context')
        return other

    def warm(self) -> None:
        """Run both graphs once, so that the first frame does not pay for first allocations."""
        image = np.zeros((*self.input_size, 3), np.uint8)
        output = self.key(image)
        self.reuse(image, output.kernels[:1], output.context)

    def _enlargement(self) -> int:
        if 'guide' not in self._key_outputs:
            return 1
        shape = self._key.outputs['guide'][1]
        sides = self._key.outputs['mask_features'][1][1:]
        if len(shape) != 3 or shape[1:] != sides or not isinstance(shape[0], int) \
                or enlargement(shape[0]) ** 2 * NEIGHBOURS != shape[0]:
            raise PackageError(f'{self._key.path}: guide is {shape}, must be nine weights for '
                               f'each of f times f pixels of the cells {sides}')
        return enlargement(shape[0])

    def _check_graphs(self) -> None:
        cached = self.reuse_features == 'cached'
        graphs = [('key', self._key, {'image'}, set(self._key_outputs))]
        if isinstance(self._reuse, Graph):
            graphs.append((self._reuse.path.stem, self._reuse,
                           {'image', 'kernels'} | ({'context'} if cached else set()), {'masks'}))
        for name, graph, inputs, outputs in graphs:
            where = f'{graph.path}: graph {name}'
            if graph.inputs.keys() != inputs:
                raise PackageError(f'{where} takes {", ".join(graph.inputs)}, '
                                   f'must take {", ".join(sorted(inputs))}')
            lacking = outputs - graph.outputs.keys()
            if lacking:
                raise PackageError(f'{where} lacks the output {", ".join(sorted(lacking))}')
            for output in sorted(outputs):
                if graph.outputs[output][0] != 'tensor(float)':
                    raise PackageError(f'{where} gives {output} as {graph.outputs[output][0]}, '
                                       'must give tensor(float)')
            kind, shape = graph.inputs['image']
            expected = (1, *self.input_size, 3)
            if kind != 'tensor(uint8)' or shape != expected:
                raise PackageError(f'{where} takes an image {kind}{shape}, must take '
                                   f'tensor(uint8){expected}: the input size of model.yaml, or '
                                   'another one where the graphs leave it free')
        classes = self._key.outputs['logits'][1][-1]
        if classes != len(self.package.classes):
            raise PackageError(f'{self._key.path}: gives logits for {classes} classes, model.yaml '
                               f'names {len(self.package.classes)}')
        features = self._key.outputs['mask_features'][1]
        if len(features) != 3 or not all(isinstance(side, int) for side in features):
            raise PackageError(f'{self._key.path}: mask_features is {features}, must be three '
                               'fixed sides')
        if isinstance(self._reuse, Motion):
            return
        width = self._reuse.inputs['kernels'][1][-1]
        if width != features[0]:
            raise PackageError(f'{self._reuse.path}: takes kernels of {width} numbers, the key '
                               f'graph gives {features[0]}')
        if cached:
            taken, given = self._reuse.inputs['context'][1], self._key.outputs['context'][1]
            if taken != given:
                raise PackageError(f'{self._reuse.path}: takes a context {taken}, the key graph '
                                   f'gives {given}')


def free_sides(input_size: tuple[int, int]) -> dict[str, int]:
    """Return the lengths of the dimensions that exported graphs leave free, by name."""
    height, width = input_size
    return {'height': height, 'width': width,
            'context_height': height // 32, 'context_width': width // 32}
