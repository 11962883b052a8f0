# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Objects with transparency, to paste: cut from masked images, or photographic stamps."""

from collections.abc import Iterable
from dataclasses import dataclass
import os
from pathlib import Path
import shutil
import subprocess
import tempfile

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.data.coco import DataError
from vos_ros.data.instances import MaskedImage
from vos_ros.data.instances import SUPERCATEGORIES

STAMPS_PACKAGE = 'tuxpaint-stamps-default'
_STAMPS_FOLDER = Path('usr/share/tuxpaint/stamps')
# Folders of the package whose pictures have one of our classes, the longest prefix first.
_STAMP_CLASSES = {
    'household/dishes': 'kitchen', 'military/vehicles': 'vehicle', 'animals': 'animal',
    'vehicles': 'vehicle', 'food': 'food', 'sports': 'sports'}
# Drawings have flat areas: a share of pixels whose Laplacian is exactly zero above this is one.
_FLAT_SHARE = 0.15


@dataclass(frozen=True)
class Cutout:
    """An object on its own: rgb uint8 [h, w, 3], alpha uint8 [h, w], its class and origin."""

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    class_id: int
    source: str = ''


def cut_instances(images: Iterable[MaskedImage], min_side: int = 24, max_side: int = 320,
                  min_area: int = 600) -> list[Cutout]:
    """Cut the instances of masked images out, with edges softened by about a pixel.

    Instances whose shorter side or area is below the limits are left out (pixels), as are those
    that touch two or more image borders, which are mostly fragments; larger ones are reduced so
    that the longer side is max_side.
    """
    out = []
    for image in images:
        height, width = image.rgb.shape[:2]
        for instance in image.instances:
            h, w = instance.mask.shape
            x, y = instance.corner
            borders = (x <= 1) + (y <= 1) + (x + w >= width - 1) + (y + h >= height - 1)
            if min(h, w) < min_side or int(instance.mask.sum()) < min_area or borders > 1:
                continue
            alpha = cv2.copyMakeBorder(instance.mask * 255, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
            alpha = cv2.GaussianBlur(alpha, (3, 3), 0)
            alpha = np.minimum(alpha[1:-1, 1:-1], instance.mask * 255)
            rgb = image.rgb[y:y + h, x:x + w]
            scale = max_side / max(h, w)
            if scale < 1:
                size = (max(1, round(w * scale)), max(1, round(h * scale)))
                rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
                alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
            out.append(Cutout(rgb.copy(), alpha.astype(np.uint8), instance.class_id, image.name))
    return out


def fetch_stamps(cache: str | os.PathLike[str]) -> Path:
    """Return the stamps folder below `cache`, downloading Debian's package there when absent.

    A folder that is the stamps' own is returned as it is.
    Uses apt-get download and dpkg-deb, nothing is installed. Raises DataError saying what to do
    where these programs are missing or the download fails.
    """
    if Path(cache).is_dir() and Path(cache).parts[-2:] == Path(_STAMPS_FOLDER).parts[-2:]:
        return Path(cache)
    root = Path(cache) / STAMPS_PACKAGE
    folder = root / _STAMPS_FOLDER
    if folder.is_dir():
        return folder
    for program in ('apt-get', 'dpkg-deb'):
        if shutil.which(program) is None:
            raise DataError(f'{program} is not here: unpack the Debian package {STAMPS_PACKAGE} '
                            f'into {root} by hand')
    Path(cache).mkdir(parents=True, exist_ok=True)
    # Each process of a run may fetch at once: everyone into a folder of its own.
    with tempfile.TemporaryDirectory(prefix=f'.{STAMPS_PACKAGE}.', dir=cache) as own:
        part = Path(own) / STAMPS_PACKAGE
        _unpack_stamps(part)
        if not folder.is_dir():
            shutil.rmtree(root, ignore_errors=True)     # half of what was once unpacked here
            try:
                part.rename(root)
            except OSError:
                if not folder.is_dir():
                    raise
    return folder


def _unpack_stamps(part: Path) -> None:
    """Download and unpack the package into a new folder."""
    part.mkdir()
    fetched = subprocess.run(['apt-get', 'download', STAMPS_PACKAGE], cwd=part, text=True,
                             capture_output=True)
    archives = list(part.glob('*.deb'))
    if fetched.returncode or len(archives) != 1:
        raise DataError(f'apt-get download {STAMPS_PACKAGE} failed: {fetched.stderr.strip()} '
                        '(apt-get update first?)')
    unpacked = subprocess.run(['dpkg-deb', '-x', archives[0].name, '.'], cwd=part, text=True,
                              capture_output=True)
    if unpacked.returncode:
        raise DataError(f'{archives[0]}: cannot be unpacked: {unpacked.stderr.strip()}')
    archives[0].unlink()


def load_stamps(folder: str | os.PathLike[str], max_side: int = 320) -> list[Cutout]:
    """Read the photographic stamps that show an object of one of our twelve classes.

    folder: what fetch_stamps returns. Cartoons, toys and line drawings are left out.
    Raises DataError when there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f'{root}: no such folder of stamps')
    out = []
    for path in sorted(root.rglob('*.png')):
        name = path.relative_to(root).as_posix()
        group = next((g for g in _STAMP_CLASSES if name.startswith(g + '/')), None)
        if group is None or 'cartoon' in name or 'toys' in name:
            continue
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if image is None or image.ndim != 3 or image.shape[2] != 4 or image.dtype != np.uint8:
            continue
        alpha = image[..., 3]
        ys, xs = np.nonzero(alpha > 8)
        if not len(ys):
            continue
        image = image[ys.min():ys.max() + 1, xs.min():xs.max() + 1]
        if int((image[..., 3] > 250).sum()) < 1500 or not _is_photograph(
                image.astype(np.uint8)):
            continue
        scale = min(1.0, max_side / max(image.shape[:2]))
        if scale < 1:
            image = cv2.resize(image, (max(1, round(image.shape[1] * scale)),
                                       max(1, round(image.shape[0] * scale))),
                               interpolation=cv2.INTER_AREA)
        out.append(Cutout(np.ascontiguousarray(image[..., 2::-1]), image[..., 3].copy(),
                          SUPERCATEGORIES.index(_STAMP_CLASSES[group]), name))
    return out


def _is_photograph(bgra: NDArray[np.uint8]) -> bool:
    grey = cv2.cvtColor(bgra[..., :3], cv2.COLOR_BGR2GRAY)
    flat = cv2.Laplacian(grey, cv2.CV_16S, ksize=1) == 0
    return float(flat[bgra[..., 3] > 250].mean()) < _FLAT_SHARE
