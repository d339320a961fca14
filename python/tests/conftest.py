"""What the tests share: models and data of the repository, and a folder for temporary files that ends empty."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

# Decides in a moment, on data.
QUICK: Any = {"ratio": 0.5, "criterion": "act-mean", "scope": "uniform"}

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture
def lenet() -> Path:
    """A small convolutional net."""
    return FIXTURES / "trained" / "lenet_mnist.onnx"


@pytest.fixture
def mnist() -> dict[str, Any]:
    """Its images and classes."""
    with numpy.load(FIXTURES / "data" / "mnist_200.npz") as data:
        return dict(data)


@pytest.fixture
def images(mnist: dict[str, Any]) -> dict[str, Any]:
    """Some of its images."""
    return {"input": mnist["input"][:48]}


@pytest.fixture(autouse=True)
def temporaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files; nothing of ours may be left there."""
    folder = tmp_path / "temporaries"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    gc.collect()
    assert [path.name for path in folder.iterdir() if "secateur" in path.name] == []
