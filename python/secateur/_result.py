"""What a command gives back."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secateur import _secateur
from secateur._errors import UsageError, check

if TYPE_CHECKING:
    from secateur._secateur import Folder


class Result:
    """A report."""

    def __init__(self, command: str, answer: _secateur.Answer, path: Path | None, folder: Folder | None) -> None:
        self._command = command
        self._json = answer.json
        self._text = answer.text or ""
        self._path = path
        self._folder = folder
        self._report: dict[str, Any] | None = None
        # Whether all that was demanded holds.
        self.passed = True

    @property
    def report(self) -> dict[str, Any]:
        """The report, as the command line prints it with ``--json``."""
        if self._report is None:
            self._report = json.loads(self._json) if self._json else {}
        return self._report

    @property
    def text(self) -> str:
        """The report as tables for people."""
        return self._text

    def to_html(self) -> str:
        """The report as a part of an HTML page."""
        return f"<pre>{html.escape(self._text)}</pre>"

    def _repr_html_(self) -> str:
        return self.to_html()

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        lines = self._text.strip().splitlines()
        head = f": {lines[0].strip()}" if lines else ""
        return f"<secateur {self._command}{head}>"


class ModelResult(Result):
    """A report with the model that was made."""

    @property
    def path(self) -> Path:
        """Where the model is: as long as this result lives, where no ``output`` was named."""
        if self._path is None or not self._path.exists():
            raise UsageError(f"this {self._command} wrote no model")
        return self._path

    @property
    def model(self) -> Any:
        """The model as an ``onnx.ModelProto``, read anew each time; needs the onnx package."""
        try:
            import onnx
        except ImportError as fault:
            raise ImportError("the onnx package reads models into Python: `pip install onnx`") from fault
        return onnx.load(self.path)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the model to ``path``, whole or not at all."""
        target = Path(path)
        check(_secateur.save(self.path, target))
        return target

    def to_bytes(self) -> bytes:
        """The model as one message; models of 2 GB and more have none."""
        content, fault = _secateur.to_bytes(self.path)
        check(fault)
        return content
