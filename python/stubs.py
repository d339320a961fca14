"""Writes `secateur/__init__.pyi` from the flags of the command line: `python stubs.py` with the package installed.

`--check` compares instead, and fails where the file is another.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

from secateur import _commands

PATH = Path(__file__).parent / "secateur" / "__init__.pyi"

HEAD = '''"""Types of the package; written by `stubs.py` from the flags of the command line."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

from secateur._errors import CheckFailed as CheckFailed
from secateur._errors import Error as Error
from secateur._errors import GateFailed as GateFailed
from secateur._errors import InputError as InputError
from secateur._errors import RuntimeFailed as RuntimeFailed
from secateur._errors import UsageError as UsageError
from secateur._result import ModelResult as ModelResult
from secateur._result import Result as Result
from secateur._secateur import __version__ as __version__

class _Message(Protocol):
    # An onnx.ModelProto is one.
    def SerializeToString(self) -> bytes: ...

_Path = str | os.PathLike[str]
_Model = _Path | bytes | _Message | ModelResult
_Text = str | int | float
_Data = _Path | Mapping[str, Any] | Iterable[Mapping[str, Any]]
_Progress = Callable[[str, int, int], object] | bool
'''

TYPES = {
    "flag": "bool",
    "integer": "int",
    "number": "float",
    "text": "_Text",
    "path": "_Path",
    "model": "_Model",
    "data": "_Data",
}


def type_of(setting: dict[str, Any]) -> str:
    """The type of a setting's value."""
    kind = TYPES[setting["kind"]]
    if setting["choices"]:
        choices = ", ".join(f'"{choice}"' for choice in setting["choices"])
        kind = f"Literal[{choices}]"
    if setting["bare"] and kind != "bool":
        kind = f"bool | {kind}"
    if setting["many"] and setting["pairs"]:
        return f"Mapping[str, {kind}] | str | Sequence[str]"
    return f"{kind} | Sequence[{kind}]" if setting["many"] else kind


def function(command: dict[str, Any]) -> str:
    """A command as a function without a body."""
    ordered, named = [], []
    for setting in command["settings"]:
        kind = type_of(setting)
        if setting["positional"] and setting["many"]:
            ordered.append(f"*{setting['name']}: {kind}")
        elif setting["positional"]:
            ordered.append(f"{setting['name']}: {kind}")
        elif _commands.is_required(setting):
            named.append(f"{setting['name']}: {kind}")
        else:
            named.append(f"{setting['name']}: {kind} | None = None")
    named.append("report: _Path | Sequence[_Path] | None = None")
    named.append("progress: _Progress | None = None")
    star = [] if any(argument.startswith("*") for argument in ordered) else ["*"]
    arguments = "".join(f"    {argument},\n" for argument in [*ordered, *star, *named])
    result = "ModelResult" if _commands.makes_model(command) else "Result"
    text = _commands.documentation(command)
    text = textwrap.indent(f'"""{text}\n"""', "    ").replace("\\", "\\\\")
    return f"\ndef {command['name'].replace('-', '_')}(\n{arguments}) -> {result}:\n{text}\n"


def stubs() -> str:
    """The whole file."""
    commands = sorted(_commands.facts().items())
    return HEAD + "".join(function(command) for _, command in commands)


def main() -> int:
    if "--check" not in sys.argv:
        PATH.write_text(stubs(), encoding="utf-8")
        return 0
    if PATH.read_text(encoding="utf-8") == stubs():
        return 0
    print(f"{PATH} is another: run `python {Path(__file__).name}` with the package installed", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
