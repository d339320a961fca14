"""What the scripts of this folder share: the trained net as a PyTorch module, the samples, and the judge.

The job is the same in each: halve the multiply-accumulate operations of a trained ResNet-8, keep its accuracy with 512
samples without labels, write an ONNX file. What a user writes stands between `# the job` and `# done` in each script.
"""

import json
import re
import resource
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from measure import accuracy, divergence, logits

FOLDER, OUTPUT = Path(sys.argv[1]), Path(sys.argv[2])
MODEL = FOLDER / "resnet8_fashion.onnx"
CALIBRATION = FOLDER / "fashion_calib.npz"
TEST = FOLDER / "fashion_test.npz"


def module():
    """The net as the PyTorch module that its owner has, with the trained weights."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int):
            super().__init__()
            self.c1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.b1 = nn.BatchNorm2d(outputs)
            self.c2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.b2 = nn.BatchNorm2d(outputs)
            projected = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            self.sc = projected if stride > 1 else nn.Identity()

        def forward(self, x):
            y = self.b2(self.c2(torch.relu(self.b1(self.c1(x)))))
            return torch.relu(y + self.sc(x))

    class ResNet8(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(1, 32, 3, 2, 1, bias=False)
            self.bn = nn.BatchNorm2d(32)
            self.layers = nn.Sequential(Block(32, 32, 1), Block(32, 64, 2), Block(64, 128, 2))
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(128, 10)

        def forward(self, x):
            return self.fc(self.pool(self.layers(torch.relu(self.bn(self.stem(x))))).flatten(1))

    graph = onnx.load(FOLDER / "resnet8_fashion.bn.onnx").graph
    weights = {tensor.name: torch.tensor(numpy_helper.to_array(tensor)) for tensor in graph.initializer}
    weights |= {node.output[0]: weights[node.input[0]] for node in graph.node if node.op_type == "Identity"}
    net = ResNet8()
    missing = net.load_state_dict(weights, strict=False).missing_keys
    assert all(name.endswith("num_batches_tracked") for name in missing), missing
    return net.eval()


def samples():
    """512 images without labels."""
    return np.load(CALIBRATION)["input"]


def operations(path: Path) -> int:
    """Multiply-accumulate operations of convolutions and products with weights, for one sample."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path), data_prop=True)
    known = [*model.graph.value_info, *model.graph.output]
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in known}
    held = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    for node in model.graph.node:  # quantised weights stand behind a node that makes them real
        if node.op_type in ("DequantizeLinear", "Identity") and node.input[0] in held:
            held[node.output[0]] = held[node.input[0]]
    total = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            total += int(np.prod(held[node.input[1]]) * np.prod(shapes[node.output[0]][2:]))
        elif node.op_type in ("Gemm", "MatMul"):
            total += int(np.prod(held[node.input[1]]))
    return total


def installed(*names: str, beside: tuple = ()) -> tuple[int, int]:
    """How many packages these are with all that they need, and their bytes; without those that `beside` needs."""

    def closure(wanted):
        found, left = {}, [re.sub(r"[-_.]+", "-", name).lower() for name in wanted]
        while left:
            name, _, extra = left.pop().partition("|")
            if (name, extra) in found:
                continue
            try:
                package = metadata.distribution(name)
            except metadata.PackageNotFoundError:
                continue
            found[name, extra] = package
            for line in package.requires or []:
                needed, _, marker = line.partition(";")
                if not holds(marker, extra):
                    continue
                match = re.match(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?", needed)
                clean = re.sub(r"[-_.]+", "-", match[1]).lower()
                left += [clean, *(f"{clean}|{part.strip()}" for part in (match[2] or "").split(",") if part.strip())]
        return {name: package for (name, _), package in found.items()}

    packages = closure(names)
    for name in closure(beside):
        packages.pop(name, None)
    sizes = [file.locate() for package in packages.values() for file in package.files or []]
    return len(packages), sum(path.stat().st_size for path in set(map(Path, sizes)) if path.is_file())


def holds(marker: str, extra: str) -> bool:
    from packaging.markers import Marker

    return not marker.strip() or Marker(marker.strip()).evaluate({"extra": extra})


def lines() -> int:
    """What a user writes: lines of the script between the marks, without empty ones and comments."""
    text = Path(sys.argv[0]).read_text().split("# the job\n")[1].split("# done\n")[0]
    return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))


def report(name: str, packages: tuple, note: str) -> None:
    """Prints one line of JSON about what lies at OUTPUT."""
    # Of the processor, with its child processes: others share the machine.
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(times.ru_utime + times.ru_stime for times in used)
    labels, dense, small = np.load(TEST)["label"], logits(MODEL, TEST), logits(OUTPUT, TEST)
    count, size = installed(*packages)
    beyond, size_beyond = installed(*packages, beside=("torch", "onnx", "onnxruntime"))
    print(
        json.dumps(
            {
                "name": name,
                "version": metadata.version(packages[0]),
                "lines": lines(),
                "packages": count,
                "megabytes": round(size / 1e6),
                "beyond": beyond,
                "megabytes_beyond": round(size_beyond / 1e6),
                "seconds": round(seconds, 1),
                "macs": round(operations(OUTPUT) / operations(MODEL), 3),
                "bytes": OUTPUT.stat().st_size,
                "accuracy": round(100 * float(accuracy(small, labels)), 2),
                "dense": round(100 * float(accuracy(dense, labels)), 2),
                "divergence": round(float(divergence(dense, small)), 4),
                "note": note,
            }
        )
    )
