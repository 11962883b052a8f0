# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What makes one XMem network differ from another: widths and encoders."""

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import fields
from typing import Any

KEY_ENCODERS = ('resnet50', 'efficientnet_lite0')


@dataclass(frozen=True)
class XMemConfig:
    """Constructor arguments of `XMem`; the defaults are the official network.

    key_dim, value_dim, hidden_dim: C^k, C^v and C^h of the paper (section 3); hidden_dim 0 is a
    network without sensory memory.
    key_encoder: one of KEY_ENCODERS.
    value_stem, value_widths, value_blocks: channels after the value encoder's first convolution,
    channels of its three stages (strides 4, 8, 16), and residual blocks in each.
    single_object: the value encoder sees no mask of the other objects.
    fuse_dim, up8_dim, up4_dim: the decoder's channels at strides 16, 8 and 4.
    update_dim: channels in which the sensory update gathers the three scales.

    Raises ValueError that names the field at fault.
    """

    key_dim: int = 64
    value_dim: int = 512
    hidden_dim: int = 64
    key_encoder: str = 'resnet50'
    value_stem: int = 64
    value_widths: tuple[int, int, int] = (64, 128, 256)
    value_blocks: tuple[int, int, int] = (2, 2, 2)
    single_object: bool = False
    fuse_dim: int = 512
    up8_dim: int = 256
    up4_dim: int = 256
    update_dim: int = 256

    def __post_init__(self) -> None:
        """Refuse what no network can be built from."""
        if self.key_encoder not in KEY_ENCODERS:
            raise ValueError(f'key_encoder {self.key_encoder!r} is none of '
                             f'{", ".join(KEY_ENCODERS)}')
        for name in ('value_widths', 'value_blocks'):
            value = tuple(int(v) for v in getattr(self, name))
            if len(value) != 3 or min(value) < 1:
                raise ValueError(f'{name} is {value}, must be three numbers above 0')
            object.__setattr__(self, name, value)
        for entry in fields(self):
            value = getattr(self, entry.name)
            least = 0 if entry.name == 'hidden_dim' else 1
            if entry.type in (int, 'int') and (isinstance(value, bool)
                                               or not isinstance(value, int) or value < least):
                raise ValueError(f'{entry.name} is {value!r}, must be an integer of at least '
                                 f'{least}')

    @classmethod
    def lite(cls, **changes: Any) -> 'XMemConfig':
        """Return XMem-Lite: the same memories over a light network."""
        base: dict[str, Any] = {
            'key_dim': 64, 'value_dim': 128, 'hidden_dim': 32,
            'key_encoder': 'efficientnet_lite0', 'value_stem': 24, 'value_widths': (32, 64, 96),
            'value_blocks': (1, 1, 1), 'fuse_dim': 128, 'up8_dim': 64, 'up4_dim': 32,
            'update_dim': 64}
        return cls(**{**base, **changes})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> 'XMemConfig':
        """Return the config that `to_dict` described; ValueError names an unknown entry."""
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f'unknown network entries: {", ".join(unknown)}')
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v
                                 for k, v in values.items()}
        return cls(**plain)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as a model package's `network` entry holds them."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
