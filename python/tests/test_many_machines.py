"""The examples that share out work, on a real cluster and in real processes."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

import secateur

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "python" / "examples"
MODEL = ROOT / "fixtures" / "trained" / "lenet_mnist.onnx"
DATA = ROOT / "fixtures" / "data" / "mnist_200.npz"


def needs(module: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"{module} is not installed: pip install 'secateur[{module}]'")


def example(name: str, *words: object) -> str:
    # Ray's workers look for packages where it was started: not among the sources, which have no compiled module.
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, words)], cwd=EXAMPLES, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs("ray")
def test_two_nodes_share_out_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # Its sockets lie there, whose paths have to be short.
    monkeypatch.delenv("TMPDIR", raising=False)
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        said = example(
            "ray_search.py",
            *(MODEL, DATA, tmp_path / "small.onnx", "--results", tmp_path / "runs"),
            *("--shards", 2, "--goal", "max_drop=accuracy=0.05", "--address", cluster.address),
        )
    finally:
        cluster.shutdown()
    nodes = re.findall(r"^shard \d/2: node (\w+), process \d+$", said, re.MULTILINE)
    assert len(nodes) == 2 and len(set(nodes)) == 2, said
    alone = secateur.search(MODEL, data=DATA, max_drop="accuracy=0.05", output=tmp_path / "alone.onnx")
    assert (tmp_path / "small.onnx").read_bytes() == (tmp_path / "alone.onnx").read_bytes()
    assert alone.report["points"]


@needs("optuna")
def test_two_processes_share_a_study(tmp_path: Path) -> None:
    said = example("optuna_search.py", MODEL, DATA, DATA, tmp_path, "--trials", 6, "--processes", 2)
    # Each process ends the trial that it is at.
    trials = re.match(r"([67]) trials by 2 processes$", said, re.MULTILINE)
    assert trials, said
    front = sorted(re.findall(r"^(\d+\.onnx): 0\.\d+ of the operations, accuracy 0\.\d+", said, re.MULTILINE))
    assert front and front == sorted(path.name for path in tmp_path.glob("*.onnx")), said
    for name in front:
        onnx.checker.check_model(onnx.load(tmp_path / name))
    # It goes on where it was: nothing is left to do.
    again = example("optuna_search.py", MODEL, DATA, DATA, tmp_path, "--trials", 6)
    assert again.startswith(f"{trials[1]} trials by 2 processes"), again
