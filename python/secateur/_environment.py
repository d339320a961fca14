"""What this environment has: the onnxruntime library, and how the program is started once more."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import sys
from pathlib import Path

from secateur import _secateur
from secateur._errors import RuntimeFailed

# A process that runs onnxruntime loads the compiled module alone: no site, no numpy, nothing of the working directory.
_START = """
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec
loader = ExtensionFileLoader("_secateur", sys.argv[1])
module = loader.create_module(ModuleSpec("_secateur", loader, origin=sys.argv[1]))
loader.exec_module(module)
sys.exit(module.main(["secateur", *sys.argv[2:]]))
"""

_VERSION = re.compile(r"""^__version__\s*=\s*["']([0-9]+)\.([0-9]+)([^"']*)["']""", re.MULTILINE)
_LIBRARY = re.compile(r"onnxruntime\.dll|libonnxruntime\.so(\.[0-9.]+)?|libonnxruntime(\.[0-9.]+)?\.dylib")


def declare() -> None:
    """Says what there is; anew each time, since a package may have been installed meanwhile."""
    _secateur.declare_program(_program(), ["-I", "-S", "-c", _START, str(_secateur.__file__)])
    library, reason = _library()
    remedy = f"run `{_pip()}`, or name a library with `onnxruntime`"
    if sys.version_info < (3, 11):
        remedy = (
            "no package of it for this Python is: use Python 3.11 or newer, run `secateur runtime install` once, or "
            "name a library with `onnxruntime`"
        )
    _secateur.declare_library(library, reason, remedy)


def _program() -> str:
    """A Python of this environment: where it is part of another program, `sys.executable` may say none."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    own = [sys.executable, *(os.path.join(sys.exec_prefix, "bin", name) for name in (version, "python3"))]
    found = next((path for path in own if path and os.path.exists(path)), None)
    if found is None:
        raise RuntimeFailed(
            "onnxruntime runs in a process of its own, and `sys.executable` says no Python for it: set it to one's path"
        )
    return found


def _pip() -> str:
    program = sys.executable or "python"
    return f"{program} -m pip install --upgrade 'onnxruntime>=1.{_secateur.OLDEST_MINOR}'"


def _library() -> tuple[str | None, str]:
    """The library of the onnxruntime package, whichever it is of, without importing it; or what is wrong."""
    wanted = f"1.{_secateur.OLDEST_MINOR} or newer is needed"
    try:
        spec = importlib.util.find_spec("onnxruntime")
    except (ImportError, ValueError):
        spec = None
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        return None, f"this environment has no onnxruntime package, and {wanted}"
    folder = Path(folders[0])
    version = None
    with contextlib.suppress(OSError, UnicodeDecodeError):
        version = _VERSION.search((folder / "__init__.py").read_text(encoding="utf-8"))
    if version and (int(version[1]), int(version[2])) < (1, _secateur.OLDEST_MINOR):
        found = f"{version[1]}.{version[2]}{version[3]}"
        return None, f"the onnxruntime {found} of this environment is too old, and {wanted}"
    try:
        names = sorted(name for name in os.listdir(folder / "capi") if _LIBRARY.fullmatch(name))
    except OSError:
        names = []
    if not names:
        return None, f"the onnxruntime package in {folder} has no library, and {wanted}"
    return str(folder / "capi" / names[-1]), ""
