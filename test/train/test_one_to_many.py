# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which queries answer for an object, what each learns to expect of itself, kernel reuse."""

import pytest
import torch
from torch.nn import functional as F

from vos_ros.models.mobileinst.network import product
from vos_ros.train.auxiliary import dense_target
from vos_ros.train.auxiliary import DenseHead
from vos_ros.train.losses import in_void
from vos_ros.train.losses import LossWeights
from vos_ros.train.losses import MobileInstLoss
from vos_ros.train.matching import chosen_masks
from vos_ros.train.matching import gather
from vos_ros.train.matching import Match
from vos_ros.train.matching import Target
from vos_ros.train.one_to_many import assign
from vos_ros.train.one_to_many import box_loss
from vos_ros.train.one_to_many import mask_boxes
from vos_ros.train.one_to_many import near_loss
from vos_ros.train.one_to_many import OneToManyLoss
from vos_ros.train.one_to_many import quality_loss

GRID = (4, 6)
H, W = 16, 24           # mask cells; a cell of the grid has 4 x 4 of them


def truth(*boxes):
    """Objects as masks float32 [n, 2 H, 2 W] from boxes in mask cells (y0, x0, y1, x1)."""
    masks = torch.zeros(len(boxes), 2 * H, 2 * W)
    for mask, (y0, x0, y1, x1) in zip(masks, boxes, strict=True):
        mask[2 * y0:2 * y1, 2 * x0:2 * x1] = 1
    return masks


def logits_of(masks):
    return 8 * F.avg_pool2d(masks, 2) - 4


def test_the_queries_on_an_object_answer_for_it_and_only_those():
    objects = truth((0, 0, 8, 12), (8, 12, 16, 24), (13, 1, 15, 3))
    torch.manual_seed(0)
    found, _ = assign(torch.randn(24, H, W), objects, GRID)
    on = {0: {0, 1, 2, 6, 7, 8}, 1: {15, 16, 17, 21, 22, 23}, 2: {18}}
    for number, queries in on.items():
        mine = set(found.queries[found.objects == number].tolist())
        assert mine <= queries
        assert len(mine) == (1 if len(queries) == 1 else 2)     # 0.4 of six cells
    assert len(set(found.queries.tolist())) == len(found.queries)


def test_the_better_masks_are_chosen_and_every_iou_is_told():
    objects = truth((0, 0, 8, 12), (8, 12, 16, 24))
    masks = torch.full((24, H, W), -4.0)
    good = logits_of(objects)
    masks[[2, 7]] = good[0]             # two of the six cells of the first object
    masks[21] = good[1]
    masks[10] = logits_of(truth((0, 0, 8, 6)))[0]       # not on it: half of the first object
    found, iou = assign(masks, objects, GRID)
    assert set(found.queries[found.objects == 0].tolist()) == {2, 7}
    assert 21 in found.queries[found.objects == 1].tolist()
    expected = torch.zeros(24)
    expected[[2, 7, 21]], expected[10] = 1.0, 0.5
    torch.testing.assert_close(iou, expected, atol=1e-4, rtol=0)


def test_objects_in_one_cell_get_a_query_each_while_there_are_any():
    found, _ = assign(torch.zeros(24, H, W), truth((0, 0, 4, 8), (1, 1, 3, 3)), GRID)
    assert sorted(found.objects.tolist()) == [0, 1]
    nothing, iou = assign(torch.zeros(24, H, W), truth(), GRID)
    assert not len(nothing.queries) and not iou.any()
    unseen, _ = assign(torch.zeros(24, H, W), truth((3, 3, 3, 3)), GRID)
    assert not len(unseen.queries)
    with pytest.raises(FloatingPointError):
        assign(torch.full((24, H, W), float('nan')), truth((0, 0, 8, 12)), GRID)


def test_loss_leaves_unknown_classes_alone_and_has_gradients_everywhere_else():
    torch.manual_seed(1)
    out = {'logits': torch.randn(1, 24, 3, requires_grad=True),
           'objectness': torch.randn(1, 24, requires_grad=True),
           'kernels': torch.randn(1, 24, 5, requires_grad=True),
           'mask_features': torch.randn(1, 5, H, W, requires_grad=True)}
    out['masks'] = product(out['kernels'], out['mask_features'])
    objects = truth((0, 0, 8, 12), (8, 12, 16, 24))
    losses, matches = OneToManyLoss(GRID)(out, [Target(torch.tensor([2, -1]), objects)])
    losses['total'].backward()
    rows = out['logits'].grad[0].abs().sum(1).nonzero().squeeze(1)
    assert set(rows.tolist()) == set(
        matches[0].queries[matches[0].objects == 0].tolist())
    assert (out['objectness'].grad[0] != 0).all()
    masks = out['kernels'].grad[0].abs().sum(1).nonzero().squeeze(1)
    assert set(masks.tolist()) == set(matches[0].queries.tolist())
    assert (out['mask_features'].grad != 0).all()
    weights = LossWeights()
    total = (weights.class_ * losses['class'] + weights.dice * losses['dice']
             + weights.pixel * losses['pixel'] + losses['objectness'])
    torch.testing.assert_close(losses['total'], total)


