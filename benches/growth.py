"""How the CPU time of the command line grows with a model: for shapes of graphs at n, 2n and 4n.

    python benches/growth.py target/release/secateur [SHAPE ...]

Prints CPU seconds (user and system, the median of three runs) and the exponent between n and 4n: 1 is linear.
"""

import math
import os
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RANDOM = np.random.default_rng(0)
RUNS = 3


def weight(name, *sizes):
    numbers = RANDOM.standard_normal(sizes).astype(np.float32) * 0.1
    return numpy_helper.from_array(numbers, name)


def value(name, sizes, element=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, element, sizes)


def model(nodes, inputs, output, weights, functions=()):
    graph = helper.make_graph(nodes, "g", inputs, [value(output, None)], weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=functions)


def chain(n):
    """Layers one after another."""
    nodes, weights, last = [], [], "x"
    for i in range(n):
        weights.append(weight(f"w{i}", 8, 8))
        nodes.append(helper.make_node("MatMul", [last, f"w{i}"], [f"h{i}"]))
        nodes.append(helper.make_node("Relu", [f"h{i}"], [f"r{i}"]))
        last = f"r{i}"
    return model(nodes, [value("x", ["n", 8])], last, weights)


def web(n):
    """Layers whose outputs are all added to the two before."""
    nodes, weights, values = [], [], ["x", "x"]
    for i in range(n):
        weights.append(weight(f"w{i}", 8, 8))
        nodes.append(helper.make_node("MatMul", [values[-1], f"w{i}"], [f"h{i}"]))
        nodes.append(helper.make_node("Add", [f"h{i}", values[-1]], [f"a{i}"]))
        nodes.append(helper.make_node("Add", [f"a{i}", values[-2]], [f"s{i}"]))
        values.append(f"s{i}")
    return model(nodes, [value("x", ["n", 8])], values[-1], weights)


def backwards(n):
    """Layers of one width that are joined from the last to the first."""
    nodes, weights = [], []
    for i in range(n):
        weights.append(weight(f"w{i}", 4, 8))
        nodes.append(helper.make_node("MatMul", ["x", f"w{i}"], [f"h{i}"]))
    last = f"h{n - 1}"
    for i in reversed(range(n - 1)):
        nodes.append(helper.make_node("Add", [f"h{i}", f"h{i + 1}"], [f"s{i}"]))
    sums = [f"s{i}" for i in range(n - 1)]
    nodes.append(helper.make_node("Sum", sums, ["all"]))
    weights.append(weight("out", 8, 4))
    nodes.append(helper.make_node("MatMul", ["all", "out"], ["y"]))
    return model(nodes, [value("x", ["n", 4])], "y", weights)


