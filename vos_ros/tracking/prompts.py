# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A request of several prompts becomes masks and ids: all of them, or none.

Everything is checked before anything is changed, and each refusal names its object.
"""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vos_ros.tracking.grabcut import BoolArray
from vos_ros.tracking.prompt import called
from vos_ros.tracking.prompt import Prompt
from vos_ros.tracking.prompt import PromptError
from vos_ros.tracking.prompt import Scene
from vos_ros.tracking.prompt_masks import mask_of


@dataclass(frozen=True)
class Designated:
    """A prompt taken.  mask: bool [H, W], at least one pixel.  method: how it came about."""

    id: int
    name: str
    mask: BoolArray
    method: str


@dataclass(frozen=True)
class Identities:
    """What new objects must get on with.

    followed: ids followed now.  max_objects: the most followed at a time.
    check_new: raises ValueError with the reason for an id that cannot be given.
    new_ids: gives so many ids that nobody has had; ValueError when too few are left.
    """

    followed: Collection[int]
    max_objects: int
    check_new: Callable[[int], None]
    new_ids: Callable[[int], list[int]]


def resolve(
        prompts: Sequence[Prompt], scene: Scene, identities: Identities, replace: bool = False,
        ) -> list[Designated]:
    """Return the masks and ids of all prompts; raise PromptError for the first bad one.

    replace: an id followed already gets the new mask; otherwise such an id is refused.
    Where masks overlap, the later prompt of the request lies on top.
    """
    if not prompts:
        raise PromptError('the request names no object')
    _check_ids(prompts, identities, replace)
    masks = []
    for index, prompt in enumerate(prompts):
        try:
            masks.append(mask_of(prompt, scene))
        except PromptError as error:
            raise PromptError(f'{_called(prompts, index)}: {error}') from None
    planes = _stacked(prompts, [mask for mask, _ in masks])
    ids = _complete_ids(prompts, identities)
    return [
        Designated(ids[index], prompt.name or scene.names.get(prompt.track_id, ''), plane, method)
        for index, (prompt, plane, (_, method)) in enumerate(
            zip(prompts, planes, masks, strict=True))]


def _called(prompts: Sequence[Prompt], index: int) -> str:
    return called(index, prompts[index].name)


def _check_ids(
        prompts: Sequence[Prompt], identities: Identities, replace: bool) -> None:
    asked: dict[int, int] = {}
    for index, prompt in enumerate(prompts):
        if prompt.id == 0:
            continue
        if prompt.id in asked:
            raise PromptError(f'{_called(prompts, index)}: id {prompt.id} is given to object '
                              f'{asked[prompt.id]} already')
        asked[prompt.id] = index
        if prompt.id in identities.followed:
            if not replace:
                raise PromptError(f'{_called(prompts, index)}: id {prompt.id} is followed '
                                  'already; set replace to give it a new mask')
            continue
        try:
            identities.check_new(prompt.id)
        except ValueError as error:
            raise PromptError(f'{_called(prompts, index)}: {error}') from None
    new = sum(prompt.id not in identities.followed for prompt in prompts)
    count = len(identities.followed) + new
    if new and count > identities.max_objects:
        raise PromptError(f'{new} new objects beside {len(identities.followed)} followed make '
                          f'{count}, max_objects is {identities.max_objects}')


def _complete_ids(prompts: Sequence[Prompt], identities: Identities) -> list[int]:
    """Give ids where none was asked for; last, since ids once drawn are not given again."""
    asked = {prompt.id for prompt in prompts}
    ids = []
    for index, prompt in enumerate(prompts):
        chosen = prompt.id
        try:
            while chosen in asked and not prompt.id:
                chosen = identities.new_ids(1)[0]
        except ValueError as error:
            raise PromptError(f'{_called(prompts, index)}: {error}') from None
        ids.append(chosen)
    return ids


def _stacked(prompts: Sequence[Prompt], masks: Sequence[BoolArray]) -> list[BoolArray]:
    """Give each pixel to the last mask that covers it; raise for a mask that is left without."""
    free = np.ones(masks[0].shape, bool)
    planes: list[BoolArray] = []
    for index in range(len(masks) - 1, -1, -1):
        plane = masks[index] & free
        if not plane.any():
            raise PromptError(f'{_called(prompts, index)}: its mask is covered wholly by later '
                              'objects of the request')
        free &= ~masks[index]
        planes.append(plane)
    return planes[::-1]
