"""Accuracy of trained models after pruning, without any training: prints a table.

    python benches/accuracy/prune.py FOLDER --secateur target/release/secateur

FOLDER holds MODEL.onnx and, by data set, SET_calib.npz and SET_test.npz with one array per input and `label`.
Every cell is the accuracy on the test split in percent and, behind it, the divergence KL(dense || pruned) of the
class probabilities there. Calibration sees no labels and no test data. Needs onnxruntime and numpy.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from measure import judged, logits  # noqa: E402

MODELS = {
    "lenet_mnist": "mnist",
    "resnet8_fashion": "fashion",
    "resnet8_fashion.bn": "fashion",
    "resnet8_fashion.dynamo": "fashion",
    "vit_fashion": "fashion",
    "gru_fashion": "fashionseq",
    "bert_spam": "spam",
    "lstm_spam": "spam",
}
CRITERIA = ["l2", "wanda", "obs"]
RECOVERIES = ["none", "bias", "fold", "solve"]
SCOPES = ["uniform", "allocated"]


def methods(options) -> list[tuple[str, list[str] | None]]:
    """Names and flags; None for what needs no calibration data."""
    out = [("l2, plain", None), ("default", [])]
    for criterion in options.criteria:
        for scope in options.scopes:
            for recovery in options.recoveries:
                flags = ["--criterion", criterion, "--scope", scope, "--recover", recovery]
                out.append((f"{criterion}, {scope}, {recovery}", flags))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--secateur", default="secateur")
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--macs", nargs="*", default=["0.7", "0.5", "0.25"])
    parser.add_argument("--criteria", nargs="*", default=CRITERIA)
    parser.add_argument("--scopes", nargs="*", default=SCOPES)
    parser.add_argument("--recoveries", nargs="*", default=RECOVERIES)
    options = parser.parse_args()
    print("| model | method | " + " | ".join(f"{share} of MACs" for share in options.macs) + " |")
    print("| --- | --- |" + " --- |" * len(options.macs))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "pruned.onnx"
        for model in options.models:
            source = options.folder / f"{model}.onnx"
            test = options.folder / f"{MODELS[model]}_test.npz"
            labels, dense = np.load(test)["label"], logits(source, test)
            whole = 100 * (dense.argmax(-1) == labels).mean()
            for name, flags in methods(options):
                cells = []
                for share in options.macs:
                    command = [options.secateur, "prune", str(source), "-o", str(out), "--macs", share]
                    if flags is not None:
                        data = options.folder / f"{MODELS[model]}_calib.npz"
                        command += ["--calibration", str(data), *flags]
                    done = subprocess.run(command, capture_output=True, text=True)
                    if done.returncode == 0:
                        cells.append(judged(dense, logits(out, test), labels))
                    else:
                        cells.append(done.stderr.strip().splitlines()[-1])
                print(f"| {model} ({whole:.2f}) | {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
