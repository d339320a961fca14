"""Prune, mask, quantise and tune exported ONNX models, and prove the surgery in onnxruntime.

Every command of the command line is a function here, and every flag a keyword argument, with ``_`` for ``-``:

>>> import secateur
>>> pruned = secateur.prune("big.onnx", macs=0.5, calibration={"input": images})
>>> pruned.save("small.onnx")

A model is a path, the bytes of one, an ``onnx.ModelProto``, or the result of a call that made one. Data is a path, a
dictionary of arrays by input (read where they are: leave them alone until the call returns), or an iterable of such
dictionaries with the next samples each. Without ``output`` the new model lives in a temporary folder as long as the
result does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from secateur._errors import CheckFailed, Error, GateFailed, InputError, RuntimeFailed, UsageError
from secateur._secateur import __version__

if TYPE_CHECKING:
    from secateur._result import ModelResult, Result

_RESULTS = ("ModelResult", "Result")


def __getattr__(name: str) -> object:
    # What a script does not use costs it no time when it starts.
    found: object = None
    if name in _RESULTS:
        from secateur import _result

        found = getattr(_result, name)
    elif not name.startswith("_"):
        from secateur import _commands

        found = _commands.functions().get(name)
    if found is None:
        raise AttributeError(f"module 'secateur' has no attribute '{name}'")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    from secateur import _commands

    return sorted({*globals(), *_commands.functions(), *_RESULTS})
