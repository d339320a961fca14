"""Trains a small net of depthwise convolutions and quantises it: prints a table.

    python benches/quantise/depthwise.py FOLDER --secateur target/release/secateur [--epochs 4] [--out NET.onnx]

FOLDER holds fashion_train.npz, fashion_calib.npz and fashion_test.npz with `input` (samples, 1, 28, 28) and `label`. The net has inverted
residuals with Relu6 as EfficientNet-Lite has them, its normalisations folded by the exporter. Its twin has channels between two layers
scaled by 2^-u, u from 0 to 6, and back in the layer that reads them: what large ones do in nets whose normalisations differ much,
and all the same to real numbers but for Relu6. The peer is onnxruntime's `quantize_static` at its best setting. Needs torch, onnx and
onnxruntime.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))
from accuracy import peer  # noqa: E402
from measure import judged, logits  # noqa: E402

# Expansion, channels, blocks, stride, window.
STAGES = [(1, 8, 1, 1, 3), (4, 16, 2, 2, 3), (4, 24, 2, 2, 5), (4, 40, 1, 2, 3), (4, 56, 1, 2, 5)]
FIRST, LAST, BATCH = 16, 256, 128


class Residual(nn.Module):
    def __init__(self, read: int, made: int, expansion: int, stride: int, window: int):
        super().__init__()
        hidden = read * expansion
        layers = []
        if expansion > 1:
            layers += [nn.Conv2d(read, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6()]
        inner = nn.Conv2d(hidden, hidden, window, stride, window // 2, groups=hidden, bias=False)
        layers += [inner, nn.BatchNorm2d(hidden), nn.ReLU6()]
        layers += [nn.Conv2d(hidden, made, 1, bias=False), nn.BatchNorm2d(made)]
        self.body = nn.Sequential(*layers)
        self.adds = stride == 1 and read == made

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.adds else self.body(x)


def net() -> nn.Module:
    layers = [nn.Conv2d(1, FIRST, 3, 1, 1, bias=False), nn.BatchNorm2d(FIRST), nn.ReLU6()]
    read = FIRST
    for expansion, made, blocks, stride, window in STAGES:
        for block in range(blocks):
            layers.append(Residual(read, made, expansion, 1 if block else stride, window))
            read = made
    layers += [nn.Conv2d(read, LAST, 1, bias=False), nn.BatchNorm2d(LAST), nn.ReLU6()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(LAST, 10))


def train(data: Path, epochs: int) -> nn.Module:
    torch.manual_seed(0)
    arrays = np.load(data)
    images, labels = torch.tensor(arrays["input"]), torch.tensor(arrays["label"])
    model = net().train()
    adam = torch.optim.AdamW(model.parameters(), 4e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, 6e-3, epochs * (len(images) // BATCH))
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(BATCH)[: len(images) // BATCH]:
            loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
            schedule.step()
    return model.eval()


def export(model: nn.Module, path: Path) -> None:
    names = {"input_names": ["input"], "output_names": ["logits"]}
    axes = {"input": {0: "batch"}, "logits": {0: "batch"}}
    sample = (torch.zeros(1, 1, 28, 28),)
    torch.onnx.export(model, sample, str(path), **names, dynamic_axes=axes, opset_version=17, dynamo=False)


def disturb(source: Path, out: Path) -> None:
    """Scales channels behind Relu6, and back in the convolution that alone reads them."""
    model = onnx.load(source)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    readers: dict[str, list] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    random = np.random.default_rng(1)

    def change(name: str, factor: np.ndarray) -> None:
        array = numpy_helper.to_array(tensors[name]) * factor
        tensors[name].CopyFrom(numpy_helper.from_array(array.astype(np.float32), name))

    for node in model.graph.node:
        following = readers.get(node.output[0], [])
        if node.op_type != "Conv" or len(following) != 1 or following[0].op_type != "Clip":
            continue
        behind = readers.get(following[0].output[0], [])
        if len(behind) != 1 or behind[0].op_type != "Conv":
            continue
        channels = tensors[node.input[1]].dims[0]
        factor = 2.0 ** -random.uniform(0, 6, channels)
        change(node.input[1], factor[:, None, None, None])
        change(node.input[2], factor)
        alone = tensors[behind[0].input[1]].dims[1] == 1
        change(behind[0].input[1], 1 / (factor[:, None, None, None] if alone else factor[None, :, None, None]))
    onnx.save(model, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--secateur", default="secateur")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--out", type=Path, help="keep the net here")
    options = parser.parse_args()
    calibration, test = (options.folder / f"fashion_{part}.npz" for part in ("calib", "test"))
    labels = np.load(test)["label"]
    print("| net | real | int8 | onnxruntime at its best |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        plain, wild = Path(folder) / "plain.onnx", Path(folder) / "wild.onnx"
        export(train(options.folder / "fashion_train.npz", options.epochs), plain)
        disturb(plain, wild)
        if options.out:
            options.out.write_bytes(plain.read_bytes())
        for name, model in [("as trained", plain), ("channels scaled", wild)]:
            ours, other = model.with_suffix(".int8.onnx"), model.with_suffix(".peer.onnx")
            words = [options.secateur, "quantise", str(model), "-o", str(ours), "--calibration", str(calibration)]
            subprocess.run(words, check=True, capture_output=True)
            best = {"WeightSymmetric": True}
            peer(model, other, calibration, reduce_range=True, op_types_to_quantize=["MatMul", "Gemm", "Conv"], extra_options=best)
            expected = logits(model, test)
            cells = [f"{judged(expected, logits(out, test), labels, 5)}, {out.stat().st_size // 1000} KB" for out in (model, ours, other)]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
