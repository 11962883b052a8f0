# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Matching and losses against plain formulas and exhaustive search."""

from itertools import permutations
import math

import pytest
import torch
from torch.nn import functional as F

from vos_ros.train.losses import focal_loss
from vos_ros.train.losses import LossWeights
from vos_ros.train.losses import mask_losses
from vos_ros.train.losses import MobileInstLoss
from vos_ros.train.matching import match
from vos_ros.train.matching import resize_targets
from vos_ros.train.matching import Target

H, W = 16, 20           # of the mask logits; targets are four times as large after up-sampling 2x


def box(y0, x0, y1, x1):
    """A target mask at 1/4, coordinates at 1/8."""
    mask = torch.zeros(2 * H, 2 * W)
    mask[2 * y0:2 * y1, 2 * x0:2 * x1] = 1
    return mask


def logits_of(mask, scale=8.0):
    return F.avg_pool2d(mask[None], 2)[0] * 2 * scale - scale


def target(boxes, labels, ids=None):
    masks = torch.stack([box(*b) for b in boxes]) if boxes else torch.zeros(0, 2 * H, 2 * W)
    return Target(torch.tensor(labels, dtype=torch.int64), masks,
                  None if ids is None else torch.tensor(ids))


def outputs(batch=1, queries=6, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape):
        return torch.randn(shape, generator=generator).requires_grad_()

    return {'logits': noise(batch, queries, classes), 'objectness': noise(batch, queries),
            'masks': noise(batch, queries, H, W)}


BOXES = [(1, 1, 7, 8), (8, 3, 15, 9), (2, 12, 12, 18)]


def test_matching_is_the_best_of_all_assignments():
    for seed in range(5):
        out = {k: v.detach() for k, v in outputs(seed=seed).items()}
        aim = target(BOXES, [0, 3, 2])
        found = match(out['logits'], out['masks'], [aim], [aim.masks])[0]
        p = out['masks'][0].sigmoid()
        g = F.avg_pool2d(aim.masks, 2)
        score = torch.empty(6, 3)
        for i in range(6):
            for j in range(3):
                dice = 2 * (p[i] * g[j]).sum() / (p[i].square().sum() + g[j].square().sum() + 1e-4)
                score[i, j] = dice ** 0.8 * out['logits'][0, i, aim.labels[j]].sigmoid() ** 0.2
        best = max(sum(score[q, j] for j, q in enumerate(chosen))
                   for chosen in permutations(range(6), 3))
        ours = sum(score[q, j] for q, j in zip(*found, strict=True))
        assert sorted(found.objects.tolist()) == [0, 1, 2]
        assert ours.item() == pytest.approx(best.item(), abs=1e-5)


def test_more_objects_than_queries_matches_every_query():
    out = outputs(queries=2)
    aim = target(BOXES, [0, 1, 2])
    found = match(out['logits'], out['masks'], [aim], [aim.masks])[0]
    assert sorted(found.queries.tolist()) == [0, 1]


