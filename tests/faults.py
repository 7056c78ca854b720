"""Objectives that do what none should, for the sweeps that must go on."""

import sys


def leaves(**settings):
    sys.exit(3)


def breaks(**settings):
    raise RuntimeError("out of memory:\nasked for more than there is")
