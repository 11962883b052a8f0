# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Model packages: what is accepted, and that each fault is refused by its name."""

import hashlib

import pytest
import yaml

from vos_ros.runtime import package
from vos_ros.runtime.package import find_package
from vos_ros.runtime.package import load_package
from vos_ros.runtime.package import PackageError
from vos_ros.runtime.package import write_package


@pytest.fixture
def written(tmp_path):
    """Write a package whose graphs are any bytes: the reader hashes, it does not run them."""
    source = tmp_path / 'elsewhere'
    source.mkdir()
    (source / 'key.onnx').write_bytes(b'key graph')
    (source / 'reuse.onnx').write_bytes(b'reuse graph')
    return write_package(
        tmp_path / 'pkg', kind='mobileinst', name='demo', licence='Apache-2.0',
        input_size=(384, 640), classes=['person', 'vehicle'],
        graphs={'key': source / 'key.onnx', 'reuse': source / 'reuse.onnx'},
        network={'backbone': 'efficientnet_lite0', 'num_queries': 100},
        training_data='nothing', figures={'mask_ap': 1.5})


def edit(written, **changes):
    manifest = written.path / 'model.yaml'
    content = yaml.safe_load(manifest.read_text())
    for name, value in changes.items():
        if value is None:
            del content[name]
        else:
            content[name] = value
    manifest.write_text(yaml.safe_dump(content))


def test_round_trip(written):
    again = load_package(written.path)
    assert again == written
    assert again.input_size == (384, 640)
    assert again.classes == ('person', 'vehicle')
    assert again.graphs['key'].read_bytes() == b'key graph'
    assert again.network == {'backbone': 'efficientnet_lite0', 'num_queries': 100}
    assert again.figures == {'mask_ap': 1.5}
    assert again.weights is None
    assert again.digest == hashlib.sha256((written.path / 'model.yaml').read_bytes()).hexdigest()
    assert not list(written.path.glob('*.part'))


def test_the_digest_of_the_weights_is_of_what_computes(written, tmp_path):
    def digest(**changes):
        edit(written, **changes)
        return load_package(written.path).weights_digest

    assert digest(name='other', figures={'mask_ap': 2.5}, training_data='more') \
        == written.weights_digest
    seen = {written.weights_digest, digest(network={'num_queries': 100})}
    (written.path / 'key.onnx').write_bytes(b'another graph')
    sha = hashlib.sha256(b'another graph').hexdigest()
    content = yaml.safe_load((written.path / 'model.yaml').read_text())
    graphs = {**content['graphs'], 'key': {'file': 'key.onnx', 'sha256': sha}}
    seen |= {digest(graphs=graphs)}
    assert len(seen) == 3
    # Where there are weights they count, not the graphs made of them.
    weights = digest(weights={'file': 'key.onnx', 'sha256': sha})
    assert digest(graphs=content['graphs'] | {'key': content['graphs']['reuse']}) == weights
    assert weights not in seen


def test_exchanged_graph_is_refused(written):
    (written.path / 'reuse.onnx').write_bytes(b'another graph')
    with pytest.raises(PackageError, match=r'reuse\.onnx: sha256 is .* under graphs\.reuse'):
        load_package(written.path)


def test_missing_graph_file_is_refused(written):
    (written.path / 'key.onnx').unlink()
    with pytest.raises(PackageError, match=r'key\.onnx: missing.*graphs\.key'):
        load_package(written.path)


def test_missing_graph_entry_is_refused(written):
    content = yaml.safe_load((written.path / 'model.yaml').read_text())
    del content['graphs']['reuse']
    edit(written, graphs=content['graphs'])
    with pytest.raises(PackageError, match='graphs lacks reuse'):
        load_package(written.path)