def test_terms_agree_with_their_formulas():
    out = outputs(batch=2, seed=3)
    aims = [target(BOXES[:2], [1, 0]), target(BOXES[2:], [3])]
    losses, matches = MobileInstLoss(LossWeights(pixel=5.0))(out, aims)
    dice, pixel, objectness, chosen = 0.0, [], [], set()
    for b, (aim, found) in enumerate(zip(aims, matches, strict=True)):
        for q, j in zip(found.queries.tolist(), found.objects.tolist(), strict=True):
            chosen.add((b, q, int(aim.labels[j])))
            x = F.interpolate(out['masks'][b:b + 1, q:q + 1], scale_factor=2, mode='bilinear',
                              align_corners=False)[0, 0]
            p, g = x.sigmoid(), aim.masks[j]
            dice += 1 - 2 * (p * g).sum() / (p.square().sum() + g.square().sum() + 1e-4)
            pixel.append(F.binary_cross_entropy(p, g))
            iou = ((p >= 0.4) & (g > 0.5)).sum() / ((p >= 0.4) | (g > 0.5)).sum()
            s = out['objectness'][b, q].sigmoid()
            objectness.append(-(iou * s.log() + (1 - iou) * (1 - s).log()))
    focal = 0.0
    for b in range(2):
        for q in range(6):
            for c in range(4):
                p = out['logits'][b, q, c].sigmoid().item()
                focal += (-0.25 * (1 - p) ** 2 * math.log(p) if (b, q, c) in chosen
                          else -0.75 * p ** 2 * math.log(1 - p))
    assert losses['dice'].item() == pytest.approx((dice / 3).item(), rel=1e-4)
    assert losses['pixel'].item() == pytest.approx(torch.stack(pixel).mean().item(), rel=1e-4)
    assert losses['objectness'].item() == pytest.approx(
        torch.stack(objectness).mean().item(), rel=1e-4)
    assert losses['class'].item() == pytest.approx(focal / 3, rel=1e-4)
    total = (2 * losses['class'] + 2 * losses['dice'] + 5 * losses['pixel']
             + losses['objectness'])
    assert losses['total'].item() == pytest.approx(total.item(), rel=1e-5)


def test_perfect_outputs_cost_almost_nothing():
    aim = target(BOXES, [0, 1, 2])
    masks = torch.stack([logits_of(m, 12.0) for m in aim.masks])
    out = {'masks': torch.cat([masks, torch.full((2, H, W), -12.0)])[None],
           'objectness': torch.full((1, 5), 12.0), 'logits': torch.full((1, 5, 4), -12.0)}
    out['logits'][0, range(3), range(3)] = 12.0
    losses, matches = MobileInstLoss()(out, [aim])
    assert matches[0].queries.tolist() == matches[0].objects.tolist() == [0, 1, 2]
    assert losses['class'] < 1e-3 and losses['objectness'] < 0.15 and losses['dice'] < 0.06


def test_every_term_reaches_only_what_it_should():
    out = outputs()
    losses, matches = MobileInstLoss()(out, [target(BOXES, [0, 1, 2])])
    losses['total'].backward()
    touched = out['masks'].grad[0].abs().sum((1, 2)) > 0
    assert sorted(touched.nonzero().squeeze(1).tolist()) == sorted(matches[0].queries.tolist())
    assert (out['logits'].grad != 0).all()
    touched = (out['objectness'].grad[0] != 0).nonzero().squeeze(1)
    assert sorted(touched.tolist()) == sorted(matches[0].queries.tolist())


def test_background_weight_pushes_unmatched_objectness_down():
    out = outputs()
    losses, matches = MobileInstLoss(LossWeights(background=1.0))(out, [target(BOXES, [0, 1, 2])])
    losses['background'].backward()
    gradient = out['objectness'].grad[0]
    matched = torch.zeros(6, dtype=torch.bool)
    matched[matches[0].queries] = True
    assert (gradient[~matched] > 0).all() and (gradient[matched] == 0).all()


def test_an_unknown_class_trains_the_mask_and_leaves_the_class_head_alone():
    out = outputs()
    losses, matches = MobileInstLoss()(out, [target(BOXES[:1], [-1])])
    losses['total'].backward()
    query = matches[0].queries.item()
    assert (out['logits'].grad[0, query] == 0).all()
    assert out['masks'].grad[0, query].abs().sum() > 0
    others = [q for q in range(6) if q != query]
    assert (out['logits'].grad[0, others] != 0).all()


def test_images_without_objects_teach_that_there_is_nothing():
    out = outputs()
    losses, matches = MobileInstLoss()(out, [target([], [])])
    assert len(matches[0].queries) == 0
    assert losses['dice'] == losses['pixel'] == losses['objectness'] == 0 < losses['class']
    losses['total'].backward()
    assert (out['logits'].grad > 0).all()
    # every output stays in the graph, as several processes need
    assert out['masks'].grad is not None and out['objectness'].grad is not None


