"""`python -m vae_cli train ...` is `vae-train ...`, and so are the others."""

import sys
from importlib.util import find_spec

from vae_cli.cli.entry import COMMANDS, run
from vae_cli.telling import fail

if __name__ == "__main__":
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in COMMANDS:
        fail(f"error: {name!r} is no command: python -m vae_cli {{{','.join(COMMANDS)}}} ...")
        sys.exit(1)
    sys.argv[:2] = [f"vae-{name}"]
    __spec__ = find_spec(f"vae_cli.cli.{name}")  # by which further processes of a run are started
    run(name)