def test_queries_that_show_void_do_not_train_objectness():
    objects = truth((0, 0, 8, 12))
    void = truth((8, 0, 16, 24))[0]
    masks = torch.full((24, H, W), -4.0)
    masks[:] = logits_of(objects)[0]
    masks[20] = logits_of(truth((8, 12, 16, 24)))[0]            # in void
    masks[21] = logits_of(truth((4, 12, 16, 24)))[0]            # by two thirds
    masks[22] = logits_of(truth((0, 12, 16, 24)))[0]            # by half: background
    masks[23] = -4                                              # no pixel at all
    assert in_void(masks, void).nonzero().squeeze(1).tolist() == [20, 21]
    out = {'logits': torch.zeros(1, 24, 3), 'kernels': torch.zeros(1, 24, 5),
           'mask_features': torch.zeros(1, 5, H, W), 'masks': masks[None]}

    def taught(area):
        out['objectness'] = torch.zeros(1, 24, requires_grad=True)
        losses, _ = OneToManyLoss(GRID)(out, [Target(torch.tensor([1]), objects, None, area)])
        losses['objectness'].backward()
        return losses['objectness'], out['objectness'].grad[0] != 0

    whole, everyone = taught(None)
    same, still = taught(torch.zeros(2 * H, 2 * W))
    assert everyone.all() and still.all() and same == whole
    less, judged = taught(void)
    assert (~judged).nonzero().squeeze(1).tolist() == [20, 21] and less < whole
    # What answers for an object is taught, wherever its mask lies.
    masks[:] = logits_of(truth((8, 12, 16, 24)))[0]
    _, judged = taught(void)
    found, _ = assign(masks, objects, GRID)
    assert set(judged.nonzero().squeeze(1).tolist()) == set(found.queries.tolist())


def test_void_is_no_background_to_the_dense_head():
    target = Target(torch.tensor([1]), truth((0, 0, 8, 12)))
    plain, _, _ = dense_target(target, (H, W))
    label, _, _ = dense_target(target._replace(void=truth((4, 0, 16, 24))[0]), (H, W))
    void = torch.zeros(H, W, dtype=torch.bool)
    void[4:] = True
    void[:8, :12] = False           # the object keeps its class
    assert (label[~void] == plain[~void]).all() and (plain[void] == 0).all()
    assert (label[void] > 3).all()


def test_void_teaches_the_dense_head_no_way_to_a_centre():
    torch.manual_seed(3)
    head = DenseHead(4, 3)
    features = torch.randn(1, 4, H, W, requires_grad=True)
    # An object of unknown class has a centre nevertheless.
    target = Target(torch.tensor([-1]), truth((0, 0, 8, 12)))
    plain = head(features, [target])['dense_offset']
    void = head(features, [target._replace(void=truth((8, 0, 16, 24))[0])])['dense_offset']
    assert float(void) == pytest.approx(float(plain))
    void.backward()
    taught = features.grad[0].abs().sum(0) > 0
    assert taught[:8, :12].all() and not taught[8:].any()


def test_void_does_not_teach_unmatched_queries_of_one_to_one_matching():
    masks = logits_of(truth((0, 0, 16, 8), (0, 12, 16, 24), (0, 8, 4, 12)))[None]
    object_, void = truth((0, 0, 16, 8)), truth((0, 12, 16, 24))[0]
    out = {'masks': masks}

    def taught(area):
        for key, shape in ('logits', (1, 3, 4)), ('objectness', (1, 3)):
            out[key] = torch.zeros(shape, requires_grad=True)
        losses, _ = MobileInstLoss(LossWeights(background=0.5))(
            out, [Target(torch.tensor([1]), object_, None, area)])
        losses['total'].backward()
        return [(out[key].grad[0].reshape(3, -1) != 0).any(1).tolist()
                for key in ('logits', 'objectness')]

    assert taught(None) == [[True, True, True]] * 2
    assert taught(void) == [[True, False, True]] * 2
    # What answers for an object is taught, wherever its mask lies.
    assert taught(truth((0, 0, 16, 8))[0]) == [[True, True, True]] * 2


