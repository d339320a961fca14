#!/usr/bin/env python3
"""Measure which widths onnxruntime's kernels like: prints the table of `src/search/widths.rs`.

    widths.py [--provider CPUExecutionProvider] [--rounds 15]

Needs onnxruntime, onnx and numpy. For every family of operators a chain of layers is made at each width and run on
one thread, at two batch sizes; all widths take turns, so that whatever slows the machine hits all alike, and the
thread's own time is taken, so that other processes do not count (the clock's where the work is not on the CPU). A cell
is the median time per multiply-accumulate over that of the multiples of 32 around it: 1.00 is as fast as it gets.
Widths are grouped by the largest power of two that divides them.
"""
import argparse
import statistics
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

WIDTHS = [32, 33, 34, 36, 38, 40, 42, 44, 46, 47, 48, 49, 50, 52, 54, 56, 57, 60, 62, 63, 64, 66, 68, 72, 76, 80, 84, 88, 90, 95, 96]
DIVISORS = [1, 2, 4, 8, 16, 32]
BATCHES = [1, 16]
LAYERS = 3
PLACES = 14
STEPS = 16
GROUPS = 4
RANDOM = np.random.default_rng(0)


def weight(name, *shape):
    return numpy_helper.from_array((RANDOM.standard_normal(shape) * 0.1).astype(np.float32), name)


def convolution(width, batch, kernel, groups=1, stride=1):
    """`width` channels per group; depthwise where there are as many groups as channels."""
    channels = width if groups == width else width * groups
    per_group = channels // groups
    nodes, weights, last, size, macs = [], [], "x", PLACES * stride ** 2, 0
    first = size
    for layer in range(LAYERS if stride == 1 else 2):
        weights += [weight(f"w{layer}", channels, per_group, kernel, kernel), weight(f"b{layer}", channels)]
        pads = [kernel // 2] * 4
        nodes.append(helper.make_node("Conv", [last, f"w{layer}", f"b{layer}"], [f"c{layer}"], group=groups,
                                      kernel_shape=[kernel] * 2, pads=pads, strides=[stride] * 2))
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"]))
        last, size = f"r{layer}", -(-size // stride)
        macs += batch * channels * per_group * kernel * kernel * size * size
    return nodes, weights, last, [batch, channels, first, first], macs


def matmul(width, batch):
    nodes, weights, last = [], [], "x"
    for layer in range(LAYERS):
        weights.append(weight(f"w{layer}", width, width))
        nodes += [helper.make_node("MatMul", [last, f"w{layer}"], [f"m{layer}"]),
                  helper.make_node("Relu", [f"m{layer}"], [f"r{layer}"])]
        last = f"r{layer}"
    return nodes, weights, last, [batch, 64, width], LAYERS * batch * 64 * width * width


def gemm(width, batch):
    nodes, weights, last = [], [], "x"
    for layer in range(LAYERS):
        weights += [weight(f"w{layer}", width, width), weight(f"b{layer}", width)]
        nodes += [helper.make_node("Gemm", [last, f"w{layer}", f"b{layer}"], [f"m{layer}"], transB=1),
                  helper.make_node("Relu", [f"m{layer}"], [f"r{layer}"])]
        last = f"r{layer}"
    return nodes, weights, last, [batch, width], LAYERS * batch * width * width


def recurrent(width, batch):
    weights = [weight("w", 1, 4 * width, width), weight("r", 1, 4 * width, width)]
    nodes = [helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=width)]
    return nodes, weights, "y", [STEPS, batch, width], 8 * STEPS * batch * width * width


FAMILIES = {
    "convolution 1x1": lambda w, b: convolution(w, b, 1),
    "convolution 3x3": lambda w, b: convolution(w, b, 3),
    "convolution 3x3, stride 2": lambda w, b: convolution(w, b, 3, stride=2),
    "depthwise 3x3": lambda w, b: convolution(w, b, 3, groups=w),
    "grouped 3x3": lambda w, b: convolution(w, b, 3, groups=GROUPS),
    "matmul": matmul,
    "gemm": gemm,
    "recurrent": recurrent,
}


def session(parts, provider):
    nodes, weights, last, shape, macs = parts
    output = helper.make_tensor_value_info(last, TensorProto.FLOAT, None)
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "g", [value], [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    run = ort.InferenceSession(model.SerializeToString(), options, providers=[provider])
    feed = {"x": RANDOM.standard_normal(shape).astype(np.float32)}
    return run, feed, macs


def times(family, batch, provider, rounds):
    """Seconds per multiply-accumulate by width, each as a median of interleaved runs."""
    clock = time.thread_time if provider == "CPUExecutionProvider" else time.perf_counter
    sessions = {width: session(FAMILIES[family](width, batch), provider) for width in WIDTHS}
    # Short runs are repeated, so that a clock's tick does not matter.
    repeats = {}
    for width, (run, feed, _) in sessions.items():
        run.run(None, feed)
        start = clock()
        run.run(None, feed)
        repeats[width] = max(1, int(2e-3 / max(clock() - start, 1e-9)))
    found = {width: [] for width in WIDTHS}
    for number in range(rounds):
        for width in WIDTHS if number % 2 == 0 else reversed(WIDTHS):
            run, feed, macs = sessions[width]
            start = clock()
            for _ in range(repeats[width]):
                run.run(None, feed)
            found[width].append((clock() - start) / repeats[width] / macs)
    return {width: statistics.median(seconds) for width, seconds in found.items()}


def expected(found, width):
    """Time of this width if it were as good as the multiples of 32 around it."""
    below = min(width // 32 * 32, 64)
    share = (width - below) / 32
    return found[below] ** (1 - share) * found[below + 32] ** share


def cell(found, divisor):
    """By how much widths that this power of two divides, and no larger one, are slower than multiples of 32."""
    own = [w for w in WIDTHS if w % divisor == 0 and (divisor == 32 or w % (2 * divisor))]
    return statistics.median(found[w] / expected(found, w) for w in own)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--provider", default="CPUExecutionProvider")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--widths", action="store_true", help="every width, not only its divisor")
    options = parser.parse_args()
    print(f"onnxruntime {ort.__version__}, onnx {onnx.__version__}, {options.provider}")
    print("| family | batch | ns per MAC | " + " | ".join(f"{d}" for d in DIVISORS) + " |")
    print("| --- | --- | --- |" + " --- |" * len(DIVISORS))
    for family in FAMILIES:
        for batch in BATCHES:
            found = times(family, batch, options.provider, options.rounds)
            best = 1e9 * found[64]
            cells = " | ".join(f"{cell(found, divisor):.2f}" for divisor in DIVISORS)
            print(f"| {family} | {batch} | {best:.3f} | {cells} |", flush=True)
            if options.widths:
                print("   " + ", ".join(f"{w}: {1e9 * t:.3f}" for w, t in found.items()), flush=True)


if __name__ == "__main__":
    main()
