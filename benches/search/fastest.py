"""Searches for the fastest model beside searches for the fewest operations, at one bound: prints a table.

    python benches/search/fastest.py FOLDER --secateur target/release/secateur [--bound 0.02] [MODEL ...]

FOLDER holds MODEL.onnx, SET_val.npz and SET_test.npz by data set. `depthwise64` is no file: a net of inverted residuals with depthwise
convolutions is trained here on FOLDER/fashion_train.npz, enlarged to 64x64 pixels (some minutes, needs torch). For both searches: share of the
operations, time of a run in that of the dense model (one thread, single samples, medians of interleaved runs here, not those of the search),
and the drop of accuracy on the test split.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))
from floor import MODELS, drop, ratio  # noqa: E402

SIDE = 64


def enlarged(source: Path, out: Path, most: int) -> None:
    import torch

    arrays = np.load(source)
    images = torch.tensor(arrays["input"][:most])
    large = torch.nn.functional.interpolate(images, size=(SIDE, SIDE), mode="bilinear")
    np.savez(out, input=large.numpy(), label=arrays["label"][:most])


def depthwise(folder: Path, source: Path) -> tuple[Path, Path, Path]:
    """A trained net with its two splits."""
    import torch

    sys.path.insert(0, str(Path(__file__).parent.parent / "quantise"))
    import depthwise as bench

    net = bench.net

    def strided() -> torch.nn.Module:
        model = net()
        model[0].stride = (2, 2)
        return model

    bench.net = strided
    splits = {}
    for split, most in (("train", 6000), ("val", 2000), ("test", 2000)):
        splits[split] = folder / f"{split}.npz"
        enlarged(source / f"fashion_{split}.npz", splits[split], most)
    model = bench.train(splits["train"], 4)
    path = folder / "depthwise64.onnx"
    names = {"input_names": ["input"], "output_names": ["logits"]}
    axes = {"input": {0: "batch"}, "logits": {0: "batch"}}
    sample = (torch.zeros(1, 1, SIDE, SIDE),)
    torch.onnx.export(model, sample, str(path), **names, dynamic_axes=axes, opset_version=17, dynamo=False)
    return path, splits["val"], splits["test"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=["resnet8_fashion", "vit_fashion", "bert_spam", "depthwise64"])
    parser.add_argument("--secateur", required=True)
    parser.add_argument("--bound", type=float, default=0.02)
    arguments = parser.parse_args()
    print("| model | fewest operations: MACs, time, drop | fastest: MACs, time, drop | speed of the second in the first |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as scratch:
        for model in arguments.models:
            if model == "depthwise64":
                dense, val, test = depthwise(Path(scratch), arguments.folder)
            else:
                dense = arguments.folder / f"{model}.onnx"
                val, test = (arguments.folder / f"{MODELS[model]}_{split}.npz" for split in ("val", "test"))
            samples = dict(np.load(test))
            cells, outs = [], []
            for cost in ("macs", "latency"):
                out = Path(scratch) / f"{model}.{cost}.onnx"
                words = ["search", dense, "--data", val, "-o", out, "--minimize", cost, "--json"]
                words += ["--max-drop", f"accuracy={arguments.bound}"]
                done = subprocess.run([arguments.secateur, *map(str, words)], capture_output=True, text=True)
                if done.returncode != 0:
                    raise SystemExit(f"{model}: {done.stderr}")
                report = json.loads(done.stdout)
                macs = report["points"][report["chosen"]]["after"]["macs"] / report["before"]["macs"]
                lost, half = drop(dense, out, test)
                time = ratio(dense, out, samples, 1)
                cells.append(f"{macs:.3f}, {time:.3f}, {100 * lost:+.2f} ± {100 * half:.2f}")
                outs.append(out)
            speed = 1 / ratio(outs[0], outs[1], samples, 1)
            print(f"| {model} | " + " | ".join(cells) + f" | {speed:.2f} |", flush=True)


if __name__ == "__main__":
    main()
