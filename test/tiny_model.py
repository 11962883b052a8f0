# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A model package that is real in all but its weights, which are random, and its size."""

import pytest

TINY_CLASSES = ('person', 'vehicle', 'animal')


def export_tiny(folder, size=(128, 192), free_size=True, guide_dim=0):
    """Export a MobileInst that runs in milliseconds; skip where torch is absent."""
    torch = pytest.importorskip('torch', reason='exporting a package needs torch')
    from vos_ros.models.export import export_mobileinst
    from vos_ros.models.mobileinst.network import MobileInst
    from vos_ros.models.mobileinst.network import MobileInstConfig
    torch.manual_seed(3)
    model = MobileInst(MobileInstConfig(
        backbone='efficientnet_lite0', num_classes=len(TINY_CLASSES), num_queries=12,
        hidden_dim=32, mask_dim=16, kernel_dim=16, ffn_dim=32, heads=4, guide_dim=guide_dim))
    if model.guide is not None:     # as it begins it interpolates
        torch.nn.init.normal_(model.guide.weigh.weight, std=30.0)
    export_mobileinst(model, folder, size, TINY_CLASSES, name='tiny', licence='Apache-2.0',
                      training_data='none: random weights for tests', free_size=free_size)
    return folder
