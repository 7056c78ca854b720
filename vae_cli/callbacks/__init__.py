"""What happens around training: scalars, pictures, checkpoints, progress."""
