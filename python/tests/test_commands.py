"""Every command by its function: models in, results out."""

from __future__ import annotations

import gc
import inspect
import json
import re
from pathlib import Path
from typing import Any

import onnx
import pytest

import secateur
from secateur import _commands


def test_models_are_paths_bytes_or_messages(lenet: Path, tmp_path: Path) -> None:
    models: list[Any] = [str(lenet), lenet, lenet.read_bytes(), bytearray(lenet.read_bytes()), onnx.load(lenet)]
    results = [secateur.prune(model, ratio=0.5).to_bytes() for model in models]
    written = secateur.prune(lenet, ratio=0.5, output=tmp_path / "small.onnx")
    assert written.path == tmp_path / "small.onnx"

    def weights(content: bytes) -> list[Any]:
        return [(one.name, one.dims, one.raw_data) for one in onnx.load_from_string(content).graph.initializer]

    first = weights(written.path.read_bytes())
    assert len(first) > 4
    for content in results:
        assert weights(content) == first


def test_results_are_models(lenet: Path, tmp_path: Path) -> None:
    pruned = secateur.prune(lenet, ratio=0.5)
    again = secateur.prune(pruned, ratio=0.5, output=tmp_path / "again.onnx")
    assert again.report["before"]["params"] == pruned.report["after"]["params"]
    assert len(secateur.bench(lenet, pruned, again, runs=2, warm_up=1).report["models"]) == 3
    planned = secateur.prune(lenet, ratio=0.5, dry_run=True)
    with pytest.raises(secateur.UsageError, match="wrote no model"):
        secateur.inspect(planned)


def test_results_show_and_keep_what_was_made(lenet: Path, tmp_path: Path, temporaries: Path) -> None:
    pruned = secateur.prune(lenet, ratio=0.5)
    assert isinstance(pruned, secateur.ModelResult) and pruned.passed
    assert pruned.path.exists() and temporaries in pruned.path.parents
    assert pruned.report["schema"].startswith("secateur.")
    assert pruned.report["after"]["params"] < pruned.report["before"]["params"]
    assert str(pruned) == pruned.text and len(pruned.text.splitlines()) > 3
    assert re.fullmatch(r"<secateur prune: params [\d,]+ to [\d,]+, macs .*model\.onnx>", repr(pruned))
    page = pruned.to_html()
    assert page.startswith("<!DOCTYPE html>") and re.search("secateur prune .*--ratio=0.5", page)
    assert pruned._repr_html_().startswith("<iframe") and "<!DOCTYPE" not in pruned._repr_html_()
    assert pruned.metrics and all(isinstance(number, float) for number in pruned.metrics.values())
    assert pruned.save(tmp_path / "kept.onnx") == tmp_path / "kept.onnx"
    onnx.checker.check_model(pruned.model)
    path = pruned.path
    del pruned
    gc.collect()
    assert not path.exists()
    assert onnx.load(tmp_path / "kept.onnx").graph.node


def test_commands_without_a_model_report(lenet: Path, mnist: dict[str, Any]) -> None:
    found = secateur.inspect(lenet)
    assert type(found) is secateur.Result and not hasattr(found, "model")
    assert found.report["dimensions"]
    timed = secateur.bench(lenet, lenet, runs=2, warm_up=1)
    assert len(timed.report["models"]) == 2
    assert secateur.bench([lenet.read_bytes()], runs=2, warm_up=1, batch=[1, 2]).report["models"]
    curves = secateur.sensitivity(lenet, data=mnist, samples=32, criterion="l2", recover="none")
    assert curves.report["schema"].startswith("secateur.sensitivity")


def test_the_other_commands_make_models(lenet: Path, mnist: dict[str, Any], images: dict[str, Any]) -> None:
    masked = secateur.mask(lenet, sparsity=0.98, scope="global")
    clean = secateur.clean(masked.path)
    assert masked.report["schema"].startswith("secateur.")
    codes = secateur.quantise(lenet, calibration=images)
    stored = secateur.quantise(lenet, weight_only=True, bits=4)
    pruned = secateur.prune(lenet, ratio=0.5)
    tuned = secateur.tune(pruned.path, teacher=onnx.load(lenet), data=images, steps=2, batch=8)
    twin = secateur.twin(lenet, plan=_plan(lenet, pruned.path.parent / "plan.json"))
    for result in [clean, masked, codes, stored, tuned, twin]:
        onnx.checker.check_model(result.model)
    checked = secateur.validate(lenet, pruned.path, data=mnist, provider="cpu")
    assert checked.passed and checked.report["schema"].startswith("secateur.validation")


def _plan(model: Path, path: Path) -> Path:
    secateur.prune(model, ratio=0.5, dry_run=True, plan_out=path)
    return path


def test_searches_run(lenet: Path, mnist: dict[str, Any]) -> None:
    found = secateur.search(
        lenet, data=mnist, max_drop={"accuracy": 0.5}, time_budget=15, samples=60, criterion="l2", recover="none"
    )
    assert found.path.exists() and (found.path.parent / "model.search.json").exists()


def test_settings_are_handed_on_in_every_form(lenet: Path, images: dict[str, Any], tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    result = secateur.prune(
        lenet,
        ratio=0.25,
        ratio_for={"*": 0.5},
        min_channels=3,
        round_to=1,
        dry_run=True,
        skip=[],
        plan_out=plan,
        exact=False,
    )
    settings = json.loads(plan.read_text())["settings"]
    assert settings["min_channels"] == 3 and settings["ratio_for"] == [["*", 0.5]]
    with pytest.raises(secateur.UsageError, match="wrote no model"):
        _ = result.path


def test_reports_and_recipes_are_written(lenet: Path, tmp_path: Path) -> None:
    files = [tmp_path / "report.html", tmp_path / "metrics.json"]
    result = secateur.prune(lenet, ratio=0.5, report=files)
    assert json.loads(files[1].read_text()) and files[0].read_text().startswith("<!DOCTYPE html>")
    secateur.inspect(result.path, report=str(tmp_path / "inspected.md"))
    assert (tmp_path / "inspected.md").exists()
    with pytest.raises(secateur.UsageError, match="none of them"):
        secateur.inspect(lenet, report="report.txt")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'model = "{lenet}"\noutput = "small.onnx"\n[prune]\nratio = 0.25\n')
    ran = secateur.run(recipe, set={"prune.ratio": 0.5})
    assert ran.report["steps"] and (tmp_path / "small.onnx").exists()


def test_functions_describe_themselves() -> None:
    for name, function in _commands.functions().items():
        assert getattr(secateur, name) is function
        assert function.__doc__ and function.__name__ == name
        signature = inspect.signature(function)
        assert "progress" in signature.parameters
    text = secateur.prune.__doc__ or ""
    assert "macs: Keep at most this share" in text and "--" not in text
    assert "prune" in dir(secateur)
    with pytest.raises(AttributeError, match="prunes"):
        _ = secateur.prunes  # type: ignore[attr-defined]
