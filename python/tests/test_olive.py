"""The passes for Olive, in a workflow of the real one."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import secateur.olive

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
MODEL = FIXTURES / "trained" / "lenet_mnist.onnx"
DATA = FIXTURES / "data" / "mnist_200.npz"

with_olive = pytest.mark.skipif(
    importlib.util.find_spec("olive") is None, reason="Olive is not installed: pip install 'secateur[olive]'"
)

USER_SCRIPT = """
import numpy as np
from olive.data.registry import Registry


@Registry.register_dataset()
def digits(file, **_):
    data = np.load(file)
    return [({"input": image}, int(label)) for image, label in zip(data["input"], data["label"])]


@Registry.register_post_process()
def classes(logits, **_):
    return logits.argmax(-1)
"""


def run(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OLIVE_DISABLE_TELEMETRY": "1"}
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def workflow(folder: Path, passes: dict[str, object]) -> subprocess.CompletedProcess[str]:
    """Runs passes on the model, and has Olive measure the accuracy before and after."""
    (folder / "digits.py").write_text(USER_SCRIPT)
    accuracy = {
        "name": "accuracy",
        "type": "accuracy",
        "backend": "torch_metrics",
        "data_config": "digits",
        "sub_types": [{"name": "accuracy_score", "metric_config": {"task": "multiclass", "num_classes": 10}}],
    }
    config = {
        "input_model": {"type": "ONNXModel", "model_path": str(MODEL)},
        "data_configs": [
            {
                "name": "digits",
                "user_script": str(folder / "digits.py"),
                "load_dataset_config": {"type": "digits", "file": str(DATA)},
                "post_process_data_config": {"type": "classes"},
            }
        ],
        "evaluators": {"accuracy": {"type": "OnnxEvaluator", "metrics": [accuracy]}},
        "evaluator": "accuracy",
        "passes": passes,
        "cache_dir": str(folder / "cache"),
        "output_dir": str(folder / "out"),
    }
    (folder / "workflow.json").write_text(json.dumps(config))
    made = run("secateur.olive", "config", folder / "packages.json", folder=folder)
    assert made.returncode == 0, made.stderr
    words = ("run", "--config", folder / "workflow.json", "--package-config", folder / "packages.json")
    return run("olive", *words, folder=folder)


@with_olive
def test_a_workflow_prunes_and_quantises(tmp_path: Path) -> None:
    passes = {
        "prune": {"type": "SecateurPrune", "macs": 0.5, "data_config": "digits"},
        "quantise": {"type": "SecateurQuantise", "data_config": "digits"},
    }
    done = workflow(tmp_path, passes)
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = (
        json.loads((tmp_path / "out" / name).read_text())["accuracy-accuracy_score"]["value"]
        for name in ("input_model_metrics.json", "metrics.json")
    )
    assert after > before - 0.03, (before, after)
    (small,) = (tmp_path / "out").glob("**/*.onnx")
    assert small.stat().st_size < 0.2 * MODEL.stat().st_size


@with_olive
def test_a_wrong_setting_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    done = workflow(tmp_path, {"prune": {"type": "SecateurPrune", "mac": 0.5}})
    assert done.returncode != 0
    assert "SecateurPrune has no setting 'mac', did you mean 'macs'?" in done.stdout + done.stderr
    assert not list((tmp_path / "out").glob("**/*.onnx"))


@with_olive
def test_the_package_configuration_keeps_the_passes_of_olive(tmp_path: Path) -> None:
    secateur.olive.write_package_config(tmp_path / "packages.json")
    passes = json.loads((tmp_path / "packages.json").read_text())["passes"]
    assert "OnnxStaticQuantization" in passes
    assert set(secateur.olive.PASSES) <= set(passes)
    assert [path.name for path in tmp_path.iterdir() if "packages" in path.name] == ["packages.json"]


def test_without_olive_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="pip install"):
        secateur.olive.write_package_config(tmp_path / "packages.json")
    assert not (tmp_path / "packages.json").exists()


def test_an_unknown_olive_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.spec_from_file_location("olive", tmp_path / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: found)
    with pytest.raises(RuntimeError, match=r"olive_config\.json"):
        secateur.olive.package_config()