def nest(n):
    """Bodies of If, ten deep, n / 10 in a row."""

    def body(depth, last):
        inner = [helper.make_node("Relu", [last], ["z"])]
        if depth:
            inner = [branch(depth - 1, last, "z")]
        return helper.make_graph(inner, "b", [], [value("z", None)])

    def branch(depth, last, out):
        bodies = {f"{side}_branch": body(depth if side == "then" else 0, last) for side in ("then", "else")}
        return helper.make_node("If", ["c"], [out], **bodies)

    nodes, weights, last = [], [], "x"
    for i in range(n // 10):
        weights.append(weight(f"w{i}", 8, 8))
        nodes.append(helper.make_node("MatMul", [last, f"w{i}"], [f"h{i}"]))
        nodes.append(branch(10, f"h{i}", f"z{i}"))
        last = f"z{i}"
    return model(nodes, [value("x", [1, 8]), value("c", [], TensorProto.BOOL)], last, weights)


def dense(n):
    """Blocks of sixteen layers that each read all of the block before them."""
    nodes, weights, last = [], [], "x"
    for i in range(n // 16):
        parts = [last]
        for j in range(16):
            joined = f"c{i}.{j}"
            nodes.append(helper.make_node("Concat", parts, [joined], axis=1))
            weights.append(weight(f"w{i}.{j}", 8 + 4 * j, 4))
            nodes.append(helper.make_node("MatMul", [joined, f"w{i}.{j}"], [f"h{i}.{j}"]))
            parts.append(f"h{i}.{j}")
        nodes.append(helper.make_node("Concat", parts, [f"c{i}"], axis=1))
        weights.append(weight(f"t{i}", 8 + 64, 8))
        nodes.append(helper.make_node("MatMul", [f"c{i}", f"t{i}"], [f"t{i}.y"]))
        last = f"t{i}.y"
    return model(nodes, [value("x", ["n", 8])], last, weights)


def joins(n):
    """One axis that every layer adds its outputs to."""
    nodes, weights, last = [], [], "x"
    for i in range(n):
        weights.append(weight(f"w{i}", 8, 2))
        nodes.append(helper.make_node("MatMul", ["x", f"w{i}"], [f"h{i}"]))
        nodes.append(helper.make_node("Concat", [last, f"h{i}"], [f"c{i}"], axis=1))
        last = f"c{i}"
    weights.append(weight("out", 8 + 2 * n, 4))
    nodes.append(helper.make_node("MatMul", [last, "out"], ["y"]))
    return model(nodes, [value("x", ["n", 8])], "y", weights)


def residual(n):
    """Blocks with a dimension of their own on one residual stream."""
    nodes, weights, last = [], [], "x"
    for i in range(n):
        weights += [weight(f"a{i}", 8, 4), weight(f"b{i}", 4, 8)]
        nodes.append(helper.make_node("MatMul", [last, f"a{i}"], [f"h{i}"]))
        nodes.append(helper.make_node("Relu", [f"h{i}"], [f"r{i}"]))
        nodes.append(helper.make_node("MatMul", [f"r{i}", f"b{i}"], [f"m{i}"]))
        nodes.append(helper.make_node("Add", [last, f"m{i}"], [f"s{i}"]))
        last = f"s{i}"
    return model(nodes, [value("x", ["n", 8])], last, weights)


def inputs(n):
    """Inputs that each have a layer, all summed."""
    nodes, weights = [], []
    for i in range(n):
        weights.append(weight(f"w{i}", 4, 8))
        nodes.append(helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"h{i}"]))
    nodes.append(helper.make_node("Sum", [f"h{i}" for i in range(n)], ["s"]))
    weights.append(weight("out", 8, 4))
    nodes.append(helper.make_node("MatMul", ["s", "out"], ["y"]))
    return model(nodes, [value(f"x{i}", ["n", 4]) for i in range(n)], "y", weights)


def functions(n):
    """A local function for every layer."""
    nodes, weights, made, last = [], [], [], "x"
    opsets = [helper.make_opsetid("", 17)]
    for i in range(n):
        body = [helper.make_node("MatMul", ["a", "w"], ["h"]), helper.make_node("Relu", ["h"], ["b"])]
        made.append(helper.make_function("local", f"F{i}", ["a", "w"], ["b"], body, opsets))
        weights.append(weight(f"w{i}", 8, 8))
        nodes.append(helper.make_node(f"F{i}", [last, f"w{i}"], [f"y{i}"], domain="local"))
        last = f"y{i}"
    return model(nodes, [value("x", ["n", 8])], last, weights, made)


BUDGET = ["--macs", "0.5", "--scope"]
SHAPES = {
    "chain": (chain, 2500, []),
    "web": (web, 2500, []),
    "backwards": (backwards, 2500, []),
    "nest": (nest, 1000, []),
    "dense": (dense, 2000, []),
    "joins": (joins, 500, []),
    "inputs": (inputs, 1000, []),
    "functions": (functions, 2500, []),
    "residual": (residual, 1250, []),
    "budget, global": (residual, 1250, [*BUDGET, "global"]),
    "budget, uniform": (residual, 1250, [*BUDGET, "uniform"]),
    "budget, isomorphic": (residual, 1250, [*BUDGET, "isomorphic"]),
}


def seconds(binary, path, folder, flags):
    """CPU seconds of one call; a model in which nothing can be pruned takes its time as well."""
    command = [binary, "prune", path, "-o", os.path.join(folder, "o.onnx"), "--no-verify", "--force", *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    message = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        raise SystemExit(f"{command}: {message.decode()}")
    return usage.ru_utime + usage.ru_stime


def main():
    binary, chosen = sys.argv[1], sys.argv[2:] or list(SHAPES)
    print("| shape | n | CPU s at n | at 2n | at 4n | exponent |")
    print("| --- | --: | --: | --: | --: | --: |")
    for name in chosen:
        make, n, flags = SHAPES[name]
        times = []
        for times_n in (1, 2, 4):
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "m.onnx")
                with open(path, "wb") as file:
                    file.write(make(n * times_n).SerializeToString())
                times.append(statistics.median(seconds(binary, path, folder, flags) for _ in range(RUNS)))
        exponent = math.log(times[2] / times[0]) / math.log(4)
        shown = " | ".join(f"{time:.2f}" for time in times)
        print(f"| {name} | {n} | {shown} | {exponent:.2f} |", flush=True)


if __name__ == "__main__":
    main()
