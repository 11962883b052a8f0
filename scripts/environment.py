#!/usr/bin/env python3
# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Make the project's environment: a virtual environment with ROS 2, and the messages built in it.

    python3 scripts/environment.py [--distro kilted|jazzy] [--extras test]

Everything is written inside the project: .venv, build, install, log (.venv-jazzy and so on for
Jazzy).  What is up to date is left alone, so a second call takes a moment.  Only the standard
library is used here: this program runs before anything is installed.
"""

from __future__ import annotations  # an old Python must get as far as the message about it

import argparse
import hashlib
import json
import os
from pathlib import Path
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time

ROOT = Path(__file__).resolve().parent.parent
DISTROS = ('kilted', 'jazzy')
PYTHONS = ((3, 10), (3, 13))


class EnvironmentProblem(Exception):
    """Something this machine lacks; the text says how to get it."""


def suffix(distro: str) -> str:
    """Return what distinguishes the folders of a distribution: nothing for Kilted."""
    return '' if distro == 'kilted' else f'-{distro}'


def digest(paths: list[Path], *texts: str) -> str:
    """Return a hash of the contents of `paths` and of `texts`."""
    value = hashlib.sha256('\0'.join(texts).encode())
    for path in paths:
        value.update(path.name.encode() + b'\0' + path.read_bytes())
    return value.hexdigest()


def check_machine() -> None:
    """Raise EnvironmentProblem for a machine or an interpreter that the wheels do not serve."""
    system = (platform.system(), platform.machine())
    if system != ('Linux', 'x86_64'):
        raise EnvironmentProblem(
            f'ROS 2 wheels exist for Linux on x86-64 only, this is {system[0]} on {system[1]}.\n'
            'Install ROS 2 itself and build this repository in a workspace: README.md, '
            '"In a ROS 2 workspace".')
    low, high = PYTHONS
    if not low <= sys.version_info[:2] <= high:
        raise EnvironmentProblem(
            f'Python {platform.python_version()} ({sys.executable}) cannot be used: the ROS 2 '
            f'wheels are for Python {low[0]}.{low[1]} to {high[0]}.{high[1]}.\n'
            'Name another interpreter: make PYTHON=python3.12 ...')
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        version = f'{sys.version_info[0]}.{sys.version_info[1]}'
        raise EnvironmentProblem(
            'Python cannot make virtual environments here.  Install what is missing:\n'
            f'  sudo apt-get install python{version}-venv') from None


def check_compiler() -> None:
    """Raise EnvironmentProblem when the messages cannot be compiled."""
    missing = []
    if not (shutil.which('g++') or shutil.which('c++') or os.environ.get('CXX')):
        missing.append('g++')
    if not shutil.which('make'):
        missing.append('make')
    if not (Path(sysconfig.get_paths()['include']) / 'Python.h').is_file():
        missing.append(f'python{sys.version_info[0]}.{sys.version_info[1]}-dev')
    if missing:
        raise EnvironmentProblem(
            'Building the ROS messages needs a C++ compiler and the Python headers.\n'
            f'Install what is missing:\n  sudo apt-get install {" ".join(missing)}')


def say(text: str) -> None:
    """Print a line of progress at once."""
    print(f'[env] {text}', flush=True)


def run(command: list[str], log: Path, env: dict[str, str] | None = None) -> None:
    """Run a command with its output in `log`; show the end of it when the command fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open('w') as out:
        code = subprocess.run(
            command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT).returncode
    if code:
        tail = '\n'.join(log.read_text(errors='replace').splitlines()[-40:])
        raise EnvironmentProblem(
            f'{tail}\n\n{" ".join(command)}\nfailed ({code}); all of it: {log}')


def clean_environment() -> dict[str, str]:
    """Return the environment without what a sourced ROS 2 or another venv left in it."""
    drop = ('AMENT_', 'COLCON_', 'PYTHONPATH', 'PYTHONHOME', 'CMAKE_PREFIX_PATH', 'ROS_',
            '_ROS_WHEELS', 'LD_LIBRARY_PATH', 'VIRTUAL_ENV')
    return {k: v for k, v in os.environ.items() if not k.startswith(drop)}


