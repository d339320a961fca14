"""Accuracy of trained models after pruning and training inside the file: prints a table.

    python benches/tuning/accuracy.py FOLDER --secateur target/release/secateur

FOLDER holds MODEL.onnx and, by data set, SET_calib.npz and SET_test.npz with one array per input and `label`; with
`--labels` SET_train.npz as well. Every cell is the accuracy on the test split in percent, in brackets KL(dense || pruned)
of the class probabilities there: recovered on all samples, then trained, with the CPU seconds of the second command.
Training sees no test data, and no labels without `--labels`. Needs onnxruntime and numpy.
"""

import argparse
import resource
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


def run(command: list[str]) -> tuple[str | None, float]:
    """What went wrong, if anything did, and CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    fault = done.stderr.strip().splitlines()[-1] if done.returncode else None
    return fault, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--secateur", default="secateur")
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--macs", nargs="*", default=["0.5", "0.25", "0.1"])
    parser.add_argument("--sparsity", nargs="*", default=[], help="mask by SparseGPT instead of pruning")
    parser.add_argument("--labels", action="store_true", help="train on SET_train.npz and its labels")
    parser.add_argument("--round-to", default="auto", help="widths, as of prune")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="for the training command")
    options = parser.parse_args()
    shares = options.sparsity or options.macs
    print("| model | " + " | ".join(f"{share}: before, after, CPU s" for share in shares) + " |")
    print("| --- |" + " --- |" * len(shares))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.onnx"
        for model in options.models:
            source = options.folder / f"{model}.onnx"
            data = options.folder / f"{MODELS[model]}_calib.npz"
            test = options.folder / f"{MODELS[model]}_test.npz"
            labels, dense = np.load(test)["label"], logits(source, test)
            whole = 100 * (dense.argmax(-1) == labels).mean()
            cells = []
            for share in shares:
                command = [options.secateur, "prune", str(source), "-o", str(out), "--macs", share]
                if options.sparsity:
                    command[1] = "mask"
                    command[-2:] = ["--sparsity", share, "--criterion", "sparsegpt"]
                else:
                    command += ["--round-to", options.round_to]
                command += ["--calibration", str(data)]
                fault, _ = run(command)
                cell = fault or judged(dense, logits(out, test), labels)
                tune = [*command, "--tune", *options.flags]
                if options.labels:
                    train = str(options.folder / f"{MODELS[model]}_train.npz")
                    tune = [options.secateur, "tune", str(out), "-o", str(out), "--force", "--labels"]
                    tune += ["--teacher", str(source), "--data", train, *options.flags]
                fault, seconds = run(tune)
                cell += ", " + (fault or judged(dense, logits(out, test), labels))
                cells.append(f"{cell}, {seconds:.0f}")
            print(f"| {model} ({whole:.2f}) | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
