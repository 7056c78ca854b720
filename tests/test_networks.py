"""Networks are the formulas they are named after, and take a condition where they are given one."""

import pytest
import torch
from hydra.utils import instantiate
from parts import choices, leaf
from torch import Size

from vae_cli.networks.mlp import MLP, GatedMLP
from vae_cli.shapes import over_samples


@pytest.mark.parametrize("side", ["encoder", "decoder"])
@pytest.mark.parametrize("choice", choices("architecture"))
@pytest.mark.parametrize("condition", [None, Size((3,))])
def test_every_architecture_maps_shape_to_shape_row_by_row(choice, side, condition):
    network = instantiate(leaf("architecture", choice)[side])(Size((1, 4, 4)), Size((2, 5)), condition)
    h, c = torch.randn(6, 1, 4, 4), None if condition is None else torch.randn(6, 3)
    out = network(h, c)
    assert out.shape == (6, 2, 5)
    alone = torch.cat([network(h[i : i + 1], None if c is None else c[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(out, alone)
    if c is not None:
        assert not torch.allclose(out, network(h, c.roll(1, 0)))


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
