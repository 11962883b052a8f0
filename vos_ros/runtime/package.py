# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A model package: a folder with ``model.yaml``, ONNX graphs and, if wanted, safetensors weights.

``model.yaml``, format 1::

    format: 1
    kind: mobileinst                 # or xmem
    name: mobileinst-lite0
    licence: Apache-2.0
    input: {height: 384, width: 640}
    classes: [person, vehicle, ...]
    graphs:
      key: {file: key.onnx, sha256: 9f86d0...}
      reuse: {file: reuse.onnx, sha256: 60303a...}
      reuse_cached: {file: reuse_cached.onnx, sha256: fd61a0...}     # optional
    network: {backbone: efficientnet_lite0, ...}
    weights: {file: model.safetensors, sha256: 2c26b4...}      # optional
    training_data: what the weights were trained on
    figures: {mask_ap: 0.0}

Nothing in a package is ever unpickled.  Every file named there is hashed before it is used, so a
graph that was exchanged, truncated or left as a large-file pointer is refused by its name.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
import hashlib
import os
from pathlib import Path
import shutil
import tempfile
from typing import Any

import yaml

FORMAT = 1
MANIFEST = 'model.yaml'
WEIGHTS_ENV = 'VOS_ROS_WEIGHTS'

# kind → (graphs that must be there, what both input sides must be a multiple of).  64 is the
# stride of MobileInst's deepest features, so pools in the graph divide evenly; XMem's is 16.
KINDS: dict[str, tuple[tuple[str, ...], int]] = {
    'mobileinst': (('key', 'reuse'), 64),
    'xmem': ((), 16),
}
# How a mobileinst computes the frames between keyframes → the graph that it needs for that.
REUSE_FEATURES = {'cached': 'reuse_cached', 'full': 'reuse', 'motion': None}

_REQUIRED = ('format', 'kind', 'name', 'licence', 'input', 'classes', 'graphs', 'network',
             'training_data')
_OPTIONAL = ('weights', 'figures')


class PackageError(Exception):
    """A model package that cannot be used; the message names the file and the entry at fault."""


@dataclass(frozen=True)
class ModelPackage:
    """A package whose files have been checked.

    path: the folder.  input_size: (height, width) of the graphs' image input, pixels.
    graphs: graph name → file.  weights: the safetensors file, or None.
    digest: sha256 of model.yaml in hex; it covers the graphs too, through their hashes.
    weights_digest: sha256 in hex of `network` and the weights, of the graphs where there are none;
    two packages have the same where what they say of themselves differs, but not what they are.
    """

    path: Path
    kind: str
    name: str
    licence: str
    input_size: tuple[int, int]
    classes: tuple[str, ...]
    graphs: Mapping[str, Path]
    network: Mapping[str, Any]
    training_data: str
    digest: str
    weights_digest: str
    weights: Path | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the name, input size and short digest, as logs show them."""
        height, width = self.input_size
        return f'{self.name} ({self.kind}, {height}x{width}, {self.digest[:12]})'


def load_package(path: str | os.PathLike[str]) -> ModelPackage:
    """Read and check the model package at a folder, or of a name found by ``find_package``.

    Raises PackageError when the folder, a field, a file or a hash is not as the format says.
    """
    folder = find_package(path)
    manifest = folder / MANIFEST
    try:
        raw = manifest.read_bytes()
    except OSError as error:
        raise PackageError(f'{manifest}: cannot be read: {error.strerror}') from error
    try:
        content = yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise PackageError(f'{manifest}: is not YAML: {error}') from error
    _check_fields(manifest, content)
    graphs = {name: _checked_file(manifest, f'graphs.{name}', entry)
              for name, entry in content['graphs'].items()}
    entry = content.get('weights')
    weights = None if entry is None else _checked_file(manifest, 'weights', entry)
    return ModelPackage(
        path=folder, kind=content['kind'], name=content['name'], licence=content['licence'],
        input_size=(content['input']['height'], content['input']['width']),
        classes=tuple(content['classes']), graphs=graphs, network=content['network'],
        training_data=content['training_data'], digest=hashlib.sha256(raw).hexdigest(),
        weights_digest=_weights_digest(content), weights=weights,
        figures=content.get('figures') or {})


@contextmanager
def whole_package(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a folder to make a package in; when all of it is made it takes its place in `folder`.

    So a package that is there already stays as it was until then, whatever stops the making.
    Files become readable as others that the user makes; safetensors would leave them private.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.part.', dir=target) as part:
        yield Path(part)
        umask = os.umask(0)
        os.umask(umask)
        # model.yaml, which has the hashes of the others, comes last.
        for path in sorted(Path(part).iterdir(), key=lambda path: path.name == MANIFEST):
            path.chmod(0o666 & ~umask)
            os.replace(path, target / path.name)


def write_package(
        path: str | os.PathLike[str], *, kind: str, name: str, licence: str,
        input_size: tuple[int, int], classes: Sequence[str],
        graphs: Mapping[str, str | os.PathLike[str]], network: Mapping[str, Any],
        training_data: str, weights: str | os.PathLike[str] | None = None,
        figures: Mapping[str, Any] | None = None) -> ModelPackage:
    """Write model.yaml over files, copying into the folder those that lie elsewhere.

    input_size is (height, width) in pixels.  model.yaml is written last and in one move, so a
    package that was cut short never looks whole.  Returns the package as ``load_package`` reads
    it; raises PackageError when it would not be accepted.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {
        'format': FORMAT, 'kind': kind, 'name': name, 'licence': licence,
        'input': {'height': int(input_size[0]), 'width': int(input_size[1])},
        'classes': [str(label) for label in classes],
        'graphs': {key: _placed(folder, file) for key, file in graphs.items()},
        'network': dict(network)}
    if weights is not None:
        content['weights'] = _placed(folder, weights)
    content['training_data'] = training_data
    content['figures'] = dict(figures or {})
    manifest = folder / MANIFEST
    try:
        text = yaml.safe_dump(content, sort_keys=False, width=99, allow_unicode=True)
    except yaml.YAMLError as error:
        raise PackageError(f'{manifest}: network or figures hold what YAML cannot: {error}') \
            from error
    _check_fields(manifest, yaml.safe_load(text))
    part = folder / (MANIFEST + '.part')
    part.write_text(text, encoding='utf-8')
    os.replace(part, manifest)
    return load_package(folder)


