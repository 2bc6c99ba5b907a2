"""
Words on the command line that several commands take.
"""

from __future__ import annotations

import argparse
import sys


def count(text: str) -> int:
    """
    A whole number above 0.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= sys.maxsize):
        raise argparse.ArgumentTypeError("must be a whole number above 0")
    return int(text)
