# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The memory tracker's services: a request waits for the worker, the executor goes on."""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

import numpy as np
from sensor_msgs.msg import Image

from vos_ros.nodes import images
from vos_ros.nodes.memory_file import MemoryFile
from vos_ros.nodes.memory_file import path_inside
from vos_ros.nodes.memory_messages import prompts_of
from vos_ros.nodes.memory_messages import usage_message
from vos_ros.nodes.recent import Moment
from vos_ros.nodes.recent import nanoseconds
from vos_ros.nodes.recent import Recent
from vos_ros.srv import AddObjects
from vos_ros.srv import ListObjects
from vos_ros.srv import LoadMemory
from vos_ros.srv import RemoveObjects
from vos_ros.srv import SaveMemory
from vos_ros.tracking.following import Following
from vos_ros.tracking.following import spread
from vos_ros.tracking.persistence import MemoryFileError
from vos_ros.tracking.prompt import PromptError
from vos_ros.tracking.prompts import Designated
from vos_ros.tracking.prompts import resolve

if TYPE_CHECKING:
    from vos_ros.nodes.memory_tracker import MemoryTrackerNode

# What a caller can mend: told in the reply, not in the node's log as an error.
_REFUSALS = (PromptError, images.ImageError, MemoryFileError, OSError, ValueError, KeyError)


