"""Bytes against divergence: pruning alone, integers, few bits, and pruning and bits in one search. Prints a table, draws a picture.

    python benches/quantise/front.py FOLDER MODEL SET --secateur target/release/secateur [--out front.svg]

FOLDER holds MODEL.onnx and SET_calib.npz and SET_test.npz with one array per input and `label`. Divergences are means of
KL(dense || changed) on the test split. Needs onnxruntime, numpy and, for the picture, matplotlib.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from measure import accuracy, divergence, logits  # noqa: E402

SHARES = [0.7, 0.5, 0.35, 0.25, 0.15]
BUDGETS = [0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.065, 0.05, 0.04, 0.03]


def ways(model: str, calibration: str) -> dict[str, list[list[str]]]:
    data = ["--calibration", calibration]
    pruned = [["prune", model, *data, "--params", str(share)] for share in SHARES]
    coded = [["quantise", model, *data]] + [["prune", model, *data, "--params", str(share), "--quantise"] for share in SHARES]
    bits = [["quantise", model, *data, "--weight-only", "--bits", bits] for bits in ("8", "4", "3", "2")]
    budgets = [["quantise", model, *data, "--budget", str(share)] for share in BUDGETS]
    joint = [[*words, "--prune"] for words in budgets]
    names = ["pruned", "pruned, 8-bit integers", "same bits for all weights", "bits by weight", "pruned, bits by weight"]
    return dict(zip(names, [pruned, coded, bits, budgets, joint]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("model")
    parser.add_argument("set")
    parser.add_argument("--secateur", default="secateur")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    dense = options.folder / f"{options.model}.onnx"
    calibration, test = (options.folder / f"{options.set}_{part}.npz" for part in ("calib", "test"))
    labels, expected = np.load(test)["label"], logits(dense, test)
    print("| way | KB, divergence, accuracy |")
    print("| --- | --- |")
    lines = {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.onnx"
        for name, commands in ways(str(dense), str(calibration)).items():
            points = []
            for words in commands:
                done = subprocess.run([options.secateur, *words, "-o", str(out), "--force"], capture_output=True)
                if done.returncode == 0:
                    made = logits(out, test)
                    points.append((out.stat().st_size / 1000, divergence(expected, made), 100 * accuracy(made, labels)))
            lines[name] = points
            cells = [f"{size:.0f} ({kl:.5f}, {right:.2f})" for size, kl, right in points]
            print(f"| {name} | " + ", ".join(cells) + " |", flush=True)
    if options.out:
        draw(lines, options.model, options.out)


def draw(lines: dict, model: str, out: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "front"
    from matplotlib import pyplot, ticker

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for name, points in lines.items():
        if points:
            sizes, divergences, _ = zip(*sorted(points))
            axes.plot(sizes, divergences, marker="o", markersize=4, linewidth=1.2, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.ScalarFormatter())
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_xlabel("kilobytes of the file")
    axes.set_ylabel("KL(dense || smaller), test split")
    axes.set_title(model)
    axes.grid(True, which="both", linewidth=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()
