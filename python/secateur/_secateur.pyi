"""What the compiled module has."""

import os
from collections.abc import Callable, Sequence
from typing import Literal

from secateur._data import Given

__version__: str
OLDEST_MINOR: int
CALIBRATION_SAMPLES: int
SENSITIVITY_SAMPLES: int

class Fault:
    kind: Literal["gates", "check", "usage", "input", "runtime"]
    message: str
    exit_code: int

class Answer:
    json: str | None
    text: str | None
    def take_fault(self) -> Fault | None: ...

class Folder:
    path: os.PathLike[str]
    @staticmethod
    def make() -> tuple[Folder | None, Fault | None]: ...

def main(words: Sequence[str]) -> int: ...
def commands() -> str: ...
def with_keywords(text: str) -> str: ...
def declare_program(path: str, arguments: Sequence[str]) -> None: ...
def declare_library(path: str | None, reason: str, remedy: str) -> None: ...
def sample_axes(
    path: str, inputs: list[str], given: list[tuple[str, int | None]]
) -> tuple[list[int | None], Fault | None]: ...
def save(path: os.PathLike[str], target: os.PathLike[str]) -> Fault | None: ...
def to_bytes(path: os.PathLike[str]) -> tuple[bytes, Fault | None]: ...
def call(
    command: str,
    settings: str,
    data: list[tuple[str, list[Given]]],
    hear: Callable[[str, int, int], object] | None,
    log: Callable[[int, str], None],
    lowest: int,
) -> Answer: ...