class MemoryServices:
    """Advertises the services; their work is done on the node's worker between two frames."""

    def __init__(
            self, node: 'MemoryTrackerNode', following: Following, recent: Recent,
            file: MemoryFile, directory: Path) -> None:
        """Advertise; requests are answered from now on."""
        self._node = node
        self._following = following
        self._recent = recent
        self._file = file
        self._directory = directory
        group = node.service_group
        for kind, name, answer in (
                (RemoveObjects, 'remove_objects', self._remove),
                (ListObjects, 'list_objects', self._list),
                (LoadMemory, 'load_memory', self._load)):
            node.create_service(kind, f'~/{name}', self._callback(name, answer),
                                callback_group=group)
        node.create_service(AddObjects, '~/add_objects', self._add_asked, callback_group=group)
        node.create_service(SaveMemory, '~/save_memory', self._save, callback_group=group)

    def _callback(self, name: str, answer: Callable[[Any, Any], None]) -> Any:
        """Return the callback that has the worker fill in a response."""
        async def callback(request: Any, response: Any) -> Any:
            try:
                return await self._node.submit(
                    lambda: self._answered(name, answer, request, response))
            except Exception as error:
                return self._refused(name, response, error)

        return callback

    def _answered(
            self, name: str, answer: Callable[[Any, Any], None], request: Any, response: Any,
            ) -> Any:
        try:
            answer(request, response)
        except Exception as error:
            response = self._refused(name, response, error)
            self._tell(response)
        return response

    async def _add_asked(self, request: Any, response: Any) -> Any:
        """Hold the images that a request is about: when its turn comes they may be gone."""
        held = None
        with contextlib.suppress(PromptError):
            held = self._recent.moment(nanoseconds(request.stamp), *_by_instance(request.objects))
        return await self._callback(
            'add_objects', lambda asked, answer: self._add(held, asked, answer))(request, response)

    def _tell(self, response: Any) -> None:
        """Fill in who is followed after the call, as far as the response has fields for it."""
        listing = self._following.listing()
        for field, values in (
                ('ids', [one.id for one in listing]), ('names', [one.name for one in listing])):
            if hasattr(response, field):
                setattr(response, field, values)

    def _refused(self, name: str, response: Any, error: Exception) -> Any:
        known = isinstance(error, _REFUSALS)
        # str() of a KeyError is the quoted key.
        text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        refusal = type(response)()
        if hasattr(refusal, 'success'):
            refusal.message = text if known else f'{type(error).__name__}: {error}'
        if known:
            self._node.get_logger().warning(f'{name} refused: {refusal.message}')
        else:
            self._node.get_logger().error(f'{name} failed: {type(error).__name__}: {error}')
        return refusal

    # On the worker's thread.

    def _add(self, held: Moment | None, request: Any, response: Any) -> None:
        prompts = prompts_of(request.objects)
        # What was not here when it was asked for may have come since.
        moment = self._recent.going_on(held) if isinstance(held, Moment) else self._recent.moment(
            nanoseconds(request.stamp), *_by_instance(request.objects))
        first, newest = moment.messages[0].header, moment.messages[-1].header
        # The newest may be the first of a new timeline whose turn comes after this.
        self._node.timeline.ahead(newest)
        if self._node.timeline.before(first, newest):
            raise PromptError('stamps went back since the image asked for: ask for a newer one')
        frames = self._frames(moment)
        taken = resolve(prompts, self._recent.scene(moment, frames[0], prompts),
                        self._following.identities(), request.replace)
        self._following.add(taken, frames)
        self._node.objects_changed()
        response.success = True
        self._tell(response)
        response.added_ids = [one.id for one in taken]
        response.methods = [one.method for one in taken]
        response.header = moment.messages[0].header
        response.labels = images.fill(
            Image(header=response.header), _label_map(taken), 'mono16')
        # Of an object whose mask was put right the name stays.
        names = {one.id: one.name for one in self._following.listing()}
        self._node.get_logger().info('following ' + ', '.join(
            f'{one.id} {names.get(one.id, one.name)!r} ({one.method})' for one in taken)
            + (f', brought forward over {len(frames) - 1} images' if len(frames) > 1 else ''))

    def _frames(self, moment: Moment) -> list[Any]:
        """Decode the image asked for and some of those since; a later one that is bad is skipped.

        Raises ImageError when the first one is bad.
        """
        chosen = spread(len(moment.messages), 1 + self._node.parameters['catch_up_frames'])
        frames = [self._node.decode(moment.messages[0])]
        for index in chosen[1:]:
            try:
                frames.append(self._node.decode(moment.messages[index]))
            except images.ImageError:
                continue
        return frames

    def _remove(self, request: Any, response: Any) -> None:
        if request.all and len(request.ids):
            raise ValueError('all is set and ids are given: one or the other')
        ids = self._following.ids if request.all else [int(obj) for obj in request.ids]
        unknown = [obj for obj in ids if obj not in self._following.ids]
        if unknown:
            raise ValueError(f'id {unknown[0]} is not followed; followed are: '
                             + (', '.join(map(str, self._following.ids)) or 'none'))
        if ids:
            self._following.remove(ids)
            self._node.objects_changed()
        response.success = True
        self._tell(response)

    def _list(self, _request: Any, response: Any) -> None:
        listing = self._following.listing()
        self._tell(response)
        response.states = [int(one.state) for one in listing]
        response.ages = [one.age for one in listing]
        response.memory = usage_message(self._following.tracker, self._node.last_header)

    def _load(self, request: Any, response: Any) -> None:
        self._following.load(path_inside(self._directory, request.path))
        # Saved in another run, it may go on before the last image here, as when a bag starts over.
        self._node.timeline.forget()
        self._node.objects_changed()
        response.success = True
        self._tell(response)

    # On the executor's thread, but for what it hands over.

    async def _save(
            self, request: SaveMemory.Request, response: SaveMemory.Response,
            ) -> SaveMemory.Response:
        try:
            path = path_inside(self._directory, request.path)
            if path.exists() and not request.overwrite:
                raise FileExistsError(f'{path} exists; set overwrite to replace it')
            writing: Any = await self._node.submit(
                lambda: (self._following.ids, self._file.write(path, request.overwrite)))
            response.ids = writing[0]
            response.bytes = await self._node.awaitable(writing[1])
        except Exception as error:
            return self._refused('save_memory', response, error)
        response.success = True
        response.path = str(path)
        return response


def _by_instance(objects: Sequence[Any]) -> tuple[bool, bool]:
    """Return whether prompts need an instance's mask, and whether they would rather have one."""
    need = any(one.track_id for one in objects)
    drawn = any(len(one.mask.data) or len(one.polygon) for one in objects)
    return need, need or (not drawn and any(len(one.box) or len(one.points) for one in objects))


def _label_map(taken: list[Designated]) -> Any:
    labels = np.zeros(taken[0].mask.shape, np.uint16)
    for one in taken:
        labels[one.mask] = one.id
    return labels
