# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Images and instances from a COCO instances JSON file."""

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import redirect_stdout
import io
import json
import os
from pathlib import Path
from typing import Any
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO

from vos_ros.data.instances import Instance
from vos_ros.data.instances import MaskedImage
from vos_ros.runtime.reading import read_picture


class DataError(ValueError):
    """Data on disk is not what it should be; the message names the file or the entry."""


def load_coco(annotations: str | os.PathLike[str]) -> COCO:
    """Read a COCO JSON file quietly; DataError naming the file when it is not one."""
    path = Path(annotations)
    if not path.is_file():
        raise DataError(f'{path}: no such annotation file')
    try:
        with redirect_stdout(io.StringIO()):
            coco = COCO(str(path))
    except (json.JSONDecodeError, KeyError, AssertionError, TypeError) as error:
        raise DataError(f'{path}: is not a COCO instances file ({error!r})') from error
    for part in ('images', 'annotations', 'categories'):
        if not isinstance(coco.dataset, dict) or part not in coco.dataset:
            raise DataError(f'{path}: has no {part!r}, so it is not a COCO instances file')
    return coco


def held_out(image_id: int, parts: int = 5) -> bool:
    """Tell whether an image belongs to the part that is kept for validation, by its id alone."""
    return zlib.crc32(str(image_id).encode()) % parts == 0


def read_names(path: str | os.PathLike[str], holder: str | os.PathLike[str],
               there: Collection[str]) -> list[str]:
    """Read a list of file names, one a line.

    there: the images of `holder`, a COCO file or folder.  DataError naming the list if it is not
    one, or names an image that is not there.
    """
    try:
        lines = Path(path).read_text(encoding='utf-8').splitlines()
    except OSError as error:
        raise DataError(f'{path}: no such list of images') from error
    except UnicodeDecodeError as error:
        raise DataError(f'{path}: is not a list of images in UTF-8 ({error})') from error
    names = [line.strip() for line in lines if line.strip()]
    missing = [name for name in names if name not in there]
    if missing:
        raise DataError(f'{path}: {Path(holder).name} has no image {", ".join(missing[:3])}'
                        + (f' and {len(missing) - 3} more' if len(missing) > 3 else ''))
    return names


def images_named(path: str | os.PathLike[str],
                 annotations: str | os.PathLike[str]) -> set[str]:
    """Read a list of images of a COCO file; DataError as `read_names` and `load_coco`."""
    there = {entry['file_name'] for entry in load_coco(annotations).dataset['images']}
    return set(read_names(path, annotations, there))


def class_map(coco: COCO, classes: Sequence[str], used: Collection[int]) -> dict[int, int]:
    """Map category ids to indices into `classes`, by category name or else by supercategory.

    used: the categories that must have a class; files list some that they have no object of.
    Raises DataError naming the first of them that has none.
    """
    out = {}
    for category in coco.dataset['categories']:
        for name in (category['name'], category.get('supercategory')):
            if name in classes:
                out[category['id']] = list(classes).index(name)
                break
        else:
            if category['id'] not in used:
                continue
            raise DataError(
                f'category {category["name"]!r} (supercategory '
                f'{category.get("supercategory")!r}) is none of {", ".join(classes)}')
    unlisted = set(used) - out.keys()
    if unlisted:
        raise DataError(f'category {min(unlisted)} has objects, but is not among the categories')
    return out


def read_rgb(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read an image file as uint8 [H, W, 3] RGB; DataError naming what cannot be read whole."""
    try:
        image = read_picture(Path(path))
    except (OSError, ValueError) as error:
        raise DataError(f'{path}: no such image, or not readable as one') from error
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def annotation_mask(coco: COCO, annotation: dict[str, Any]) -> NDArray[np.uint8] | None:
    """Decode an annotation's mask, uint8 [H, W] of 0 and 1; None where it has only a box.

    Raises DataError naming image and annotation for a segmentation that cannot be read.
    """
    segmentation = annotation.get('segmentation')
    try:
        if isinstance(segmentation, list):
            # Outlines of fewer than three points enclose nothing; pycocotools stumbles over them.
            segmentation = [outline for outline in segmentation if len(outline) >= 6]
        if not segmentation:
            return None
        mask = coco.annToMask({**annotation, 'segmentation': segmentation})
    except Exception as error:      # pycocotools raises bare Exception, too
        raise DataError(f'image {annotation.get("image_id")}: segmentation of annotation '
                        f'{annotation.get("id")} cannot be read ({error!r})') from error
    return np.asarray(mask, np.uint8)


class CocoImages:
    """The images of a COCO instances file, decoded when asked for.

    folder: where the images lie.
    annotations: the JSON file.
    classes: class names; a category is matched by its own name, else by its supercategory.
        None keeps the file's categories in their order.
    keep: file names or image ids to keep (None: all).
    class_of: the class of each category id, as an index; a category without an object in the
        images kept may have none.

    Annotations marked iscrowd are no single object and kept apart, as MaskedImage.crowds.
    Raises DataError naming the file or category at fault.
    """

    def __init__(self, folder: str | os.PathLike[str], annotations: str | os.PathLike[str],
                 classes: Sequence[str] | None = None,
                 keep: Collection[int | str] | None = None) -> None:
        """Read the JSON file and check that the categories have a class."""
        self.folder = Path(folder)
        self.coco = load_coco(annotations)
        if classes is None:
            classes = [c['name'] for c in self.coco.dataset['categories']]
        self.classes = tuple(classes)
        images = sorted(self.coco.dataset['images'], key=lambda image: image['id'])
        if keep is not None:
            images = [i for i in images if i['id'] in keep or i['file_name'] in keep]
        if not images:
            raise DataError(f'{annotations}: no image is left to read')
        self.images = images
        self.class_of = class_map(self.coco, self.classes, {
            a['category_id'] for i in images for a in self.coco.imgToAnns[i['id']]})

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __iter__(self) -> Iterator[MaskedImage]:
        """Go through all images in the order of their ids."""
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> MaskedImage:
        """Decode one image and its instances."""
        entry = self.images[index]
        path = self.folder / entry['file_name']
        rgb = read_rgb(path)
        if rgb.shape[:2] != (entry['height'], entry['width']):
            raise DataError(f'{path}: is {rgb.shape[1]} x {rgb.shape[0]}, the annotations say '
                            f'{entry["width"]} x {entry["height"]}')
        instances: list[Instance] = []
        crowds: list[Instance] = []
        for annotation in self.coco.imgToAnns[entry['id']]:
            mask = annotation_mask(self.coco, annotation)
            if mask is None:
                continue
            instance = Instance.from_full(mask, self.class_of[annotation['category_id']])
            if instance is not None:
                (crowds if annotation.get('iscrowd') else instances).append(instance)
        return MaskedImage(rgb, tuple(instances), entry['file_name'], tuple(crowds))
