"""The command line: ``secateur`` and ``python -m secateur``."""

from __future__ import annotations

import os
import sys

from secateur import _environment, _secateur


def main() -> int:
    """Runs the command line on the words of this process."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    _environment.declare()
    return _secateur.main(["secateur", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
