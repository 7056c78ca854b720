"""Networks are the formulas they are named after, and take a condition where they are given one."""

import math

import pytest
import torch
from hydra.utils import instantiate
from parts import choices, leaf
from torch import Size
from torch.nn import functional as F

from vae_cli.errors import ConfigError
from vae_cli.networks.conv import ConvDecoder, ConvEncoder
from vae_cli.networks.feature_maps import Finish, ResidualBlock, normalization
from vae_cli.networks.mlp import MLP, GatedMLP
from vae_cli.shapes import over_samples
from vae_cli.types import Network

IMAGE = Size((2, 17, 20))


def network(choice, side, condition, conditioning="planes"):
    """An encoder from images to [2, 5], a decoder back."""
    config = leaf("architecture", choice)
    if "conditioning" in config:
        config.conditioning = conditioning
    shapes = (IMAGE, Size((2, 5))) if side == "encoder" else (Size((2, 5)), IMAGE)
    return instantiate(config[side])(*shapes, condition), *shapes


@pytest.mark.parametrize("side", ["encoder", "decoder"])
@pytest.mark.parametrize("choice", choices("architecture"))
@pytest.mark.parametrize(
    ("condition", "conditioning"), [(None, "planes"), (Size((3,)), "planes"), (Size((3,)), "film")]
)
def test_every_architecture_maps_shape_to_shape_row_by_row(choice, side, condition, conditioning):
    made, in_shape, out_shape = network(choice, side, condition, conditioning)
    h, c = torch.randn(6, *in_shape), None if condition is None else torch.randn(6, 3)
    out = made(h, c)
    assert out.shape == (6, *out_shape)
    alone = torch.cat([made(h[i : i + 1], None if c is None else c[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(out, alone, rtol=1e-4, atol=1e-5)
    if c is not None:
        assert not torch.allclose(out, made(h, c.roll(1, 0)))


CONV = {
    "channels": [4, 8],
    "kernels": [4, 2],
    "blocks": 0,
    "hidden": [16],
    "activation": "tanh",
    "normalization": "none",
    "conditioning": "planes",
}


@pytest.mark.parametrize("size", [(1, 8, 8), (3, 9, 11), (2, 28, 20), (1, 33, 64), (4, 105, 105)])
@pytest.mark.parametrize("normalization", ["none", "group"])
def test_conv_nets_take_images_of_any_size_and_channels(size, normalization):
    keys = {**CONV, "channels": [4, 8, 12], "kernels": [4, 4, 6], "blocks": 1, "normalization": normalization}
    encoder = ConvEncoder(Size(size), Size((5,)), None, **keys)
    decoder = ConvDecoder(Size((5,)), Size(size), None, **keys)
    x = torch.randn(2, *size)
    assert decoder(encoder(x)).shape == x.shape
    decoder(encoder(x)).square().sum().backward()
    for made in (encoder, decoder):
        assert all(parameter.grad.abs().sum() > 0 for parameter in made.parameters())


@pytest.mark.parametrize("size", [(1, 28, 28), (1, 28, 20), (1, 31, 33), (2, 17, 18)])
@pytest.mark.parametrize("choice", ["conv", "resnet", "burgess", "locatello", [2, 2], [2, 4], [6, 2]])
def test_every_pixel_reaches_the_latent_and_is_reached_by_it(size, choice):
    if isinstance(choice, str):
        config = leaf("architecture", choice)
        config.activation = "tanh"  # never flat, so that a path is a gradient
        encoder = instantiate(config.encoder)(Size(size), Size((3,)), None)
        decoder = instantiate(config.decoder)(Size((3,)), Size(size), None)
    else:
        keys = {**CONV, "kernels": choice}
        encoder, decoder = (
            ConvEncoder(Size(size), Size((3,)), None, **keys),
            ConvDecoder(Size((3,)), Size(size), None, **keys),
        )
    x = torch.randn(2, *size, requires_grad=True)
    encoder(x).sum().backward()
    assert (x.grad != 0).all()
    first, second = decoder(torch.randn(2, 3))
    assert (first != second).all()


def test_groups_have_at_least_four_channels():
    """A group of one value would be 0 whatever it was."""
    groups = {channels: normalization("group", channels).num_groups for channels in (1, 3, 4, 6, 8, 12, 32, 64, 100)}
    assert groups == {1: 1, 3: 1, 4: 1, 6: 1, 8: 2, 12: 1, 32: 8, 64: 8, 100: 1}


def test_too_many_planes_are_refused():
    with pytest.raises(ConfigError, match=r"a condition of 1623 numbers .* use architecture\.conditioning=film"):
        ConvEncoder(Size((1, 8, 8)), Size((3,)), Size((1623,)), **CONV)


def test_conv_encoder_is_written_out():
    made = ConvEncoder(Size((1, 9, 8)), Size((3,)), Size((2,)), **CONV)
    h, c = torch.randn(6, 1, 9, 8), torch.randn(6, 2)
    planes = c[:, :, None, None] * torch.ones(6, 2, 9, 8)
    first, second = (stage.convolution for stage in made.stages)
    x = torch.tanh(F.conv2d(torch.cat([h, planes], 1), first.weight, first.bias, stride=2, padding=1))
    x = torch.tanh(F.conv2d(x, second.weight, second.bias, stride=2))
    assert x.shape == (6, 8, 2, 2)
    ((dense, _),) = made.dense
    x = torch.tanh(x.reshape(6, 32) @ dense.weight.T + dense.bias)
    torch.testing.assert_close(made(h, c), x @ made.last.weight.T + made.last.bias)


def test_conv_decoder_is_written_out():
    made = ConvDecoder(Size((3,)), Size((2, 9, 8)), Size((2,)), **CONV)
    z, c = torch.randn(6, 3), torch.randn(6, 2)
    ((dense, _),) = made.dense
    x = torch.tanh(torch.cat([z, c], 1) @ dense.weight.T + dense.bias)
    x = torch.tanh((x @ made.spread.weight.T + made.spread.bias).reshape(6, 8, 2, 2))
    first, second = (stage.convolution for stage in made.stages)
    x = torch.tanh(F.conv_transpose2d(x, first.weight, first.bias, stride=2))
    x = F.conv_transpose2d(x, second.weight, second.bias, stride=2, padding=1, output_padding=(1, 0))
    torch.testing.assert_close(made(z, c), x)


def test_film_scales_and_shifts_channels():
    finish = Finish(4, Size((3,)), activation="relu", normalization_="none")
    h, c = torch.randn(6, 4, 5, 5), torch.randn(6, 3)
    gamma, delta = (c @ finish.film.weight.T + finish.film.bias).chunk(2, 1)
    expected = torch.relu(h * (1 + gamma[:, :, None, None]) + delta[:, :, None, None])
    torch.testing.assert_close(finish(h, c), expected)


def test_residual_blocks_add_to_what_they_read():
    block = ResidualBlock(4, activation="silu", normalization_="group")
    h = torch.randn(6, 4, 5, 5)
    x = h
    for place in (0, 3):
        normalized = F.group_norm(x, 1, block.residual[place].weight, block.residual[place].bias)
        convolution = block.residual[place + 2]
        x = F.conv2d(normalized * torch.sigmoid(normalized), convolution.weight, convolution.bias, padding=1)
    torch.testing.assert_close(block(h), h + x)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"channels": [4, 0]}, r"channels=\[4, 0\]: whole numbers of 1 or more"),
        ({"channels": [4, 4, 4]}, "one number of channels and one kernel for each halving"),
        ({"channels": [], "kernels": []}, "one number of channels and one kernel for each halving"),
        ({"kernels": [3, 4]}, "the kernel of a halving is even"),
        ({"hidden": [0]}, "hidden="),
        ({"blocks": -1}, "blocks=-1"),
        ({"normalization": "batch"}, "normalization=batch: unknown; choose one of none, group"),
        ({"conditioning": "cat"}, "conditioning=cat: unknown; choose one of planes, film"),
        ({"activation": "sigmod"}, "choose one of relu"),
    ],
)
@pytest.mark.parametrize("kind", [ConvEncoder, ConvDecoder])
def test_settings_that_make_no_conv_net_are_named(kind, changed, message):
    with pytest.raises(ConfigError, match=message):
        kind(Size((1, 8, 8)), Size((1, 8, 8)), None, **{**CONV, **changed})


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5,), r"x has shape \(5,\): choose architecture=mlp"),
        ((1, 8, 3), "2 halvings need images of at least 4 x 4 pixels, and x has 8 x 3"),
    ],
)
def test_events_that_are_no_image_are_named(shape, message):
    with pytest.raises(ConfigError, match=message):
        ConvEncoder(Size(shape), Size((3,)), None, **CONV)


