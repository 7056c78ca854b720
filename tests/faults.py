"""Objectives that do what none should, for the sweeps that must go on."""

import sys


def leaves(*parts, **settings):
    sys.exit(3)


def breaks(*parts, **settings):
    raise RuntimeError("it broke:\nwithin")
