"""Accuracy of trained models by criterion at one share of the operations, without any training: prints a table.

    python benches/accuracy/criteria.py FOLDER --secateur target/release/secateur

FOLDER is as for prune.py. A row is a criterion, a cell the accuracy on the test split in percent with what `prune`
does by default on calibration data but for the criterion, behind it the accuracy without recovery; `-` where the
criterion does not apply. `loss` and `taylor` see the labels of the calibration data, nothing sees test data. Needs
onnxruntime and numpy.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from measure import accuracy, logits  # noqa: E402
from prune import MODELS  # noqa: E402

SHOWN = ["lenet_mnist", "resnet8_fashion.bn", "vit_fashion"]
# A threshold above all norms lets the budget alone decide.
CRITERIA = (
    "random l1 l2 linf lp:3 threshold:1000 fpgm bn-scale act-mean act-max act-min act-var act-zero wanda "
    "reconstruction obs loss taylor fisher obs-fisher"
).split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--secateur", default="secateur")
    parser.add_argument("--models", nargs="*", default=SHOWN)
    parser.add_argument("--criteria", nargs="*", default=CRITERIA)
    parser.add_argument("--macs", default="0.5")
    options = parser.parse_args()
    print("| criterion | " + " | ".join(options.models) + " |")
    print("| --- |" + " --- |" * len(options.models))
    with tempfile.TemporaryDirectory() as folder:
        for criterion in options.criteria:
            cells = [cell(options, Path(folder), model, criterion) for model in options.models]
            print(f"| `{criterion}` | " + " | ".join(cells) + " |", flush=True)


def cell(options: argparse.Namespace, folder: Path, model: str, criterion: str) -> str:
    """The accuracies of a model that was cut by a criterion."""
    source = options.folder / f"{model}.onnx"
    test, calibration = (options.folder / f"{MODELS[model]}_{part}.npz" for part in ("test", "calib"))
    labels = np.load(test)["label"]
    out = folder / "pruned.onnx"
    found = []
    for recovery in ("solve", "none"):
        command = [options.secateur, "prune", str(source), "-o", str(out), "--macs", options.macs]
        command += ["--criterion", criterion, "--calibration", str(calibration), "--recover", recovery]
        command += ["--stats", str(folder / f"{model}.safetensors"), "--no-verify"]
        if subprocess.run(command, capture_output=True).returncode != 0:
            return "-"
        found.append(f"{100 * accuracy(logits(out, test), labels):.1f}")
    return f"{found[0]} ({found[1]})"


if __name__ == "__main__":
    main()
