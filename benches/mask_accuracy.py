"""Accuracy of trained models after masking, without any training: prints a table.

    python benches/mask_accuracy.py FOLDER --secateur target/release/secateur

FOLDER holds MODEL.onnx and, by data set, SET_calib.npz and SET_test.npz with one array per input and `label`.
Needs onnxruntime and numpy.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from measure import accuracy, logits

MODELS = {
    "lenet_mnist": "mnist",
    "resnet8_fashion": "fashion",
    "vit_fashion": "fashion",
    "gru_fashion": "fashionseq",
    "bert_spam": "spam",
    "lstm_spam": "spam",
}
METHODS = {
    "magnitude, layer": ["--criterion", "magnitude", "--scope", "layer"],
    "magnitude, global": ["--criterion", "magnitude", "--scope", "global"],
    "lamp": ["--criterion", "lamp"],
    "wanda": ["--criterion", "wanda"],
    "wanda, uniform": ["--criterion", "wanda", "--budget", "uniform"],
    "sparsegpt": ["--criterion", "sparsegpt"],
    "sparsegpt, uniform": ["--criterion", "sparsegpt", "--budget", "uniform"],
}
AMOUNTS = ["0.5", "0.7", "0.9", "2:4"]


def accuracy_on(data: Path, model: Path) -> float:
    return accuracy(logits(model, data), np.load(data)["label"])


def masked(options, folder: Path, model: str, dataset: str, method: str, amount: str) -> float | None:
    flags = ["--pattern", amount] if ":" in amount else ["--sparsity", amount]
    words = METHODS[method]
    if ":" in amount:
        if "global" in words or "lamp" in words or "uniform" in words:
            return None
        words = words[:2]
    out = folder / "masked.onnx"
    command = [options.secateur, "mask", str(options.folder / f"{model}.onnx"), "-o", str(out), *words, *flags]
    if words[1] in ("wanda", "sparsegpt"):
        command += ["--calibration", str(options.folder / f"{dataset}_calib.npz")]
    subprocess.run(command, check=True, capture_output=True)
    return accuracy_on(options.folder / f"{dataset}_test.npz", out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--secateur", default="secateur")
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    options = parser.parse_args()
    print("| model | method | " + " | ".join(AMOUNTS) + " |")
    print("| --- | --- |" + " --- |" * len(AMOUNTS))
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            dataset = MODELS[model]
            dense = accuracy_on(options.folder / f"{dataset}_test.npz", options.folder / f"{model}.onnx")
            for method in METHODS:
                found = [masked(options, Path(folder), model, dataset, method, amount) for amount in AMOUNTS]
                cells = ["" if one is None else f"{100 * one:.2f}" for one in found]
                print(f"| {model} ({100 * dense:.2f}) | {method} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