# ---- corruption ----------------------------------------------------------------------------------------------------


class Same(Network):
    def __init__(self, *shapes):
        super().__init__()

    def forward(self, h, c=None):
        return h


@pytest.mark.parametrize("choice", choices("corruption"))
def test_corruption_is_for_training_alone(choice):
    made = instantiate(leaf("corruption", choice))(Same)(Size((3,)), Size((3,)), None)
    h = torch.rand(1000, 3)
    assert torch.equal(made.eval()(h), h)
    assert torch.equal(made.train()(h), h) == (choice == "none")


def test_corruption_is_what_it_is_called():
    h = torch.rand(200_000) + 0.5
    corrupted = {
        name: instantiate(leaf("corruption", name))(Same)(None, None, None).train()(h)
        for name in ("masking", "flipping", "gaussian")
    }
    masked, flipped = corrupted["masking"] == 0, corrupted["flipping"] != h
    assert torch.equal(corrupted["masking"][~masked], h[~masked])
    assert torch.equal(corrupted["flipping"][flipped], 1 - h[flipped])
    for found, probability in ((masked, 0.3), (flipped, 0.1)):
        assert abs(float(found.float().mean()) - probability) < 5 * (probability * (1 - probability) / 200_000) ** 0.5
    noise = corrupted["gaussian"] - h
    assert float(noise.std()) == pytest.approx(0.3, rel=0.01)
    assert abs(float(noise.mean())) < 5 * 0.3 / 200_000**0.5


