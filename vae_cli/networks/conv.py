"""Convolutional networks for images of any size and number of channels, plain or with residual blocks.

The encoder halves the image with convolutions of stride 2 and an even kernel, and ends with dense layers. The decoder
is its mirror: dense layers, then transposed convolutions through sizes in reverse. An odd side is rounded down
where the kernel still reaches every pixel, and up, with a border of zeros, where it has 2 pixels and would not.

Shape legend: N examples, C channels, H height, W width.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Size, Tensor, nn

from vae_cli.errors import ConfigError
from vae_cli.networks.activations import activation as named_activation
from vae_cli.networks.feature_maps import Finish, ResidualBlock
from vae_cli.types import Network

_DEEPEST = 1000  # blocks after a halving: what is more has lost a comma
_MOST_PLANES = 200  # beside an image; more of them would cost far more than the image itself
_SIMPLEST = {"channels": "32", "kernels": "4"}  # of a halving, in advice
_LAYOUT = torch.channels_last


class ConvEncoder(Network):
    """Image -> features of any shape. c enters as planes beside the image, or by FiLM after every halving.

    Planes are constant, one for each number of c; a c that is an image of that height and width is its own planes.

    Args:
        channels: after each halving.
        kernels: side of the kernel of each halving, even.
        blocks: residual blocks after each halving.
        hidden: units of the dense layers between the last feature map and the output.
        activation: between layers.
        normalization: none or group.
        conditioning: planes or film.

    Raises:
        ConfigError: where the event is no image, or too small for so many halvings.
    """

    def __init__(
        self,
        in_shape: Size,
        out_shape: Size,
        condition: Size | None,
        *,
        channels: Sequence[int],
        kernels: Sequence[int],
        blocks: int,
        hidden: Sequence[int],
        activation: str,
        normalization: str,
        conditioning: str,
    ) -> None:
        super().__init__()
        sizes = _sizes(in_shape, channels, kernels, blocks, hidden)
        film, joined = _routes(condition, conditioning)
        planes, self._beside = _planes(joined, sizes[0])
        last = Size((channels[-1], *sizes[-1]))
        self.stages = nn.ModuleList()
        ends = zip(pairwise([in_shape[0] + planes, *channels]), pairwise(sizes), kernels, strict=True)
        for (fan_in, fan_out), (large, small), kernel in ends:
            down, right = (max(0, 2 * half - side) for side, half in zip(large, small, strict=True))
            border = nn.ZeroPad2d((0, right, 0, down)) if down or right else nn.Identity()
            convolution = nn.Conv2d(fan_in, fan_out, kernel, stride=2, padding=kernel // 2 - 1)
            finish = Finish(fan_out, film, activation=activation, normalization_=normalization)
            inner = _blocks(blocks, fan_out, activation, normalization)
            self.stages.append(_Halving(border, convolution, finish, inner))
        self.dense = _dense([last.numel(), *hidden], activation)
        self.last = nn.Linear([last.numel(), *hidden][-1], out_shape.numel())
        self._planes, self._out_shape = sizes[0] if planes else None, out_shape
        self.to(memory_format=_LAYOUT)  # pyright: ignore[reportCallIssue] (torch's stub lacks it)

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        """H [N, C, H, W], c [N, *condition] -> [N, *out]."""
        if self._planes is not None:
            assert c is not None
            planes = c if self._beside else c.flatten(1)[..., None, None].expand(-1, -1, *self._planes)
            h = torch.cat([h, planes], dim=1)
        h = h.contiguous(memory_format=_LAYOUT)
        for stage in self.stages:
            h = stage(h, c)
        return self.last(self.dense(h.flatten(1))).unflatten(1, self._out_shape)


class ConvDecoder(Network):
    """Features of any shape -> image, the mirror of a `ConvEncoder` with the same arguments.

    c joins the features by concatenation (`planes`: every place of the first feature map sees it), or enters by FiLM
    before every doubling.
    """

    def __init__(
        self,
        in_shape: Size,
        out_shape: Size,
        condition: Size | None,
        *,
        channels: Sequence[int],
        kernels: Sequence[int],
        blocks: int,
        hidden: Sequence[int],
        activation: str,
        normalization: str,
        conditioning: str,
    ) -> None:
        super().__init__()
        sizes = _sizes(out_shape, channels, kernels, blocks, hidden)
        film, self._joined = _routes(condition, conditioning)
        joined = 0 if self._joined is None else self._joined.numel()
        self._first = Size((channels[-1], *sizes[-1]))
        units = [in_shape.numel() + joined, *reversed(hidden)]
        self.dense = _dense(units, activation)
        self.spread = nn.Linear(units[-1], self._first.numel())
        self.stages = nn.ModuleList()
        ends = zip(pairwise([out_shape[0], *channels]), pairwise(sizes), kernels, strict=True)
        for (fan_out, fan_in), (large, small), kernel in reversed(list(ends)):
            full = [2 * (side - 1) + kernel for side in small]  # sides before cutting
            cut = [(long - side + 1) // 2 for long, side in zip(full, large, strict=True)]
            kept = large[0] - full[0] + 2 * cut[0], large[1] - full[1] + 2 * cut[1]  # 1 where one side is cut less
            doubling = nn.ConvTranspose2d(fan_in, fan_out, kernel, 2, (cut[0], cut[1]), output_padding=kept)
            finish = Finish(fan_in, film, activation=activation, normalization_=normalization)
            self.stages.append(_Doubling(finish, _blocks(blocks, fan_in, activation, normalization), doubling))
        self.to(memory_format=_LAYOUT)  # pyright: ignore[reportCallIssue]

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        """H [N, *in], c [N, *condition] -> [N, C, H, W]."""
        h = h.flatten(1)
        if self._joined is not None:
            assert c is not None
            h = torch.cat([h, c.flatten(1)], dim=1)
        h = self.spread(self.dense(h)).unflatten(1, self._first).contiguous(memory_format=_LAYOUT)
        for stage in self.stages:
            h = stage(h, c)
        return h.contiguous()


class _Halving(nn.Module):
    def __init__(self, border: nn.Module, convolution: nn.Module, finish: Finish, blocks: nn.Module) -> None:
        super().__init__()
        self.border, self.convolution, self.finish, self.blocks = border, convolution, finish, blocks

    def forward(self, h: Tensor, c: Tensor | None) -> Tensor:
        return self.blocks(self.finish(self.convolution(self.border(h)), c))


class _Doubling(nn.Module):
    def __init__(self, finish: Finish, blocks: nn.Module, convolution: nn.Module) -> None:
        super().__init__()
        self.finish, self.blocks, self.convolution = finish, blocks, convolution

    def forward(self, h: Tensor, c: Tensor | None) -> Tensor:
        return self.convolution(self.blocks(self.finish(h, c)))


def _blocks(number: int, channels: int, activation: str, normalization: str) -> nn.Sequential:
    return nn.Sequential(
        *[ResidualBlock(channels, activation=activation, normalization_=normalization) for _ in range(number)]
    )


def _dense(units: Sequence[int], activation: str) -> nn.Sequential:
    return nn.Sequential(*[nn.Sequential(nn.Linear(a, b), named_activation(activation)) for a, b in pairwise(units)])


def _routes(condition: Size | None, conditioning: str) -> tuple[Size | None, Size | None]:
    """The condition as FiLM sees it, and as it joins the input: one of the two at most."""
    if conditioning not in ("planes", "film"):
        raise ConfigError(f"architecture.conditioning={conditioning}: unknown; choose one of planes, film")
    return (condition, None) if conditioning == "film" else (None, condition)


def _planes(joined: Size | None, sides: Size) -> tuple[int, bool]:
    """How many planes a condition is beside an image of that height and width, and whether it is such an image."""
    if joined is None:
        return 0, False
    if joined[1:] == sides:
        return joined[0], True
    if joined.numel() > _MOST_PLANES:
        raise ConfigError(
            f"architecture.conditioning=planes: a condition of {joined.numel()} numbers would be as many planes beside "
            "the image: use architecture.conditioning=film"
        )
    return joined.numel(), False


def _sizes(
    image: Size, channels: Sequence[int], kernels: Sequence[int], blocks: int, hidden: Sequence[int]
) -> list[Size]:
    """Height and width before the first halving and after each.

    Raises:
        ConfigError: for settings that make no network.
    """
    for name, units in (("channels", channels), ("hidden", hidden)):
        if any(number < 1 for number in units):
            raise ConfigError(f"architecture.{name}={list(units)}: whole numbers of 1 or more")
    if not channels or len(kernels) != len(channels):
        raise ConfigError(
            f"architecture.channels={list(channels)} with kernels {list(kernels)}: one number of channels and one "
            "kernel for each halving"
        )
    if any(kernel < 2 or kernel % 2 for kernel in kernels):
        raise ConfigError(f"architecture.kernels={list(kernels)}: the kernel of a halving is even: 2, 4, 6, ...")
    if not (0 <= blocks <= _DEEPEST):
        raise ConfigError(f"architecture.blocks={blocks}: 0 or more residual blocks, up to {_DEEPEST}")
    if len(image) != 3:
        raise ConfigError(
            f"convolutions need images [channels, height, width], and x has shape {tuple(image)}: "
            "choose architecture=mlp, or bring the data in that shape"
        )
    least = 2 ** len(channels)
    if min(image[1:]) < least:
        fewer = int(math.log2(min(image[1:])))
        halvings = " ".join(f"architecture.{key}=[{','.join([one] * fewer)}]" for key, one in _SIMPLEST.items())
        conv = f"architecture=conv {halvings}, or " if fewer else ""
        raise ConfigError(
            f"{len(channels)} halvings need images of at least {least} x {least} pixels, and x has {image[1]} x "
            f"{image[2]}: choose {conv}architecture=mlp"
        )
    sizes = [Size(image[1:])]
    for kernel in kernels:
        sizes.append(Size((side + (kernel == 2)) // 2 for side in sizes[-1]))
    return sizes