def weights_dirs() -> list[Path]:
    """Return the existing folders that may hold packages, in the order they are searched.

    1. each folder in the environment variable VOS_ROS_WEIGHTS (separated like PATH);
    2. share/vos_ros/weights of the prefix this package is installed under, then of each prefix
       in AMENT_PREFIX_PATH;
    3. weights/ of the source checkout this file belongs to.
    """
    found: list[Path] = []
    for folder in _candidate_dirs():
        if folder.is_dir() and folder not in found:
            found.append(folder)
    return found


def default_package_dir() -> Path:
    """Return the first existing folder of ``weights_dirs``; raise PackageError without any."""
    folders = weights_dirs()
    if not folders:
        tried = ', '.join(str(folder) for folder in dict.fromkeys(_candidate_dirs()))
        raise PackageError(f'no folder with model packages; looked for {tried}; '
                           f'set {WEIGHTS_ENV} to the folder that holds them')
    return folders[0]


def find_package(path: str | os.PathLike[str]) -> Path:
    """Return the folder of a package given by its folder, or by a bare name to search for.

    Raises PackageError that lists what was searched and the packages that are there.
    """
    folder = Path(path).expanduser()
    if (folder / MANIFEST).is_file():
        return folder
    if folder.is_dir() and folder.name != str(path):
        raise PackageError(f'{folder}: has no {MANIFEST}, so it is not a model package')
    if folder.name == str(path):
        for parent in weights_dirs():
            if (parent / folder.name / MANIFEST).is_file():
                return parent / folder.name
        if folder.is_dir():
            raise PackageError(f'{folder}: has no {MANIFEST}, so it is not a model package')
    there = [str(manifest.parent) for parent in weights_dirs()
             for manifest in sorted(parent.glob(f'*/{MANIFEST}'))]
    raise PackageError(f'{path}: no such model package; there are: {", ".join(there) or "none"}')


