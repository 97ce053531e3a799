"""BN-Inception, the network of much of the literature on metric learning, which timm does not have."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import SelectAdaptivePool2d
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

#: Widths of a block's branches: 1x1, 3x3 (reduced, full), double 3x3 (reduced, full), what is projected after pooling.
#: A block without a 1x1 halves the map. The networks of the literature are given by these numbers
#: (Ioffe and Szegedy, Batch normalization, ICML 2015; weights of the Caffe model, as ported by R. Cadene) [related].
BLOCKS: dict[str, tuple[int, tuple[int, int], tuple[int, int], int]] = {
    "3a": (64, (64, 64), (64, 96), 32),
    "3b": (64, (64, 96), (64, 96), 64),
    "3c": (0, (128, 160), (64, 96), 0),
    "4a": (224, (64, 96), (96, 128), 128),
    "4b": (192, (96, 128), (96, 128), 128),
    "4c": (160, (128, 160), (128, 160), 128),
    "4d": (96, (128, 192), (160, 192), 128),
    "4e": (0, (128, 192), (192, 256), 0),
    "5a": (352, (192, 320), (160, 224), 128),
    "5b": (352, (192, 320), (192, 224), 128),
}
#: Blocks that pool by the maximum: those that halve the map, and the last.
BY_MAXIMUM = ("3c", "4e", "5b")


class BNInception(nn.Module):
    """Its layers have the names of the Caffe model, like inception_3a_3x3_reduce and inception_3a_3x3_reduce_bn."""

    num_features = head_hidden_size = 1024

    def __init__(self, num_classes: int = 0, in_chans: int = 3, global_pool: str = "avg") -> None:
        super().__init__()
        self._add("conv1_7x7_s2", in_chans, 64, 7, stride=2)
        self._add("conv2_3x3_reduce", 64, 64)
        self._add("conv2_3x3", 64, 192, 3)
        width = 192
        for name, (one, (reduced, full), (double_reduced, double), projected) in BLOCKS.items():
            block, stride = f"inception_{name}_", 1 if one else 2
            self._add(block + "3x3_reduce", width, reduced)
            self._add(block + "3x3", reduced, full, 3, stride)
            self._add(block + "double_3x3_reduce", width, double_reduced)
            self._add(block + "double_3x3_1", double_reduced, double, 3)
            self._add(block + "double_3x3_2", double, double, 3, stride)
            if one:
                self._add(block + "1x1", width, one)
                self._add(block + "pool_proj", width, projected)
            width = one + full + double + (projected or width)
        self.num_classes, self.global_pool = num_classes, SelectAdaptivePool2d(pool_type=global_pool, flatten=True)
        self.last_linear = nn.Linear(width, num_classes) if num_classes else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Normalized pictures [B, 3, S, S] to features [B, 1024]."""
        return self.forward_head(self.forward_features(images))

    def forward_features(self, images: Tensor) -> Tensor:
        """The last map [B, 1024, S/32, S/32]."""
        x = F.max_pool2d(self._run("conv1_7x7_s2", images), 3, 2, ceil_mode=True)
        x = self._run("conv2_3x3", self._run("conv2_3x3_reduce", x))
        x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        for name in BLOCKS:
            x = self._block(name, x)
        return x

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """The map to features, and to classes where it has any."""
        pooled: Tensor = self.global_pool(features)
        return pooled if pre_logits else self.last_linear(pooled)

    def _block(self, name: str, x: Tensor) -> Tensor:
        block, projects = f"inception_{name}_", BLOCKS[name][0] > 0
        branches = [self._run(block + "1x1", x)] if projects else []
        branches.append(self._run(block + "3x3", self._run(block + "3x3_reduce", x)))
        double = self._run(block + "double_3x3_1", self._run(block + "double_3x3_reduce", x))
        branches.append(self._run(block + "double_3x3_2", double))
        if not projects:
            return torch.cat([*branches, F.max_pool2d(x, 3, 2, ceil_mode=True)], dim=1)
        pooled = F.max_pool2d(x, 3, 1, 1) if name in BY_MAXIMUM else F.avg_pool2d(x, 3, 1, 1)
        return torch.cat([*branches, self._run(block + "pool_proj", pooled)], dim=1)

    def _add(self, name: str, inputs: int, outputs: int, size: int = 1, stride: int = 1) -> None:
        self.add_module(name, nn.Conv2d(inputs, outputs, size, stride, size // 2))
        self.add_module(name + "_bn", nn.BatchNorm2d(outputs))

    def _run(self, name: str, x: Tensor) -> Tensor:
        return F.relu(self.get_submodule(name + "_bn")(self.get_submodule(name)(x)))


def converted(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published weights (`bn_inception-52deb4733.pth`) as this network wants them.

    They keep BatchNorm's vectors as [1, C], and take pictures as blue, green, red: the first layer's channels are
    turned round, so that pictures come as everywhere else. The classifier is left out.
    """
    own = BNInception().state_dict()
    found = {name: tensor.reshape(own[name].shape) for name, tensor in state.items() if name in own}
    return found | {"conv1_7x7_s2.weight": found["conv1_7x7_s2.weight"].flip(1)}


# What timm looks up by the name of a model: values of 0..255 less a mean of each channel, as the Caffe model had them.
default_cfgs = generate_default_cfgs(
    {
        "bn_inception": {
            "input_size": (3, 224, 224),
            "pool_size": (7, 7),
            "crop_pct": 0.875,
            "interpolation": "bicubic",
            "mean": (128 / 255, 117 / 255, 104 / 255),
            "std": (1 / 255,) * 3,
            "first_conv": "conv1_7x7_s2",
            "classifier": "last_linear",
        }
    }
)


@register_model  # type: ignore[untyped-decorator]
def bn_inception(pretrained: bool = False, **options: Any) -> nn.Module:
    """BN-Inception; its weights come from a local file (see docs/encoders.md)."""
    model: nn.Module = build_model_with_cfg(BNInception, "bn_inception", pretrained, **options)
    return model