@pytest.mark.parametrize(
    ("choice", "key"), [("masking", "probability"), ("flipping", "probability"), ("gaussian", "sigma")]
)
@pytest.mark.parametrize("value", [-0.1, math.nan])
def test_impossible_corruption_is_named(choice, key, value):
    with pytest.raises(ConfigError, match=f"corruption.{key}="):
        instantiate(leaf("corruption", choice), **{key: value})(Same)


def test_mlp_is_written_out():
    network = MLP(Size((2, 2)), Size((3,)), Size((1,)), width=5, depth=2, activation="tanh")
    (w1, b1, w2, b2), (w3, b3) = list(network._body.hidden.parameters()), list(network._body.last.parameters())
    h, c = torch.randn(7, 2, 2), torch.randn(7, 1)
    x = torch.cat([h.reshape(7, 4), c], 1)
    expected = torch.tanh(torch.tanh(x @ w1.T + b1) @ w2.T + b2) @ w3.T + b3
    torch.testing.assert_close(network(h, c), expected)


def test_gated_mlp_is_written_out():
    """h * sigmoid(g) with h and g both affine (Tomczak & Welling 2018)."""
    network = GatedMLP(Size((4,)), Size((3,)), None, width=5, depth=1)
    (w, b), (w_out, b_out) = list(network._body.hidden.parameters()), list(network._body.last.parameters())
    x = torch.randn(7, 4)
    h, g = x @ w[:5].T + b[:5], x @ w[5:].T + b[5:]
    torch.testing.assert_close(network(x), (h * torch.sigmoid(g)) @ w_out.T + b_out)


def test_depth_zero_is_linear():
    network = MLP(Size((4,)), Size((3,)), None, width=5, depth=0, activation="relu")
    assert sum(p.numel() for p in network.parameters()) == 4 * 3 + 3


def test_over_samples_gives_every_sample_its_condition():
    network = MLP(Size((4,)), Size((2,)), Size((3,)), width=5, depth=1, activation="relu")
    h, c = torch.randn(6, 5, 4), torch.randn(5, 3)
    expected = torch.stack([network(h[s], c) for s in range(6)])
    torch.testing.assert_close(over_samples(network, h, c), expected)
