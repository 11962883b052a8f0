# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""MobileInst's two graphs as two calls: key frames find instances, reuse frames follow them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.package import ModelPackage
from vos_ros.runtime.package import PackageError
from vos_ros.runtime.session import Graph

_KEY_OUTPUTS = ('logits', 'objectness', 'kernels', 'masks', 'mask_features')


@dataclass(frozen=True)
class KeyOutput:
    """What a key frame yields; N queries, C classes, kernels of D numbers, masks of h x w cells.

    logits: float32 [N, C], class logits, no sigmoid yet.
    objectness: float32 [N], logit of the mask IoU the network expects of its own mask.
    kernels: float32 [N, D].
    masks: float32 [N, h, w], mask logits = kernels · mask_features.
    mask_features: float32 [D, h, w]; the kernel of any frame can be multiplied with it.
    """

    logits: NDArray[np.float32]
    objectness: NDArray[np.float32]
    kernels: NDArray[np.float32]
    masks: NDArray[np.float32]
    mask_features: NDArray[np.float32]


class MobileInst:
    """A mobileinst package, loaded: ``key`` runs everything, ``reuse`` skips the decoder.

    input_size: (height, width) of the image both calls take.
    mask_size: (h, w) of the masks both calls give.
    threads, providers, spinning, arena: see ``vos_ros.runtime.session.Graph``.

    Raises PackageError when the package is of another kind or its graphs contradict model.yaml,
    GraphError when onnxruntime cannot load a graph.
    """

    def __init__(
            self, package: ModelPackage, threads: int = 1, providers: Sequence[str] = ('cpu',), *,
            spinning: bool = False, arena: bool = True) -> None:
        """Load both graphs and check that they fit each other and the package."""
        if package.kind != 'mobileinst':
            raise PackageError(f'{package.path}: is of kind {package.kind!r}, not mobileinst')
        self.package = package
        self.input_size = package.input_size
        self._key = Graph(package.graphs['key'], threads, providers,
                          spinning=spinning, arena=arena)
        self._reuse = Graph(package.graphs['reuse'], threads, providers,
                            spinning=spinning, arena=arena)
        self.providers = self._key.providers
        self.messages = tuple(dict.fromkeys(self._key.messages + self._reuse.messages))
        self._check_graphs()
        features = self._key.outputs['mask_features'][1]
        self.kernel_dim = int(features[0])
        self.mask_size = (int(features[1]), int(features[2]))

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the class names, in the order of the logits."""
        return self.package.classes

    def key(self, image: NDArray[np.uint8]) -> KeyOutput:
        """Run the whole network.

        image: uint8 [height, width, 3] RGB at ``input_size`` (letterboxed by the caller).
        """
        return KeyOutput(**self._key.run(_KEY_OUTPUTS, image=np.ascontiguousarray(image)[None]))

    def reuse(
            self, image: NDArray[np.uint8], kernels: NDArray[np.float32],
            ) -> NDArray[np.float32]:
        """Run backbone and mask decoder, and multiply earlier kernels with this frame's features.

        The paper's M^{t+i} = K^t · X_mask^{t+i}.  kernels: float32 [n, D].  Returns mask logits
        float32 [n, h, w].  With no kernel there is nothing to compute, and nothing is.
        """
        if not len(kernels):
            return np.zeros((0, *self.mask_size), np.float32)
        outputs = self._reuse.run(
            ('masks',), image=np.ascontiguousarray(image)[None],
            kernels=np.ascontiguousarray(kernels, dtype=np.float32))
        return outputs['masks']

    def warm(self) -> None:
        """Run both graphs once, so that the first frame does not pay for first allocations."""
        image = np.zeros((*self.input_size, 3), np.uint8)
        self.reuse(image, self.key(image).kernels[:1])

    def _check_graphs(self) -> None:
        for name, graph, inputs, outputs in (
                ('key', self._key, {'image'}, set(_KEY_OUTPUTS)),
                ('reuse', self._reuse, {'image', 'kernels'}, {'masks'})):
            where = f'{graph.path}: graph {name}'
            if graph.inputs.keys() != inputs:
                raise PackageError(f'{where} takes {", ".join(graph.inputs)}, '
                                   f'must take {", ".join(sorted(inputs))}')
            lacking = outputs - graph.outputs.keys()
            if lacking:
                raise PackageError(f'{where} lacks the output {", ".join(sorted(lacking))}')
            kind, shape = graph.inputs['image']
            expected = (1, *self.input_size, 3)
            if kind != 'tensor(uint8)' or shape != expected:
                raise PackageError(f'{where} takes an image {kind}{shape}, model.yaml says '
                                   f'tensor(uint8){expected}')
        classes = self._key.outputs['logits'][1][-1]
        if classes != len(self.package.classes):
            raise PackageError(f'{self._key.path}: gives logits for {classes} classes, model.yaml '
                               f'names {len(self.package.classes)}')
        features = self._key.outputs['mask_features'][1]
        if len(features) != 3 or not all(isinstance(side, int) for side in features):
            raise PackageError(f'{self._key.path}: mask_features is {features}, must be three '
                               'fixed sides')
        width = self._reuse.inputs['kernels'][1][-1]
        if width != features[0]:
            raise PackageError(f'{self._reuse.path}: takes kernels of {width} numbers, the key '
                               f'graph gives {features[0]}')
