"""Searches under a bound on models with labels: prints a table, and how often the bound holds on samples of the test split.

    python benches/search/floor.py FOLDER --secateur target/release/secateur [--seeds 10] [--words "--minimize params"] [MODEL ...]

FOLDER holds MODEL.onnx and, by data set, SET_val.npz (what the search gets) and SET_test.npz (what nothing has seen), with one array
per input and `label`. For each model: medians over seeds of the share of MACs, parameters and bytes that is left, of the time of a run in
that of the dense model (one thread, batch 16, medians of interleaved runs), of the drop of accuracy on the samples that the search checks on
and on the test split, of the seconds of the command, and in how many seeds the drop on the test split is within the bound, alone or
with its 95 % interval (paired, normal). A seed in which nothing smaller holds is said, and counts as the dense model.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

sys.path.insert(0, str(Path(__file__).parent.parent))
from measure import logits  # noqa: E402

MODELS = {
    "lenet_mnist": "mnist",
    "resnet8_fashion": "fashion",
    "vit_fashion": "fashion",
    "gru_fashion": "fashionseq",
    "bert_spam": "spam",
    "lstm_spam": "spam",
}
ROUNDS = 41
BURST = 5


def session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def ratio(dense: Path, small: Path, data: dict, batch: int = 16) -> float:
    """Median time of the small model in that of the dense one, interleaved."""
    pair = [session(dense), session(small)]
    names = [value.name for value in pair[0].get_inputs()]
    feed = {name: data[name][:batch] for name in names}
    times = [[], []]
    for turn in range(ROUNDS + 5):
        for which in (0, 1) if turn % 2 else (1, 0):
            # A few runs in a row, as a deployment has them.
            start = time.perf_counter()
            for _ in range(BURST):
                pair[which].run(None, feed)
            if turn >= 5:
                times[which].append(time.perf_counter() - start)
    return statistics.median(times[1]) / statistics.median(times[0])


def drop(dense: Path, small: Path, data: Path) -> tuple[float, float]:
    """The drop of accuracy with half of its 95 % interval."""
    labels = np.load(data)["label"]
    right = [logits(path, data).argmax(axis=1) == labels for path in (dense, small)]
    lost = right[0].astype(float) - right[1].astype(float)
    return lost.mean(), 1.96 * lost.std() / len(lost) ** 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--secateur", required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--bound", type=float, default=0.01)
    parser.add_argument("--words", default="")
    arguments = parser.parse_args()
    print("| model | MACs | params | bytes | time | drop (checked) | drop (test) | seconds | within | with interval |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for model in arguments.models:
        dense = arguments.folder / f"{model}.onnx"
        data = arguments.folder / f"{MODELS[model]}_val.npz"
        split = arguments.folder / f"{MODELS[model]}_test.npz"
        test = dict(np.load(split))
        rows = []
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(arguments.seeds):
                out = Path(folder) / f"{seed}.onnx"
                words = ["search", dense, "--data", data, "-o", out, "--seed", seed, "--json"]
                words += ["--max-drop", f"accuracy={arguments.bound}", *arguments.words.split()]
                start = time.perf_counter()
                done = subprocess.run([arguments.secateur, *map(str, words)], capture_output=True, text=True)
                seconds = time.perf_counter() - start
                if done.returncode == 1:
                    # The gate says that nothing smaller holds: the dense model stays.
                    print(f"{model}, seed {seed}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                    rows.append([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, seconds, 1, 1])
                    continue
                if done.returncode != 0:
                    raise SystemExit(done.stderr)
                report = json.loads(done.stdout)
                point = report["points"][report["chosen"]]
                before, after = report["before"], point["after"]
                lost, half = drop(dense, out, split)
                rows.append(
                    [
                        after["macs"] / before["macs"],
                        after["params"] / before["params"],
                        report["file_bytes_after"] / report["file_bytes_before"],
                        ratio(dense, out, test),
                        report["verdict"][0]["found"],
                        lost,
                        seconds,
                        int(lost <= arguments.bound),
                        int(lost - half <= arguments.bound),
                    ]
                )
        medians = [statistics.median(column) for column in zip(*rows)]
        counts = [sum(column) for column in list(zip(*rows))[-2:]]
        cells = [f"{number:.3f}" for number in medians[:4]] + [f"{100 * number:+.2f}" for number in medians[4:6]]
        cells += [f"{medians[6]:.1f}", *(f"{count}/{len(rows)}" for count in counts)]
        print(f"| {model} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
