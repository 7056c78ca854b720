"""The nonlinearities that a config may name."""

from torch import nn

from vae_cli.errors import ConfigError

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


def activation(name: str) -> nn.Module:
    """The module of that name; ConfigError names the ones that there are."""
    if name not in _ACTIVATIONS:
        raise ConfigError(f"architecture.activation={name}: unknown; choose one of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]()
