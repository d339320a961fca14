"""`python -m secateur.olive config PATH`"""

from __future__ import annotations

import argparse
import sys

from secateur.olive import write_package_config


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m secateur.olive", description="Passes for Olive.")
    commands = parser.add_subparsers(dest="command", required=True)
    config = commands.add_parser(
        "config", help="write the package configuration of the installed Olive with the passes of secateur"
    )
    config.add_argument("path", metavar="PATH", help="the JSON file, for `olive run --package-config PATH`")
    options = parser.parse_args()
    try:
        write_package_config(options.path)
    except (RuntimeError, ImportError, OSError) as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
