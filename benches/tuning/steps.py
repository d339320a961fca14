"""CPU time of a training step, beside PyTorch's on the same net and batch.

    python benches/tuning/steps.py --secateur BINARY [--batch 64] MODEL,LABELLED ...

Each MODEL.onnx is trained on LABELLED.npz, which has an array per input and `label`, by labels alone. A step of `tune` is the CPU
seconds of a run of many steps less those of a run of few; PyTorch's is the median of as many steps (forward, loss, backward,
clipping, AdamW) of what onnx2torch makes of the model. Both have one processor. The two take turns, and each is the median of the
turns. Needs torch, onnx2torch and numpy.
"""

import argparse
import os
import resource
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnx2torch
import torch

FEW, MANY = 20, 220


def tuned(binary: str, model: str, data: str, batch: int) -> float:
    """Milliseconds of a step of `tune`."""
    seconds = []
    for steps in (FEW, MANY):
        with tempfile.TemporaryDirectory() as folder:
            command = [binary, "tune", model, "--data", data, "--labels", "--steps", str(steps), "--batch", str(batch)]
            command += ["--augment", "none", "--output", str(Path(folder) / "tuned.onnx")]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            # All threads of onnxruntime share one processor.
            one = {min(os.sched_getaffinity(0))}
            subprocess.run(command, check=True, capture_output=True, preexec_fn=lambda: os.sched_setaffinity(0, one))
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return 1e3 * (seconds[1] - seconds[0]) / (MANY - FEW)


class Net:
    """What onnx2torch makes of a model, and one batch."""

    def __init__(self, model: str, data: str, batch: int) -> None:
        self.net = onnx2torch.convert(model).train()
        for module in self.net.modules():
            if isinstance(module, (torch.nn.modules.batchnorm._BatchNorm, torch.nn.Dropout)):
                module.eval()
        buffers = [b for b in self.net.buffers() if b.is_floating_point() and b.numel() > 1]
        self.weights = [*self.net.parameters(), *(b.requires_grad_(True) for b in buffers)]
        arrays = np.load(data)
        self.inputs = [torch.from_numpy(arrays[n][:batch]) for n in arrays.files if n != "label"]
        self.labels = torch.from_numpy(arrays["label"][:batch])
        self.optimiser = torch.optim.AdamW(self.weights, lr=1e-5, weight_decay=0)

    def step(self) -> None:
        self.optimiser.zero_grad()
        torch.nn.functional.cross_entropy(self.net(*self.inputs), self.labels).backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimiser.step()

    def timed(self) -> float:
        """Milliseconds of a step."""
        times = []
        for _ in range(MANY):
            start = time.process_time()
            self.step()
            times.append(time.process_time() - start)
        return 1e3 * float(np.median(times[FEW:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--secateur", required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("models", nargs="+", metavar="MODEL,LABELLED")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print("| model | tune, ms | PyTorch, ms | ratio |\n| --- | --- | --- | --- |")
    for pair in options.models:
        model, data = pair.split(",")
        net = Net(model, data, options.batch)
        turns = [(tuned(options.secateur, model, data, options.batch), net.timed()) for _ in range(options.turns)]
        ours, theirs = (float(np.median(column)) for column in zip(*turns))
        print(f"| {Path(model).stem}, {options.batch} | {ours:.1f} | {theirs:.1f} | {ours / theirs:.2f} |", flush=True)


if __name__ == "__main__":
    main()
