"""Exceptions, by what is wrong; the messages are those of the command line, with keyword arguments for flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secateur._result import Result
    from secateur._secateur import Fault


class Error(Exception):
    """Whatever a command fails with."""

    # The exit code of the command line.
    exit_code = 4
    # What was found in spite of it, where a gate failed or a provider could not be used.
    result: Result | None = None

    def __reduce__(self) -> tuple[type[Error], tuple[object, ...]]:
        # Another process has to hear what is wrong, and a result stays in its own.
        return type(self), self.args


class CheckFailed(Error):
    """A proof or a gate failed."""

    exit_code = 1


class GateFailed(CheckFailed):
    """Gates failed: :attr:`result` says what was measured."""


class UsageError(Error, ValueError):
    """The call itself is wrong."""

    exit_code = 2


class InputError(Error, ValueError):
    """A model, plan or data is bad."""

    exit_code = 3


class RuntimeFailed(Error, RuntimeError):
    """The file system, onnxruntime or an execution provider failed."""

    exit_code = 4


_KINDS: dict[str, type[Error]] = {
    "gates": GateFailed,
    "check": CheckFailed,
    "usage": UsageError,
    "input": InputError,
    "runtime": RuntimeFailed,
}


def exception(fault: Fault) -> Error:
    """The exception of a fault."""
    return _KINDS[fault.kind](fault.message)


def check(fault: Fault | None) -> None:
    """Raises the exception of a fault, if there is one."""
    if fault is not None:
        raise exception(fault)
