"""Groups of figures of a finished run. Each reads its node of the config and returns a report, or says why not."""