def test_objects_too_small_to_be_seen_are_not_matched():
    masks = torch.zeros(2, 16 * H, 16 * W)
    masks[0, 0, 0] = 1
    masks[1, :64, :64] = 1
    aim = Target(torch.tensor([1, 2]), masks.to(torch.uint8))
    resized = resize_targets(aim, (2 * H, 2 * W))
    assert resized[0].sum() == 0 and resized[1].sum() > 0
    losses, matches = MobileInstLoss()(outputs(), [aim])
    assert matches[0].objects.tolist() == [1]
    assert torch.isfinite(losses['total'])


def test_query_passing_follows_identity():
    out = outputs()
    before = target(BOXES, [0, 1, 2], ids=[7, 8, 9])
    _, matches = MobileInstLoss()(out, [before])
    query = dict(zip(matches[0].objects.tolist(), matches[0].queries.tolist(), strict=True))
    # at t + d: 9 is listed first, 7 moved, 8 is gone, 5 is new
    moved = [(3, 10, 13, 16), (4, 4, 10, 11), (0, 0, 3, 3)]
    after = target(moved, [2, 0, 1], ids=[9, 7, 5])
    masks = torch.zeros(1, 6, H, W, requires_grad=True)
    losses = MobileInstLoss(LossWeights(passed=3.0)).passing(
        {'passed_masks': masks}, matches, [before], [after])
    losses['total'].backward()
    gradient = masks.grad[0]
    touched = gradient.abs().sum((1, 2)) > 0
    assert sorted(touched.nonzero().squeeze(1).tolist()) == sorted([query[0], query[2]])
    # the gradient lowers the loss by raising exactly the object's own pixels
    for j, place in ((0, moved[1]), (2, moved[0])):
        inside = F.avg_pool2d(box(*place)[None], 2)[0] == 1
        assert (gradient[query[j]][inside] < 0).all()
    p = torch.full((2 * H, 2 * W), 0.5)
    dice = 0.0
    for place in moved[:2]:
        g = box(*place)
        dice += (1 - 2 * (p * g).sum() / (p.square().sum() + g.sum() + 1e-4)).item() / 2
    assert losses['passed_dice'].item() == pytest.approx(dice, rel=1e-4)
    assert losses['passed_pixel'].item() == pytest.approx(math.log(2), rel=1e-5)
    assert losses['total'].item() == pytest.approx(3 * (2 * dice + 5 * math.log(2)), rel=1e-4)


def test_query_passing_leaves_out_objects_listed_but_unseen():
    out = outputs()
    before = target(BOXES, [0, 1, 2], ids=[1, 2, 3])
    _, matches = MobileInstLoss()(out, [before])
    after = target(BOXES, [0, 1, 2], ids=[1, 2, 3])
    after.masks[1] = 0
    masks = torch.zeros(1, 6, H, W, requires_grad=True)
    MobileInstLoss().passing({'passed_masks': masks}, matches, [before],
                             [after])['total'].backward()
    assert (masks.grad[0].abs().sum((1, 2)) > 0).sum() == 2


def test_query_passing_needs_ids():
    out = outputs()
    aim = target(BOXES, [0, 1, 2])
    _, matches = MobileInstLoss()(out, [aim])
    with pytest.raises(ValueError, match='ids'):
        MobileInstLoss().passing({'passed_masks': out['masks']}, matches, [aim], [aim])


