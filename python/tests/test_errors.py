"""Exceptions: by what is wrong, with the words of the caller, and nothing half-written."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy
import pytest
from conftest import FIXTURES, QUICK

import secateur


def test_settings_that_are_none_are_named_with_the_nearest(lenet: Path) -> None:
    with pytest.raises(secateur.UsageError, match="did you mean 'macs'"):
        secateur.prune(lenet, mac=0.5)  # type: ignore[call-arg]
    with pytest.raises(secateur.UsageError, match="`output` is bytes: it is a path"):
        secateur.prune(lenet, macs=0.5, output=b"small.onnx")  # type: ignore[arg-type]
    with pytest.raises(secateur.UsageError, match=r"`dry_run`.*true or false"):
        secateur.prune(lenet, dry_run="yes")  # type: ignore[arg-type]
    with pytest.raises(secateur.UsageError, match=r"`macs` is .*not a table"):
        secateur.prune(lenet, macs={"a": 1})  # type: ignore[arg-type]
    with pytest.raises(secateur.UsageError, match="`macs` is object: a setting is a text"):
        secateur.prune(lenet, macs=object())  # type: ignore[arg-type]
    # The order of a set is another in each process.
    with pytest.raises(secateur.UsageError, match="`only` is set: a setting is a text"):
        secateur.prune(lenet, ratio=0.5, only={"a", "b"})  # type: ignore[arg-type]
    with pytest.raises(secateur.UsageError, match="share that is kept"):
        secateur.prune(lenet, macs=2.0)
    with pytest.raises(secateur.UsageError, match="progress"):
        secateur.prune(lenet, macs=0.5, progress=3)  # type: ignore[arg-type]


def test_values_that_are_none_are_usage_errors(lenet: Path, images: dict[str, Any]) -> None:
    circle: list[Any] = []
    circle.append(circle)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"output": 5}, "`output` is int"),
        ({"output": []}, "`output` is list"),
        ({"ratio": float("nan")}, "`ratio` is nan"),
        ({"only": "\ud800"}, "half of a character"),
        ({"only": circle}, "contains itself"),
        ({"sample_axis": 5, "calibration": [images]}, "`sample_axis` is int"),
        ({"samples": 0, "calibration": [images]}, "samples"),
    ]
    for settings, part in cases:
        with pytest.raises(secateur.UsageError, match=part):
            secateur.prune(lenet, **{**QUICK, **settings})
    content = memoryview(lenet.read_bytes())
    with pytest.raises(secateur.InputError, match="not an ONNX model"):
        secateur.inspect(content[::2])  # type: ignore[arg-type]
    pruned = secateur.prune(lenet, ratio=0.5)
    with pytest.raises(secateur.UsageError, match="NoneType"):
        pruned.save(None)  # type: ignore[arg-type]


def test_exceptions_reach_other_processes(lenet: Path, images: dict[str, Any]) -> None:
    pruned = secateur.prune(lenet, ratio=0.5)
    with pytest.raises(TypeError, match="hand on what is wanted"):
        pickle.dumps(pruned)
    with pytest.raises(secateur.GateFailed) as fault:
        secateur.validate(lenet, pruned, data=images, max_error=1e-9, provider="cpu")
    arrived = pickle.loads(pickle.dumps(fault.value))
    assert type(arrived) is secateur.GateFailed and str(arrived) == str(fault.value) and arrived.result is None


def test_messages_name_keywords(lenet: Path) -> None:
    with pytest.raises(secateur.UsageError) as fault:
        secateur.prune(lenet, macs=0.5, ratio=0.5)
    assert "`macs`" in str(fault.value) and "--" not in str(fault.value) and "Usage" not in str(fault.value)
    assert fault.value.exit_code == 2 and isinstance(fault.value, ValueError)
    with pytest.raises(secateur.UsageError, match="`calibration`"):
        secateur.prune(lenet, macs=0.5, samples=3)


def test_places_and_names_are_told_apart(lenet: Path) -> None:
    with pytest.raises(secateur.UsageError, match="`model` twice"):
        secateur.prune(lenet, model=lenet)  # type: ignore[misc, call-arg, unused-ignore]
    with pytest.raises(secateur.UsageError, match="takes model without a name, and 2"):
        secateur.prune(lenet, lenet)  # type: ignore[call-arg, misc, unused-ignore]
    with pytest.raises(secateur.UsageError, match="required"):
        secateur.prune()  # type: ignore[call-arg]
    assert secateur.inspect(model=lenet).report


def test_models_that_are_none_are_refused(lenet: Path, tmp_path: Path) -> None:
    class Large:
        def SerializeToString(self) -> bytes:
            raise ValueError("Failed to serialize proto")

    output = tmp_path / "small.onnx"
    for model, kind, part in [
        (b"no model", secateur.InputError, "no model|not an ONNX model"),
        (b"", secateur.InputError, "given_model.onnx"),
        (tmp_path / "absent.onnx", secateur.InputError, "absent.onnx"),
        (Large(), secateur.InputError, "external data"),
        (3, secateur.UsageError, "int"),
    ]:
        with pytest.raises(kind, match=part):
            secateur.prune(model, macs=0.5, output=output)  # type: ignore[arg-type]
        assert not output.exists()


def test_outputs_in_missing_folders_leave_nothing(lenet: Path, tmp_path: Path, images: dict[str, Any]) -> None:
    with pytest.raises(secateur.RuntimeFailed, match="absent") as fault:
        secateur.prune(lenet, **QUICK, calibration=images, output=tmp_path / "absent" / "small.onnx")
    assert fault.value.exit_code == 4 and isinstance(fault.value, RuntimeError)
    assert not (tmp_path / "absent").exists()
    pruned = secateur.prune(lenet, ratio=0.5)
    with pytest.raises(secateur.RuntimeFailed, match="absent"):
        pruned.save(tmp_path / "absent" / "small.onnx")
    copy = tmp_path / "model.onnx"
    copy.write_bytes(lenet.read_bytes())
    with pytest.raises(secateur.Error, match="`force`"):
        secateur.prune(copy, ratio=0.5, output=copy)
    assert copy.read_bytes() == lenet.read_bytes()


def test_gates_that_fail_have_a_result(lenet: Path, images: dict[str, Any]) -> None:
    pruned = secateur.prune(lenet, ratio=0.5)
    with pytest.raises(secateur.GateFailed, match="gate") as fault:
        secateur.validate(lenet, pruned.path, data=images, max_error=1e-9, provider="cpu")
    assert fault.value.exit_code == 1 and isinstance(fault.value, secateur.CheckFailed)
    assert fault.value.result is not None and not fault.value.result.passed
    assert fault.value.result.report["gates"]


def test_gates_of_a_recipe_have_a_result(lenet: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    data = FIXTURES / "data" / "mnist_200.npz"
    recipe.write_text(
        f'model = "{lenet}"\noutput = "small.onnx"\ndata = "{data}"\n'
        '[prune]\nratio = 0.5\n[validate]\nmin-agreement = 1.0\nprovider = "cpu"\n'
    )
    with pytest.raises(secateur.GateFailed, match="step 'validate'") as fault:
        secateur.run(recipe)
    assert not (tmp_path / "small.onnx").exists()
    assert fault.value.result is not None and not fault.value.result.passed
    assert [step["step"] for step in fault.value.result.report["steps"]] == ["prune", "validate"]
    assert "agreement" in fault.value.result.to_html()


def test_providers_that_fail_leave_what_was_measured(lenet: Path, images: dict[str, Any]) -> None:
    with pytest.raises(secateur.RuntimeFailed, match="cuda") as fault:
        secateur.validate(lenet, lenet, data=images, provider=["cpu", "cuda"])
    assert fault.value.result is not None and not fault.value.result.passed
    assert fault.value.result.report["providers"]


def test_paths_need_not_be_ascii(lenet: Path, tmp_path: Path, images: dict[str, Any]) -> None:
    folder = tmp_path / "Größe Ω"
    folder.mkdir()
    numpy.savez(folder / "données.npz", **images)
    output = folder / "-m.onnx"
    result = secateur.prune(lenet, **QUICK, calibration=folder / "données.npz", samples=8, output=output)
    assert result.path == output and output.exists()
    raw = os.fsencode(tmp_path) + b"/\xff.onnx"
    with pytest.raises(secateur.Error, match="text"):
        secateur.inspect(os.fsdecode(raw))
