"""Runs beside each other: found, read whatever state they are in, compared, chosen, ordered, charted."""
