"""Models that callers hold in memory, as files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from secateur._errors import InputError, UsageError
from secateur._result import ModelResult

if TYPE_CHECKING:
    from collections.abc import Callable

# What a message of protobuf cannot have.
_LARGEST = 2**31 - 1


def path_of(name: str, value: object, folder: Callable[[], Path]) -> str:
    """The path of a model; one in memory is written to the folder, under the setting's name."""
    if isinstance(value, (str, os.PathLike)):
        return os.fsdecode(value)
    if isinstance(value, ModelResult):
        return os.fsdecode(value.path)
    content = _content(name, value)
    path = folder() / f"given_{name}.onnx"
    path.write_bytes(content)
    return str(path)


def _content(name: str, value: object) -> bytes | bytearray | memoryview:
    if isinstance(value, memoryview):
        return value if value.contiguous else value.tobytes()
    if isinstance(value, (bytes, bytearray)):
        return value
    serialise = getattr(value, "SerializeToString", None)
    if serialise is None:
        kind = type(value).__name__
        takes = "a path, the bytes of a model, an onnx.ModelProto or a result with a model"
        raise UsageError(f"`{name}` is {kind}: it takes {takes}")
    try:
        content = serialise()
    except Exception as fault:  # protobuf has exceptions of its own, which may not be there to be named
        raise InputError(
            f"`{name}` cannot be written as one message ({fault}): a model of 2 GB or more has to be saved with "
            "external data (`onnx.save_model(model, path, save_as_external_data=True)`) and given by its path"
        ) from fault
    if not isinstance(content, bytes) or len(content) > _LARGEST:
        raise InputError(f"`{name}` is no message that can be read: save it with external data and give its path")
    return content
