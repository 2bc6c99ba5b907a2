"""A lens in a process of its own, that a test kills: it prints its address, and serves until then."""

from __future__ import annotations

import sys
import threading

from bizspan.lens import Lens


def main() -> None:
    """Serve the store that is named."""
    lens = Lens(sys.argv[1]).start(0)
    print(lens.url, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