def _candidate_dirs() -> Iterator[Path]:
    for entry in os.environ.get(WEIGHTS_ENV, '').split(os.pathsep):
        if entry:
            yield Path(entry).expanduser()
    here = Path(__file__).absolute()
    share = Path('share', 'vos_ros', 'weights')
    # site-packages lies three or more levels below the prefix, differently on each distribution.
    for prefix in here.parents[2:7]:
        if (prefix / share).is_dir():
            yield prefix / share
    for entry in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep):
        if entry:
            yield Path(entry) / share
    # A symlink install resolves to the checkout it was made from.
    for file in (here, here.resolve()):
        yield file.parents[2] / 'weights'


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open('rb') as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _weights_digest(content: Mapping[str, Any]) -> str:
    weights = content.get('weights')
    entries = content['graphs'] if weights is None else {'weights': weights}
    named = {'network': content['network'],
             'files': {name: entry['sha256'].lower() for name, entry in entries.items()}}
    return hashlib.sha256(yaml.safe_dump(named).encode()).hexdigest()


def _placed(folder: Path, file: str | os.PathLike[str]) -> dict[str, str]:
    source = Path(file)
    target = folder / source.name
    if not source.is_file():
        raise PackageError(f'{source}: no such file to put into the package {folder}')
    if not (target.exists() and source.samefile(target)):
        shutil.copyfile(source, target)
    return {'file': target.name, 'sha256': _sha256(target)}


def _checked_file(manifest: Path, entry_name: str, entry: Any) -> Path:
    if not isinstance(entry, dict) or not isinstance(entry.get('file'), str) \
            or not isinstance(entry.get('sha256'), str):
        raise PackageError(f'{manifest}: {entry_name} must be {{file: …, sha256: …}}')
    name = entry['file']
    if Path(name).name != name or name in ('', '.', '..') or '\\' in name:
        raise PackageError(f'{manifest}: {entry_name}.file must be a plain file name in the '
                           f'package, not {name!r}')
    file = manifest.parent / name
    if not file.is_file():
        raise PackageError(f'{file}: missing, {manifest.name} names it under {entry_name}')
    found = _sha256(file)
    if found != entry['sha256'].lower():
        raise PackageError(f'{file}: sha256 is {found}, {manifest.name} says {entry["sha256"]} '
                           f'under {entry_name}')
    return file


def _check_fields(manifest: Path, content: Any) -> None:
    if not isinstance(content, dict):
        raise PackageError(f'{manifest}: must be a mapping')
    missing = [name for name in _REQUIRED if name not in content]
    if missing:
        raise PackageError(f'{manifest}: lacks {", ".join(missing)}')
    unknown = [str(name) for name in content if name not in _REQUIRED + _OPTIONAL]
    if unknown:
        raise PackageError(f'{manifest}: does not know {", ".join(unknown)}')
    if content['format'] != FORMAT:
        raise PackageError(f'{manifest}: format {content["format"]!r}, this version reads '
                           f'format {FORMAT}')
    kind = content['kind']
    if not isinstance(kind, str) or kind not in KINDS:
        raise PackageError(f'{manifest}: kind {kind!r} is none of {", ".join(KINDS)}')
    for name in ('name', 'licence', 'training_data'):
        if not isinstance(content[name], str) or not content[name].strip():
            raise PackageError(f'{manifest}: {name} must be a text that is not empty')
    for name in ('graphs', 'network', 'input'):
        if not isinstance(content[name], dict):
            raise PackageError(f'{manifest}: {name} must be a mapping')
    if not isinstance(content.get('figures') or {}, dict):
        raise PackageError(f'{manifest}: figures must be a mapping')
    classes = content['classes']
    if not isinstance(classes, list) or not all(isinstance(label, str) for label in classes):
        raise PackageError(f'{manifest}: classes must be a list of texts')
    if len(set(classes)) != len(classes):
        raise PackageError(f'{manifest}: classes holds a name twice')
    if kind == 'mobileinst' and not classes:
        raise PackageError(f'{manifest}: classes is empty, a mobileinst needs at least one')
    required, multiple = KINDS[kind]
    for side in ('height', 'width'):
        size = content['input'].get(side)
        if not isinstance(size, int) or isinstance(size, bool) or size <= 0 or size % multiple:
            raise PackageError(f'{manifest}: input.{side} is {size!r}, must be a positive '
                               f'multiple of {multiple}')
    absent = [name for name in required if name not in content['graphs']]
    if absent:
        raise PackageError(f'{manifest}: graphs lacks {", ".join(absent)}, '
                           f'a {kind} package needs it')
    if not content['graphs'] and content.get('weights') is None:
        raise PackageError(f'{manifest}: has neither graphs nor weights')