@pytest.mark.parametrize(('changes', 'message'), [
    ({'format': 2}, 'format 2, this version reads format 1'),
    ({'kind': 'yolo'}, "kind 'yolo' is none of mobileinst, xmem"),
    ({'kind': ['xmem']}, 'is none of mobileinst, xmem'),
    ({'input': {'height': 380, 'width': 640}}, 'input.height is 380.*multiple of 64'),
    ({'input': {'height': 384, 'width': -64}}, 'input.width is -64'),
    ({'input': {'height': True, 'width': 640}}, 'input.height is True'),
    ({'input': [384, 640]}, 'input must be a mapping'),
    ({'classes': []}, 'classes is empty'),
    ({'classes': ['a', 'a']}, 'classes holds a name twice'),
    ({'classes': 'person'}, 'classes must be a list'),
    ({'licence': ' '}, 'licence must be a text'),
    ({'training_data': None}, 'lacks training_data'),
    ({'surprise': 1}, 'does not know surprise'),
    ({'weights': {'file': 'model.safetensors'}}, 'weights must be'),
    ({'weights': {'file': '../key.onnx', 'sha256': '0'}}, 'weights.file must be a plain file'),
    ({'weights': {'file': '/etc/passwd', 'sha256': '0'}}, 'weights.file must be a plain file'),
])
def test_bad_field_is_refused(written, changes, message):
    edit(written, **changes)
    with pytest.raises(PackageError, match=message):
        load_package(written.path)


def test_tags_are_not_constructed(written):
    (written.path / 'model.yaml').write_text('!!python/object/apply:os.getcwd []\n')
    with pytest.raises(PackageError, match='is not YAML'):
        load_package(written.path)


def test_not_yaml_is_refused(written):
    (written.path / 'model.yaml').write_text('format: [1\n')
    with pytest.raises(PackageError, match='is not YAML'):
        load_package(written.path)


def test_write_refuses_what_load_would(tmp_path):
    (tmp_path / 'key.onnx').write_bytes(b'k')
    with pytest.raises(PackageError, match='graphs lacks reuse'):
        write_package(tmp_path / 'p', kind='mobileinst', name='n', licence='l',
                      input_size=(64, 64), classes=['a'], graphs={'key': tmp_path / 'key.onnx'},
                      network={}, training_data='t')
    assert not (tmp_path / 'p' / 'model.yaml').exists()


def test_write_refuses_a_missing_file(tmp_path):
    with pytest.raises(PackageError, match=r'no\.onnx: no such file'):
        write_package(tmp_path / 'p', kind='xmem', name='n', licence='l', input_size=(64, 64),
                      classes=[], graphs={'encode': tmp_path / 'no.onnx'}, network={},
                      training_data='t')


def test_found_by_name_in_search_order(written, tmp_path, monkeypatch):
    first, prefix = tmp_path / 'first', tmp_path / 'prefix'
    share = prefix / 'share' / 'vos_ros' / 'weights'
    for folder in (first, share):
        folder.mkdir(parents=True)
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(prefix))
    monkeypatch.setenv('VOS_ROS_WEIGHTS', str(first))
    (share / 'demo').symlink_to(written.path)
    assert package.default_package_dir() == first
    assert find_package('demo') == share / 'demo'
    (first / 'demo').symlink_to(written.path)
    assert find_package('demo') == first / 'demo'
    assert load_package('demo').name == 'demo'
    with pytest.raises(PackageError, match=r'nothing: no such model package; there are: .*demo'):
        load_package('nothing')


def test_folder_without_manifest_is_named(tmp_path):
    with pytest.raises(PackageError, match=r'has no model\.yaml'):
        load_package(tmp_path)


def test_no_weights_folder_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.setenv('VOS_ROS_WEIGHTS', str(tmp_path / 'gone'))
    monkeypatch.setenv('AMENT_PREFIX_PATH', '')
    monkeypatch.setattr(package, '__file__', str(tmp_path / 'a' / 'b' / 'c.py'))
    with pytest.raises(PackageError, match=r'gone.*VOS_ROS_WEIGHTS'):
        package.default_package_dir()
