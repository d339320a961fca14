"""Data in memory: read where it is, whatever its layout, and refused with all that is wrong at once."""

from __future__ import annotations

import itertools
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from conftest import QUICK

import secateur
from secateur import _data


def plan(model: Path, **settings: Any) -> Any:
    """What is decided on data."""
    dimensions = secateur.prune(model, dry_run=True, **QUICK, **settings).report["dimensions"]
    assert dimensions
    return dimensions


def test_arrays_are_read_in_every_layout(lenet: Path, images: dict[str, Any], tmp_path: Path) -> None:
    whole = images["input"]
    numpy.savez(tmp_path / "images.npz", input=whole)
    expected = plan(lenet, calibration=tmp_path / "images.npz")
    gaps = numpy.zeros((48, 2, 28, 56), numpy.float32)
    gaps[:, :1, :, ::2] = whole
    fixed = whole.copy()
    fixed.flags.writeable = False
    for array in [
        whole,
        gaps[:, :1, :, ::2],
        fixed,
        numpy.asfortranarray(whole),
        whole.astype(">f4"),
        whole.astype(numpy.float64),
        whole[::-1][::-1],
        whole.tolist(),
    ]:
        assert plan(lenet, calibration={"input": array}) == expected


def test_arrays_are_not_copied(lenet: Path) -> None:
    count = 300_000
    large = numpy.zeros((count, 1, 28, 28), numpy.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    plan(lenet, calibration={"input": large}, samples=16)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < large.nbytes / 4, f"{grown} bytes for {large.nbytes}"


def test_batches_are_joined_until_there_are_samples_enough(lenet: Path, images: dict[str, Any]) -> None:
    pulled = []
    buffer = numpy.empty((8, 1, 28, 28), numpy.float32)

    def batches() -> Iterator[dict[str, Any]]:
        for number in range(0, 48, 8):
            pulled.append(number)
            # Loaders that fill one buffer again and again are usual.
            buffer[:] = images["input"][number : number + 8]
            yield {"input": buffer}

    first = {"input": images["input"][:24]}
    assert plan(lenet, calibration=batches(), samples=24) == plan(lenet, calibration=first, samples=24)
    assert pulled == [0, 8, 16]
    assert plan(lenet, calibration=batches()) == plan(lenet, calibration=images)
    assert plan(lenet.read_bytes(), calibration=list(batches())[:1], samples=4)  # type: ignore[arg-type]


def test_labels_are_joined(lenet: Path, mnist: dict[str, Any]) -> None:
    parts = [{name: array[place : place + 50] for name, array in mnist.items()} for place in range(0, 200, 50)]
    small = secateur.prune(lenet, ratio=0.5)
    whole = secateur.validate(lenet, small, data=mnist, provider="cpu").metrics
    joined = secateur.validate(lenet, small, data=iter(parts), provider="cpu").metrics
    judged = {name: value for name, value in whole.items() if "accuracy" in name}
    assert judged and judged == {name: value for name, value in joined.items() if "accuracy" in name}
    # Labels that went astray are seen.
    parts[0]["label"] = parts[0]["label"][::-1]
    astray = secateur.validate(lenet, small, data=iter(parts), provider="cpu").metrics
    assert judged != {name: value for name, value in astray.items() if "accuracy" in name}


def test_samples_are_counted_along_their_axis(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save

    rows = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, "batch"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [6, "batch"])
    weights = [
        helper.make_tensor("a", TensorProto.FLOAT, [8, 4], numpy.arange(32, dtype=numpy.float32) / 32),
        helper.make_tensor("b", TensorProto.FLOAT, [6, 8], numpy.arange(48, dtype=numpy.float32) / 48),
    ]
    nodes = [
        helper.make_node("MatMul", ["a", "x"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["b", "r"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [rows], [out], weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    data = numpy.random.default_rng(0).normal(size=(4, 12)).astype(numpy.float32)
    parts = [{"x": data[:, place : place + 3]} for place in range(0, 12, 3)]
    model = tmp_path / "m.onnx"
    assert plan(model, calibration=parts, sample_axis={"x": 1}) == plan(
        model, calibration={"x": data}, sample_axis="x=1"
    )


def test_all_misfits_are_named_at_once(lenet: Path, images: dict[str, Any]) -> None:
    wrong = {"image": images["input"], "mask": numpy.zeros(3, bool), "label": numpy.array(["a"], object)}
    with pytest.raises(secateur.InputError) as fault:
        secateur.prune(lenet, **QUICK, calibration=wrong)
    for part in ["no array 'input'", "no input 'image'", "no input 'mask'", "'label' cannot be used", "'|O'"]:
        assert part in str(fault.value)


@pytest.mark.parametrize(
    ("array", "part"),
    [
        (numpy.zeros((4, 28, 28), numpy.float32), "rank 3"),
        (numpy.zeros((4, 1, 28, 27), numpy.float32), "axis 3"),
        (numpy.zeros((4, 1, 28, 28), numpy.int64), "type"),
        (numpy.zeros((4, 1, 28, 28), numpy.complex64), "'<c8'"),
        (numpy.zeros((4, 1, 28, 28), object), "'|O'"),
        (numpy.zeros((0, 1, 28, 28), numpy.float32), "empty"),
        ([[1.0], [2.0, 3.0]], "cannot be made an array"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(lenet: Path, tmp_path: Path, array: Any, part: str) -> None:
    with pytest.raises(secateur.InputError, match=part.replace("|", r"\|")):
        secateur.prune(lenet, **QUICK, calibration={"input": array}, output=tmp_path / "small.onnx")
    assert not (tmp_path / "small.onnx").exists()


def test_iterables_without_end_are_left(
    lenet: Path, images: dict[str, Any], mnist: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {name: array[:50] for name, array in mnist.items()}
    judged = secateur.validate(lenet, lenet, data=itertools.repeat(parts), samples=100, provider="cpu")
    assert judged.report["providers"]
    monkeypatch.setattr(_data, "_most", lambda: 10 * images["input"].nbytes)
    with pytest.raises(secateur.InputError, match="not ended after 11 batches"):
        secateur.tune(lenet, teacher=lenet, data=itertools.repeat(images), steps=1)


def test_iterables_that_break_are_told(lenet: Path, images: dict[str, Any]) -> None:
    def failing() -> Iterator[dict[str, Any]]:
        yield images
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        secateur.prune(lenet, **QUICK, calibration=failing())
    batch = images["input"]
    for batches, part in [
        ([], "no batch"),
        ([batch], "a batch is a dictionary"),
        ([{"input": batch}, {"inputs": batch}], "there is no 'input'"),
        ([{"input": batch}, {"input": batch[:, :, 1:]}], "has shape"),
        ([{"input": batch}, {"input": batch.astype(int)}], "has type"),
        ([{"input": numpy.float32(1)}], "rank 0"),
        ([{"input": batch}, None], "batch 1 of the data is NoneType"),
        (3, "not int"),
        ({3: batch}, "no name of an input"),
    ]:
        with pytest.raises(secateur.InputError, match=part):
            secateur.prune(lenet, **QUICK, calibration=batches)  # type: ignore[arg-type]
