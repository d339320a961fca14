"""What a command gives back."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from secateur import _secateur
from secateur._errors import UsageError, check

if TYPE_CHECKING:
    from secateur._secateur import Folder


class Result:
    """A report."""

    def __init__(self, command: str, answer: _secateur.Answer, path: Path | None, folder: Folder | None) -> None:
        self._command = command
        self._answer = answer
        self._path = path
        self._folder = folder
        self._report: dict[str, Any] | None = None
        # Whether all that was demanded holds.
        self.passed = True

    @property
    def report(self) -> dict[str, Any]:
        """The report, as the command line prints it with ``--json``."""
        if self._report is None:
            content, fault = self._answer.json()
            check(fault)
            self._report = json.loads(content)
        return self._report

    @property
    def metrics(self) -> dict[str, float]:
        """Every number of the report by a flat name, for trackers of experiments."""
        return dict(self._answer.metrics())

    @property
    def text(self) -> str:
        """The report as tables for people."""
        return self._answer.text()

    def to_html(self) -> str:
        """The report as an HTML page that needs nothing from elsewhere."""
        return self._answer.html()

    def _repr_html_(self) -> str:
        # In a frame of its own, so that its look is not the notebook's.
        page = html.escape(self.to_html(), quote=True)
        return f'<iframe srcdoc="{page}" title="secateur" style="border:0;width:100%;height:40em"></iframe>'

    def __reduce__(self) -> NoReturn:
        wanted = "hand on what is wanted of it (`report`, `metrics`, `text`, `to_html()`, `to_bytes()`, a path)"
        raise TypeError(f"a result of secateur stays in its process and is not copied: {wanted}")

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        words = [word for word in (self._report_line(), self._place()) if word]
        return f"<secateur {self._command}{': ' if words else ''}{', '.join(words)}>"

    def _report_line(self) -> str:
        """What came out, in a few words."""
        before, after = self.report.get("before"), self.report.get("after")
        if not isinstance(before, dict) or not isinstance(after, dict):
            return "" if self.passed else "failed"
        both = [(name, before.get(name), after.get(name)) for name in ("params", "macs")]
        return ", ".join(f"{name} {old:,} to {new:,}" for name, old, new in both if old and new is not None)

    def _place(self) -> str:
        return str(self._path) if self._path and self._path.exists() else ""


class ModelResult(Result):
    """A report with the model that was made."""

    @property
    def path(self) -> Path:
        """Where the model is: as long as this result lives, where no ``output`` was named."""
        if self._path is None:
            raise UsageError(f"this {self._command} wrote no model")
        if not self._path.exists():
            raise UsageError(f"this {self._command} wrote no model, or {self._path} was removed")
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
        """Writes the model to ``path``, whole or not at all; with the tokenizer of a smaller vocabulary beside it."""
        if not isinstance(path, (str, os.PathLike)):
            raise UsageError(f"a model is saved to a path, and this is {type(path).__name__}")
        target = Path(os.fsdecode(path))
        vocabulary = self.report.get("vocabulary")
        has_tokenizer = isinstance(vocabulary, dict) and vocabulary.get("tokenizer") is not None
        check(_secateur.save(self.path, target, has_tokenizer))
        return target

    def to_bytes(self) -> bytes:
        """The model as one message; models of 2 GB and more have none."""
        content, fault = _secateur.to_bytes(self.path)
        check(fault)
        return content
