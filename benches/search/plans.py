"""What curves of single dimensions say of whole plans: prints how predicted and real divergence of random plans go together.

    python benches/search/plans.py FOLDER --secateur target/release/secateur [--plans 30] [MODEL ...]

FOLDER holds MODEL.onnx and, by data set, SET_calib.npz and SET_val.npz. For each model so many plans are drawn: of every dimension a share
between a fifth and all of its best channels stays. Predicted is the sum over dimensions of the divergence that `secateur sensitivity`
finds for each alone on SET_val; real is the divergence of the whole plan from the dense model on SET_val, once with the readers folded, as
curves have it, and once recovered layer by layer. Printed are Spearman's rank correlation and Pearson's of the logarithms, for both, and
the median of real over predicted.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from measure import divergence, logits  # noqa: E402

MODELS = {
    "lenet_mnist": "mnist",
    "resnet8_fashion": "fashion",
    "vit_fashion": "fashion",
    "gru_fashion": "fashionseq",
    "bert_spam": "spam",
    "lstm_spam": "spam",
}


def run(*words: object) -> dict:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def ranks(numbers: list[float]) -> np.ndarray:
    return np.argsort(np.argsort(numbers)).astype(float)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--secateur", required=True)
    parser.add_argument("--plans", type=int, default=30)
    arguments = parser.parse_args()
    print("| model | folded: Spearman | Pearson of logs | real / predicted | recovered: Spearman | Pearson of logs | real / predicted |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for model in arguments.models:
        source = arguments.folder / f"{model}.onnx"
        calibration = arguments.folder / f"{MODELS[model]}_calib.npz"
        val = arguments.folder / f"{MODELS[model]}_val.npz"
        dense = logits(source, val)
        report = run(arguments.secateur, "sensitivity", source, "--data", val, "--json")
        curves = {}
        for row in report["rows"]:
            points = [(row["size"], 0.0)] + [(p["kept"], p["divergence"]) for p in row["points"]]
            points.sort()
            curves[row["name"]] = ([p[0] for p in points], [p[1] for p in points])
        generator = np.random.default_rng(0)
        rows = []
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder) / "base.json"
            words = ["--ratio", "0.5", "--round-to", "1", "--scope", "uniform", "--recover", "none", "--no-verify", "--json"]
            run(arguments.secateur, "prune", source, "-o", Path(folder) / "b.onnx", "--calibration", calibration, "--plan-out", base, *words)
            plan = json.loads(base.read_text())
            for number in range(arguments.plans):
                predicted, dimensions = 0.0, []
                for dimension in plan["dimensions"]:
                    # Blocks of a dimension keep as many each: whole multiples of what the plan itself keeps are safe.
                    step = max(1, dimension["size"] - 2 * len(dimension["kept"]) + 1)
                    kept = max(1, round(generator.uniform(0.2, 1.0) * dimension["size"] / step)) * step
                    kept = min(kept, dimension["size"])
                    best = np.argsort(-np.array(dimension["scores"]), kind="stable")[:kept]
                    if kept < dimension["size"]:
                        dimensions.append({**dimension, "kept": sorted(int(channel) for channel in best)})
                    predicted += float(np.interp(kept, *curves[dimension["name"]]))
                drawn = Path(folder) / f"{number}.json"
                drawn.write_text(json.dumps({**plan, "dimensions": dimensions}))
                real = []
                for recovery in ("fold", "solve"):
                    out = Path(folder) / "out.onnx"
                    words = ["--plan", drawn, "--recover", recovery, "--no-verify", "--force", "--json"]
                    run(arguments.secateur, "prune", source, "-o", out, "--calibration", calibration, *words)
                    real.append(divergence(dense, logits(out, val)))
                rows.append([predicted, *real])
        columns = [np.array(column) for column in zip(*rows)]
        cells = []
        for real in columns[1:]:
            spearman = np.corrcoef(ranks(columns[0]), ranks(real))[0, 1]
            pearson = np.corrcoef(np.log(columns[0]), np.log(real))[0, 1]
            cells += [f"{spearman:.2f}", f"{pearson:.2f}", f"{np.median(real / columns[0]):.2f}"]
        print(f"| {model} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
