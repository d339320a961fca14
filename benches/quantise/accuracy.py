"""Accuracy, divergence, bytes and time of quantised models beside onnxruntime's own quantiser: prints a table.

    python benches/quantise/accuracy.py FOLDER --secateur target/release/secateur

FOLDER holds MODEL.onnx and, by data set, SET_calib.npz and SET_test.npz with one array per input and `label`. Every cell is
the accuracy on the test split in percent, in brackets KL(dense || quantised) of the class probabilities there, kilobytes, and
the processor time of a pass over the test split in that of the dense model (one thread, medians of interleaved passes); for
secateur also the processor seconds of the command. `--prune SHARE` compares instead pruning to this share of the MACs, then
quantising that, with both in one run; `--words` are given to both. The peer is `quantize_static` of onnxruntime with weights by channel, once
as it is and once with `reduce_range` and the operators MatMul, Gemm and Conv alone, its best setting without knowing a model.
Needs numpy and onnxruntime with its tools (onnx).
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

sys.path.insert(0, str(Path(__file__).parent.parent))
from measure import judged, logits  # noqa: E402

MODELS = {
    "lenet_mnist": "mnist",
    "resnet8_fashion": "fashion",
    "vit_fashion": "fashion",
    "bert_spam": "spam",
    "gru_fashion": "fashionseq",
    "lstm_spam": "spam",
}
ROUNDS = 5


class Reader(CalibrationDataReader):
    def __init__(self, data: Path, model: Path):
        arrays = np.load(data)
        session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_inputs()]
        count = len(arrays[names[0]])
        self.batches = iter([{n: arrays[n][i : i + 32] for n in names} for i in range(0, count, 32)])

    def get_next(self):
        return next(self.batches, None)


def peer(source: Path, out: Path, data: Path, **options) -> None:
    ready = out.with_suffix(".ready.onnx")
    quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
    extra = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, "per_channel": True}
    quantize_static(str(ready), str(out), Reader(data, source), **extra, **options)


def times(models: list[Path], data: Path) -> list[float]:
    """Processor time of a pass over 1,000 samples by model, in that of the first."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    arrays = dict(np.load(data))
    sessions = [ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"]) for model in models]
    names = [value.name for value in sessions[0].get_inputs()]
    seconds = [[] for _ in models]
    for _ in range(ROUNDS):
        for session, own in zip(sessions, seconds):
            start = time.process_time()
            for i in range(0, 1000, 50):
                session.run(None, {name: arrays[name][i : i + 50] for name in names})
            own.append(time.process_time() - start)
    return [statistics.median(own) / statistics.median(seconds[0]) for own in seconds]


def command(words: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr.strip().splitlines()[-1], file=sys.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def one_run(options: argparse.Namespace, folder: Path) -> None:
    """Pruned, then quantised, against pruned and quantised in one run."""
    print("| model | pruned | then quantised | in one run |")
    print("| --- | --- | --- | --- |")
    for name in options.models:
        dense = options.folder / f"{name}.onnx"
        data = options.folder / f"{MODELS[name]}_calib.npz"
        test = options.folder / f"{MODELS[name]}_test.npz"
        outs = [folder / f"{name}.{kind}.onnx" for kind in ["pruned", "then", "one"]]
        given = ["--calibration", str(data)]
        prune = [options.secateur, "prune", str(dense), "--macs", options.prune, *given, *options.words.split()]
        seconds = [command([*prune, "-o", str(outs[0])])]
        seconds.append(command([options.secateur, "quantise", str(outs[0]), "-o", str(outs[1]), *given]))
        seconds.append(command([*prune, "-o", str(outs[2]), "--quantise"]))
        labels, expected = np.load(test)["label"], logits(dense, test)
        there = [out for out in outs if out.exists()]
        ratios = dict(zip([dense, *there], times([dense, *there], test)))
        cells = []
        for out, spent in zip(outs, seconds):
            if out.exists():
                size = out.stat().st_size // 1000
                cells.append(f"{judged(expected, logits(out, test), labels, 6)}, {size} KB, {ratios[out]:.2f}x, {spent:.1f} s")
            else:
                cells.append("refused")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--secateur", default="secateur")
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--macs", help="prune to this share first")
    parser.add_argument("--prune", metavar="SHARE", help="prune to this share of the MACs and quantise, in two runs and in one")
    parser.add_argument("--words", default="--round-to 1", help="what `prune` is told beside")
    options = parser.parse_args()
    if options.prune:
        with tempfile.TemporaryDirectory() as folder:
            return one_run(options, Path(folder))
    print("| model | int8 | weights alone | onnxruntime static | its best |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            dense = options.folder / f"{name}.onnx"
            data = options.folder / f"{MODELS[name]}_calib.npz"
            test = options.folder / f"{MODELS[name]}_test.npz"
            source = dense
            if options.macs:
                source = Path(folder) / f"{name}.pruned.onnx"
                words = ["prune", str(dense), "-o", str(source), "--macs", options.macs, "--force"]
                command([options.secateur, *words, "--calibration", str(data)])
            outs = [Path(folder) / f"{name}.{kind}.onnx" for kind in ["int8", "weights", "static", "best"]]
            common = [options.secateur, "quantise", str(source), "--calibration", str(data), "-o"]
            seconds = [command([*common, str(outs[0])]), command([*common, str(outs[1]), "--weight-only"])]
            peer(source, outs[2], data)
            best = {"WeightSymmetric": True}
            peer(source, outs[3], data, reduce_range=True, op_types_to_quantize=["MatMul", "Gemm", "Conv"], extra_options=best)
            labels, expected = np.load(test)["label"], logits(dense, test)
            there = [out for out in outs if out.exists()]
            ratios = dict(zip([dense, *there], times([dense, *there], test)))
            cells = []
            for place, out in enumerate(outs):
                if not out.exists():
                    cells.append("refused")
                    continue
                cell = f"{judged(expected, logits(out, test), labels, 6)}, {out.stat().st_size // 1000} KB, {ratios[out]:.2f}x"
                cells.append(cell + (f", {seconds[place]:.1f} s" if place < 2 else ""))
            whole = 100 * (expected.argmax(-1) == labels).mean()
            print(f"| {name} ({whole:.2f}, {dense.stat().st_size // 1000} KB) | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
