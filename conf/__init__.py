"""The config groups; a package, so that Hydra finds them wherever this is installed."""
