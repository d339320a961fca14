"""Passes for Olive: a step of an `olive run` workflow that prunes, tunes, masks, cleans or quantises with secateur.

Olive finds passes by its package configuration. `python -m secateur.olive config packages.json` writes the one of the
installed Olive with these passes added, for `olive run --config workflow.json --package-config packages.json`. The
settings of a pass are those of the call, by the same names; `data_config` is a data set of the workflow in place of
`calibration` or `data`. Olive is imported by `secateur.olive.passes` alone, which Olive does itself.
"""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from pathlib import Path
from typing import Any

# By the name of a pass the command that it runs.
PASSES = {
    "SecateurPrune": "prune",
    "SecateurTune": "tune",
    "SecateurMask": "mask",
    "SecateurClean": "clean",
    "SecateurQuantise": "quantise",
}

__all__ = ["PASSES", "package_config", "write_package_config"]


def package_config() -> dict[str, Any]:
    """The package configuration of the installed Olive with the passes of secateur.

    Raises `ModuleNotFoundError` where Olive is not installed, `RuntimeError` where it keeps no such file.
    """
    found = importlib.util.find_spec("olive")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("Olive is not installed here: `pip install 'secateur[olive]'`", name="olive")
    path = Path(found.origin).with_name("olive_config.json")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        passes = config["passes"]
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise RuntimeError(
            f"{path} is no package configuration of Olive that can be read ({fault}): install olive-ai 0.9 or newer"
        ) from fault
    for name in PASSES:
        passes[name] = {
            "module_path": f"secateur.olive.passes.{name}",
            "supported_providers": ["*"],
            "supported_accelerators": ["*"],
            "supported_precisions": ["*"],
            "module_dependencies": ["secateur"],
        }
    return dict(config)


def write_package_config(path: str | os.PathLike[str]) -> None:
    """Writes `package_config()` to a JSON file, whole or not at all."""
    target = Path(path)
    text = json.dumps(package_config(), indent=4) + "\n"
    handle, beside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(beside, 0o644)
        os.replace(beside, target)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
