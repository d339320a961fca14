"""The notebook: it runs, and shows what it stores."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "secateur.ipynb"
# What shows that it was run, and can be looked at without running it.
LARGEST = 300_000

missing = [name for name in ("nbclient", "ipykernel", "matplotlib") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"pip install {' '.join(missing)}: the notebook is not run")


def kinds(cells: list[Any]) -> list[list[str]]:
    """By cell the kinds of what it shows."""
    return [
        sorted({kind for output in cell.get("outputs", []) for kind in output.get("data", {output["output_type"]: 0})})
        for cell in cells
    ]


def test_the_notebook_runs_and_shows_what_it_stores() -> None:
    import nbformat as untyped
    from nbclient import NotebookClient

    nbformat: Any = untyped
    stored = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(stored)
    made = nbformat.from_dict(stored)
    folder = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(made, timeout=300, kernel_name="python3", resources=folder).execute()
    assert kinds(made.cells) == kinds(stored.cells)
    shown = [kind for cell in kinds(stored.cells) for kind in cell]
    assert "text/html" in shown and "image/png" in shown


def test_the_notebook_is_small_and_names_no_machine() -> None:
    text = NOTEBOOK.read_text()
    assert len(text) < LARGEST
    for place in (tempfile.gettempdir(), str(Path.home()), str(NOTEBOOK.parents[2]), sys.prefix):
        assert f"{place}/" not in text
    assert '"output_type": "error"' not in text