def test_matching_at_one_eighth_decides_as_at_one_quarter():
    # the shortcut taken by match(): the assignment of clear masks must not depend on it
    generator = torch.Generator().manual_seed(5)
    agreed, count = 0, 0
    for _ in range(20):
        boxes = []
        for _ in range(5):
            y, x = (int(torch.randint(0, n, (), generator=generator)) for n in (H - 5, W - 5))
            h, w = (int(torch.randint(3, 6, (), generator=generator)) for _ in range(2))
            boxes.append((y, x, y + h, x + w))
        aim = target(boxes, [0] * 5)
        masks = torch.stack([logits_of(m, 2.0) for m in aim.masks])[torch.randperm(
            5, generator=generator)]
        masks = masks + torch.randn(masks.shape, generator=generator)
        logits = torch.zeros(1, 5, 4)
        ours = match(logits, masks[None], [aim], [aim.masks])[0]
        big = F.interpolate(masks[None], scale_factor=2, mode='bilinear', align_corners=False)
        finer = F.interpolate(aim.masks[None], scale_factor=2, mode='nearest')[0]
        theirs = match(logits, big, [aim], [finer])[0]
        agreed += int((ours.objects == theirs.objects).sum())
        count += 5
    assert agreed >= 0.95 * count


def test_losses_are_float32_under_autocast():
    out = outputs(seed=2)
    aim = target(BOXES, [0, 1, 2])
    plain, _ = MobileInstLoss()(out, [aim])
    with torch.autocast('cpu', torch.bfloat16):
        mixed, matches = MobileInstLoss()(out, [aim])
        passed = MobileInstLoss().passing(
            {'passed_masks': out['masks']}, matches, [target(BOXES, [0, 1, 2], [1, 2, 3])],
            [target(BOXES, [0, 1, 2], [1, 2, 3])])
    for name, value in plain.items():
        assert mixed[name].dtype == torch.float32
        assert mixed[name].item() == pytest.approx(value.item(), rel=1e-6), name
    assert passed['total'].dtype == torch.float32


def test_descending_the_loss_finds_the_objects():
    torch.manual_seed(0)
    out = outputs(queries=8, seed=9)
    aim = target(BOXES, [0, 3, 2])
    optimiser = torch.optim.Adam(list(out.values()), lr=0.2)
    criterion = MobileInstLoss()
    for _ in range(80):
        losses, matches = criterion(out, [aim])
        optimiser.zero_grad()
        losses['total'].backward()
        optimiser.step()
    found = matches[0]
    assert losses['dice'] < 0.1
    labels = out['logits'][0, found.queries].argmax(-1)
    assert labels.tolist() == aim.labels[found.objects].tolist()
    rest = [q for q in range(8) if q not in found.queries.tolist()]
    assert out['logits'][0, rest].sigmoid().max() < 0.1


def test_focal_loss_without_alpha_is_plain_focal():
    x = torch.tensor([0.3, -1.2])
    y = torch.tensor([1.0, 0.0])
    p = x.sigmoid()
    expected = torch.stack([-(1 - p[0]) ** 2 * p[0].log(), -p[1] ** 2 * (1 - p[1]).log()])
    torch.testing.assert_close(focal_loss(x, y, alpha=None), expected)


def test_mask_losses_of_nothing_are_zero():
    dice, pixel = mask_losses(torch.zeros(0, 9), torch.zeros(0, 9), torch.tensor(1.0))
    assert dice == 0 and pixel == 0


def test_targets_that_do_not_fit_are_named():
    criterion = MobileInstLoss()
    with pytest.raises(ValueError, match='2 targets for a batch of 1'):
        criterion(outputs(), [target([], [])] * 2)
    with pytest.raises(ValueError, match='target 0: label 4 but the network has 4 classes'):
        criterion(outputs(), [target(BOXES[:1], [4])])
    with pytest.raises(ValueError, match='target 0: labels'):
        criterion(outputs(), [Target(torch.zeros(2, dtype=torch.int64), torch.zeros(3, H, W))])


def test_diverged_outputs_are_an_error():
    out = {k: v.detach() for k, v in outputs().items()}
    out['masks'][0, 2] = float('nan')
    with pytest.raises(FloatingPointError, match='diverged'):
        MobileInstLoss()(out, [target(BOXES, [0, 1, 2])])


@pytest.mark.parametrize('name', ['class_', 'dice', 'pixel', 'objectness', 'background', 'passed'])
def test_negative_weights_are_refused(name):
    with pytest.raises(ValueError, match=f'loss weight {name}'):
        LossWeights(**{name: -1.0})
