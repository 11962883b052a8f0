# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Make a network's scores mean something, so that a tracker's thresholds fit any weights.

Focal loss and one-to-one matching leave all probabilities low for as long as training is short:
a good mask may score 0.2. Two numbers a head, fitted after training and folded into its weights,
turn the objectness into the mask IoU to expect and the class logits into the probability of the
class given that the mask is good. The order within a head stays as it was.
"""

from collections.abc import Iterable

import torch
from torch import nn
from torch import Tensor
from torch.nn import functional as F

from vos_ros.models.mobileinst import MobileInst
from vos_ros.train.mobileinst_data import Batch
from vos_ros.train.mobileinst_data import dequantise
from vos_ros.train.mobileinst_data import to_network
from vos_ros.train.precision import working_cast

_GOOD = 0.5


@torch.no_grad()
def calibrate(model: MobileInst, batches: Iterable[Batch], device: torch.device,
              precision: torch.dtype) -> dict[str, float]:
    """Fit scale and shift of both heads on batches, change the model, and return the four.

    Keys objectness_scale, objectness_shift, class_scale, class_shift. Raises ValueError when no
    mask of the network comes near any object, for then there is nothing to fit.
    """
    model.eval()
    logits, objectness, ious, labels = [], [], [], []
    for batch in batches:
        with working_cast(device, precision):
            out = model(to_network(batch.images, device))
        for i, target in enumerate(batch.targets):
            overlap, best = best_overlap(out['masks'][i].float(), dequantise(target, device).masks)
            logits.append(out['logits'][i].float())
            objectness.append(out['objectness'][i].float())
            ious.append(overlap)
            labels.append(target.labels.to(device)[best] if len(target.labels)
                          else best.new_full(best.shape, -1))
    iou, label = torch.cat(ious), torch.cat(labels)
    good = (iou >= _GOOD) & (label >= 0)
    if int(good.sum()) < 20:
        raise ValueError('calibration: fewer than 20 masks match an object; train for longer')
    scale, shift = fit_logistic(torch.cat(objectness), iou)
    chosen = torch.cat(logits)[good]
    wanted = F.one_hot(label[good], chosen.shape[1]).float()
    class_scale, class_shift = fit_logistic(chosen.flatten(), wanted.flatten())
    decoder = model.instance_decoder
    _fold(decoder.objectness_head, scale, shift)
    _fold(decoder.class_head, class_scale, class_shift)
    return {'objectness_scale': scale, 'objectness_shift': shift,
            'class_scale': class_scale, 'class_shift': class_shift}


def best_overlap(masks: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """For each query: IoU with its nearest object float32 [N], and that object int64 [N].

    masks: logits [N, h, w].  truth: float [n, H, W] in 0..1.
    """
    count = masks.shape[0]
    if not len(truth):
        zero = torch.zeros(count, device=masks.device)
        return zero, zero.long()
    small = F.interpolate(truth[None], size=masks.shape[1:], mode='area')[0].flatten(1)
    ours = (masks > 0).flatten(1).float()
    shared = ours @ small.T
    iou = shared / (ours.sum(1)[:, None] + small.sum(1)[None] - shared + 1e-6)
    best = iou.max(1)
    return best.values, best.indices


def fit_logistic(logits: Tensor, wanted: Tensor, rounds: int = 60) -> tuple[float, float]:
    """Scale > 0 and shift that make sigmoid(scale · logit + shift) fit targets in 0..1 best."""
    logits, wanted = logits.double(), wanted.double()
    with torch.enable_grad():
        parameters = torch.zeros(2, dtype=torch.float64, device=logits.device, requires_grad=True)
        solver = torch.optim.LBFGS([parameters], max_iter=rounds, line_search_fn='strong_wolfe')

        def loss() -> Tensor:
            solver.zero_grad()
            value = F.binary_cross_entropy_with_logits(
                logits * parameters[0].exp() + parameters[1], wanted)
            value.backward()
            return value

        solver.step(loss)  # type: ignore[arg-type]
    return float(parameters[0].detach().exp()), float(parameters[1].detach())


def _fold(head: nn.Linear, scale: float, shift: float) -> None:
    head.weight.mul_(scale)
    head.bias.mul_(scale).add_(shift)