def pip_install(python: Path, arguments: list[str], log: Path) -> None:
    """Install into the environment of `python`."""
    run([str(python), '-m', 'pip', 'install', '--disable-pip-version-check', *arguments],
        log, clean_environment())


def torch_arguments(python: Path) -> list[str]:
    """Return pip's arguments for the CPU build of torch; warn when only the other is there."""
    wanted = ['-r', str(ROOT / 'requirements/torch.txt')]
    index = os.environ.get('TORCH_INDEX_URL')
    if index:
        return ['--index-url', index, *wanted]
    ask = subprocess.run(
        [str(python), '-m', 'pip', 'install', '--disable-pip-version-check', '--quiet',
         '--dry-run', '--no-deps', '--ignore-installed', '--report', '-', *wanted],
        env=clean_environment(), capture_output=True, text=True)
    if ask.returncode == 0:
        version = json.loads(ask.stdout)['install'][0]['metadata']['version']
        if '+cpu' not in version:
            say(f'torch {version} from the default index may bring several GB of CUDA libraries; '
                'set TORCH_INDEX_URL to the index of the CPU builds to avoid that')
    return wanted


def mend_exports(venv: Path, python: Path) -> int:
    """Put this environment's paths where the wheels' CMake targets name their build machine's.

    The exported targets carry the absolute include folders of Python and of numpy on the machine
    that built the wheels; CMake refuses targets whose include folders do not exist.
    """
    paths = subprocess.run(
        [str(python), '-c',
         'import numpy, sysconfig; print(sysconfig.get_paths()["include"]); '
         'print(numpy.get_include())'],
        env=clean_environment(), capture_output=True, text=True, check=True).stdout.split('\n')
    builder = r'/opt/python/cp\d+-cp\d+'
    mended = 0
    for path in sorted((venv / 'share').glob('*/cmake/*.cmake')):
        before = path.read_text()
        after = re.sub(builder + r'/include/python3\.\d+', paths[0], before)
        after = re.sub(
            builder + r'/lib/python3\.\d+/site-packages/numpy/(_core|core)/include',
            paths[1], after)
        if after != before:
            path.write_text(after)
            mended += 1
    return mended


def make_venv(distro: str, extras: list[str]) -> Path:
    """Make or bring up to date the virtual environment; return its interpreter."""
    venv = ROOT / f'.venv{suffix(distro)}'
    python = venv / 'bin/python'
    logs = ROOT / '.cache/logs'
    base = [ROOT / 'requirements' / f'{name}.txt'
            for name in (f'ros-{distro}', 'build', 'runtime')]
    stamp = venv / 'environment.json'
    done = json.loads(stamp.read_text()) if stamp.is_file() else {}

    mark = digest(base, sys.version, str(venv))
    if done.get('base') != mark:
        check_compiler()
        started = time.monotonic()
        say(f'virtual environment {venv.name} for ROS 2 {distro} '
            f'on Python {platform.python_version()}')
        shutil.rmtree(venv, ignore_errors=True)
        run([sys.executable, '-m', 'venv', str(venv)], logs / 'venv.log', clean_environment())
        pip_install(python, [a for path in base for a in ('-r', str(path))], logs / 'pip.log')
        if not shutil.which('cmake'):
            say('cmake is not on this machine: taking it from the package index')
            pip_install(python, ['-r', str(ROOT / 'requirements/cmake.txt')],
                        logs / 'pip-cmake.log')
        say(f'installed in {time.monotonic() - started:.0f} s, '
            f'{mend_exports(venv, python)} CMake target files mended')
        done = {'base': mark}
        stamp.write_text(json.dumps(done))

    for extra in extras:
        files = [ROOT / 'requirements' / f'{extra}.txt']
        if extra == 'test':
            files.append(ROOT / 'requirements/torch.txt')
        mark = digest(files)
        if done.get(extra) == mark:
            continue
        started = time.monotonic()
        say(f'{extra} extras')
        if extra == 'test':
            pip_install(python, torch_arguments(python), logs / 'pip-torch.log')
        pip_install(python, ['-r', str(files[0])], logs / f'pip-{extra}.log')
        say(f'installed in {time.monotonic() - started:.0f} s')
        done[extra] = mark
        stamp.write_text(json.dumps(done))
    return python


