"""Groups of figures of a finished run."""