def test_quality_loss_is_least_at_the_target():
    wanted = torch.tensor([0.0, 0.3, 1.0])
    at = quality_loss(torch.tensor([-12.0, -0.8473, 12.0]), wanted)
    assert at.max() < 1e-4
    assert (quality_loss(torch.zeros(3), wanted) > at + 0.05).all()


def test_reused_kernels_learn_where_their_object_went():
    loss = OneToManyLoss(GRID, LossWeights(reused=1.0))
    before, after = truth((0, 0, 8, 12)), truth((8, 0, 16, 12))
    here = Target(torch.tensor([0]), before, torch.tensor([5]))
    there = Target(torch.tensor([0]), after, torch.tensor([5]))
    found, _ = assign(torch.zeros(24, H, W), before, GRID)
    kernels = torch.ones(1, 24, 1)
    at_new, at_old = logits_of(after)[None], logits_of(before)[None]
    right = loss.reuse(kernels, at_new, [found], [here], [there])
    wrong = loss.reuse(kernels, at_old, [found], [here], [there])
    assert right['reused_dice'] < 0.05 < 0.9 < wrong['reused_dice']
    gone = loss.reuse(kernels, at_old, [found], [here],
                      [Target(torch.tensor([0]), after, torch.tensor([6]))])
    assert gone['total'] == 0


def test_masks_of_the_pairs_are_those_of_all_queries():
    torch.manual_seed(2)
    kernels, features = torch.randn(2, 24, 5), torch.randn(2, 5, H, W)
    matches = [Match(torch.tensor([3, 7]), torch.tensor([1, 0])),
               Match(torch.tensor([5]), torch.tensor([0]))]
    objects = [truth((0, 0, 8, 12), (8, 12, 16, 24)), truth((1, 1, 3, 3))]
    found = chosen_masks(kernels, features, matches, objects)
    expected = gather(product(kernels, features), matches, objects)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_box_loss_is_least_at_the_masks_box():
    objects = [truth((0, 0, 8, 12), (8, 12, 16, 24))]
    wanted = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.75, 0.75, 0.25, 0.25]])
    torch.testing.assert_close(mask_boxes(objects[0]), wanted)
    matches = [Match(torch.tensor([1, 0]), torch.tensor([0, 1]))]
    at = wanted.flip(0)[None].clone().requires_grad_()
    assert box_loss(at, matches, objects) < 1e-5
    moved = wanted.flip(0)[None] + torch.tensor([0.05, 0.0, 0.0, 0.1])
    near = box_loss(moved, matches, objects)
    # no overlap at all: the generalised IoU still says which way
    far = (wanted.flip(0)[None] * torch.tensor([0.1, 0.1, 0.2, 0.2])).requires_grad_()
    worse = box_loss(far, matches, objects)
    assert 0.3 < near < worse
    worse.backward()
    assert (far.grad[0, 0, :2] < 0).all()       # towards the object below and to the right


def test_what_is_near_an_object_counts_as_much_for_small_ones():
    objects = truth((2, 2, 4, 4), (0, 0, 16, 20))
    wrong = logits_of(objects)
    size = (2 * H, 2 * W)
    flat = F.interpolate(wrong[None], scale_factor=2, mode='nearest')[0].flatten(1)
    right = near_loss(flat, objects.flatten(1), size)
    assert float(right) == pytest.approx(2 * float(F.softplus(torch.tensor(-4.0))), rel=1e-4)
    # A cell beside the small object, half its side away, is seen; one far away is not.
    for place, seen in ((2, 4), True), ((14, 20), False):
        other = wrong.clone()
        other[0][place] = 4
        again = near_loss(F.interpolate(other[None], scale_factor=2, mode='nearest')[0].flatten(1),
                          objects.flatten(1), size)
        assert (float(again) > float(right) + 0.1) == seen
    assert float(near_loss(torch.zeros(0, 4 * H * W), torch.zeros(0, 4 * H * W), size)) == 0


def test_near_is_a_term_of_the_loss():
    objects = truth((0, 0, 8, 12))
    torch.manual_seed(1)
    kernels, features = torch.randn(1, 24, 5), torch.randn(1, 5, H, W)
    outputs = {'logits': torch.randn(1, 24, 3), 'objectness': torch.randn(1, 24),
               'kernels': kernels, 'mask_features': features, 'masks': product(kernels, features)}
    targets = [Target(torch.tensor([1]), objects)]
    plain, _ = OneToManyLoss(GRID)(outputs, targets)
    more, _ = OneToManyLoss(GRID, LossWeights(near=2.0))(outputs, targets)
    assert 'near' not in plain
    assert float(more['total']) == pytest.approx(float(plain['total'] + 2 * more['near']))