def stage() -> Path:
    """Return a source folder of links to the package's parts, without the virtual environment.

    CMake refuses to export a target that includes a folder inside its source folder, and numpy's
    headers are in .venv, inside the checkout.
    """
    staged = ROOT / '.cache/colcon/vos_ros'
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    for name in ('CMakeLists.txt', 'package.xml', 'msg', 'srv', 'vos_ros', 'scripts', 'config',
                 'launch', 'native', 'weights'):
        (staged / name).symlink_to(ROOT / name)
    return staged


def build(distro: str, python: Path) -> None:
    """Build the package with colcon unless nothing it installs has changed.

    Files are installed as symbolic links and scripts/ros-env puts the checkout's vos_ros/ first,
    so only a change of the interfaces, of the compiled loops, of the build files or of the list of
    installed data files asks for a new build.
    """
    tail = suffix(distro)
    install = ROOT / f'install{tail}'
    sources = [ROOT / 'CMakeLists.txt', ROOT / 'package.xml',
               *sorted((ROOT / 'native').glob('*.[ch]')),
               *sorted((ROOT / 'msg').glob('*.msg')), *sorted((ROOT / 'srv').glob('*.srv'))]
    names = [str(p.relative_to(ROOT))
             for folder in ('scripts/nodes', 'config', 'launch', 'weights')
             for p in sorted((ROOT / folder).rglob('*'))
             if p.is_file() and '__pycache__' not in p.parts]
    environment = python.parent.parent / 'environment.json'
    mark = digest([*sources], json.loads(environment.read_text())['base'], *names)
    stamp = install / '.stamp'
    if stamp.is_file() and stamp.read_text() == mark:
        return
    check_compiler()
    # What is installed are links into the build, which a build that fails half-way has changed.
    stamp.unlink(missing_ok=True)
    # CMake keeps what it found of Python and of the folders: of another one nothing fits.
    base = json.loads(environment.read_text())['base']
    origin = install / '.base'
    if not origin.is_file() or origin.read_text() != base:
        for folder in (ROOT / f'build{tail}', install):
            shutil.rmtree(folder, ignore_errors=True)
    started = time.monotonic()
    say(f'building the messages with colcon into {install.name}')
    venv = python.parent.parent
    env = clean_environment()
    env.update(
        AMENT_PREFIX_PATH=str(venv), CMAKE_PREFIX_PATH=str(venv), ROS_DISTRO=distro,
        VIRTUAL_ENV=str(venv), PATH=f'{venv / "bin"}{os.pathsep}{env.get("PATH", "")}')
    env.setdefault('CMAKE_BUILD_PARALLEL_LEVEL', str(os.cpu_count() or 1))
    run([str(venv / 'bin/colcon'), '--log-base', f'log{tail}', 'build',
         '--base-paths', str(stage()),
         '--packages-select', 'vos_ros', '--build-base', f'build{tail}',
         '--install-base', install.name, '--symlink-install',
         '--event-handlers', 'console_direct+', '--cmake-args', '-DBUILD_TESTING=OFF',
         f'-DPython3_EXECUTABLE={python}', f'-DPYTHON_EXECUTABLE={python}',
         '--no-warn-unused-cli'],
        ROOT / '.cache/logs' / f'colcon{tail}.log', env)
    origin.write_text(base)
    stamp.write_text(mark)
    say(f'built in {time.monotonic() - started:.0f} s')


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--distro', choices=DISTROS, default='kilted', help='ROS 2 distribution')
    parser.add_argument('--extras', nargs='*', default=[], choices=('test',),
                        help='more requirement files to install')
    args = parser.parse_args()
    try:
        check_machine()
        build(args.distro, make_venv(args.distro, args.extras))
    except EnvironmentProblem as problem:
        print(f'\n{problem}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
