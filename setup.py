# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Install the ROS-free part with pip: trackers, runtime, training, evaluation, and `vos-ros`.

This is not how the ROS 2 package is built.  package.xml says ament_cmake, so colcon uses
CMakeLists.txt, which makes the messages and installs the nodes too; it never looks here.
"""

from pathlib import Path

from setuptools import find_packages
from setuptools import setup

ROOT = Path(__file__).resolve().parent


def requirements(name: str) -> list[str]:
    """Return the requirements of a file, with the pins loosened to lower bounds."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line.replace('==', '>=', 1) for line in lines if line and not line.startswith('#')]


setup(
    name='vos-ros',
    version='0.1.0',
    description='Video object segmentation on CPU boards: instance tracks and followed objects',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['vos_ros', 'vos_ros.*'], exclude=['vos_ros.nodes']),
    install_requires=requirements('runtime'),
    extras_require={'train': requirements('test') + requirements('torch'),
                    'quantize': requirements('quantize'),
                    'simulate': requirements('simulate')},
    # Where vos_ros.runtime.package looks for models, whatever the prefix.
    data_files=[(f'share/vos_ros/{folder.relative_to(ROOT)}',
                 [str(file.relative_to(ROOT)) for file in sorted(folder.iterdir())])
                for folder in sorted((ROOT / 'weights').iterdir()) if folder.is_dir()],
    entry_points={'console_scripts': ['vos-ros = vos_ros.cli:main']},
)
