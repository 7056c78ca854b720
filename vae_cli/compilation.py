"""torch.compile of networks, and of nothing else: densities and bounds stay readable in a traceback."""

import torch
from torch import nn

from vae_cli.errors import ConfigError
from vae_cli.types import Network


def compile_networks(model: nn.Module) -> None:
    """Compile in place the networks that hold no others; the keys of the state stay.

    The batch is a dynamic size: a network is compiled once for training and once for evaluation, again where a batch of
    a single example comes, and once more each where an objective holds its parameters fixed. A corruption stays
    outside: compiled, it would draw other noise from the same seed.

    Raises:
        ConfigError: where there is no C++ compiler.
    """
    _check_compiler()
    torch._dynamo.reset()  # noqa: SLF001 (its documented name; a sweep compiles one job after another)
    networks = [module for module in model.modules() if isinstance(module, Network)]
    alone = [network for network in networks if not any(inner in networks for inner in list(network.modules())[1:])]
    # torch counts the compilations of one forward over all networks of a class, and gives up after eight
    torch._dynamo.config.recompile_limit = 8 * len(alone)  # noqa: SLF001 (its documented name)
    for network in alone:
        network.compile(dynamic=True)


def _check_compiler() -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler  # a second, for those who compile
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise ConfigError(
            "compile=true needs a C++ compiler and none was found: install g++, or use compile=false"
        ) from None
