"""
``python -m bizspan``: the same as the command ``bizspan``.
"""

from __future__ import annotations

import sys

from bizspan.cli import main

if __name__ == "__main__":
    sys.exit(main())
