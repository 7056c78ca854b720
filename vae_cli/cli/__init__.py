"""Commands, one short file each. Nothing here imports torch before a config has been found good."""
