"""How fast one layer is with 8-bit integers, in the time of real numbers: prints a table.

    python benches/quantise/kernels.py [--threads N]

Convolutions read codes and make codes, products read real numbers and make real numbers, as `secateur quantise` places them. Cells
are ratios of medians of interleaved runs: below 1 integers are faster. From these the least sizes in `src/quantise/sites.rs` come.
Needs onnx and onnxruntime.
"""

import argparse
import statistics
import time

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ROUNDS = 9
# Seconds that a round of one layer takes at least.
LEAST = 0.004
CONVOLUTIONS = [
    # Channels read and made, window, groups.
    (1, 16, 5, 1),
    (1, 32, 5, 1),
    (3, 16, 3, 1),
    (3, 32, 3, 1),
    (8, 8, 3, 1),
    (8, 16, 3, 1),
    (16, 16, 3, 1),
    (18, 24, 5, 1),
    (32, 32, 3, 1),
    (64, 64, 3, 1),
    (16, 16, 1, 1),
    (32, 32, 1, 1),
    (64, 64, 1, 1),
    (16, 16, 3, 16),
    (64, 64, 3, 64),
]
PRODUCTS = [(16, 16), (32, 32), (64, 10), (64, 64), (64, 256), (256, 64), (256, 256), (768, 768)]


def session(nodes: list, constants: dict, shapes: list, kinds: list, threads: int) -> ort.InferenceSession:
    values = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in zip("xy", kinds, shapes)]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "layer", values[:1], values[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def codes(weights: np.ndarray, axis: int) -> dict:
    """The weights as codes of 7 bits with a scale for each position of an axis."""
    others = tuple(place for place in range(weights.ndim) if place != axis)
    scale = np.abs(weights).max(others, keepdims=True) / 64
    whole = np.round(weights / scale).astype(np.int8)
    rows = weights.shape[axis]
    return {"q": whole, "s": scale.reshape(rows).astype(np.float32), "z": np.zeros(rows, np.int8)}


def convolution(read: int, made: int, window: int, groups: int, size: int, batch: int, threads: int) -> float:
    random = np.random.default_rng(0)
    weights = (random.standard_normal((made, read // groups, window, window)) * 0.1).astype(np.float32)
    shapes = [[batch, read, size, size], [batch, made, size, size]]
    form = {"group": groups, "pads": [window // 2] * 4, "kernel_shape": [window, window]}
    real = [helper.make_node("Conv", ["x", "w", "b"], ["c"], **form), helper.make_node("Relu", ["c"], ["y"])]
    plain = session(real, {"w": weights, "b": np.zeros(made, np.float32)}, shapes, [TensorProto.FLOAT] * 2, threads)
    constants = codes(weights, 0) | {"sx": np.float32(0.05), "zx": np.uint8(0), "qb": np.zeros(made, np.int32)}
    constants["sb"] = (constants["s"] * 0.05).astype(np.float32)
    whole = [
        helper.make_node("DequantizeLinear", ["x", "sx", "zx"], ["d"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=0),
        helper.make_node("DequantizeLinear", ["qb", "sb"], ["b"], axis=0),
        helper.make_node("Conv", ["d", "w", "b"], ["c"], **form),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "sx", "zx"], ["y"]),
    ]
    coded = session(whole, constants, shapes, [TensorProto.UINT8] * 2, threads)
    numbers = random.standard_normal(shapes[0]).astype(np.float32)
    return ratio([(plain, numbers), (coded, random.integers(0, 255, shapes[0]).astype(np.uint8))])


def product(columns: int, rows: int, batch: int, threads: int) -> float:
    random = np.random.default_rng(0)
    weights = (random.standard_normal((columns, rows)) * 0.1).astype(np.float32)
    shapes = [[1, batch, columns], [1, batch, rows]]
    kinds = [TensorProto.FLOAT] * 2
    plain = session([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weights}, shapes, kinds, threads)
    whole = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["c"]),
        helper.make_node("DequantizeLinear", ["c", "sx", "zx"], ["d"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=1),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
    ]
    constants = codes(weights, 1) | {"sx": np.float32(0.05), "zx": np.uint8(128)}
    coded = session(whole, constants, shapes, kinds, threads)
    numbers = random.standard_normal(shapes[0]).astype(np.float32)
    return ratio([(plain, numbers), (coded, numbers)])


def ratio(layers: list) -> float:
    def seconds(layer: ort.InferenceSession, numbers: np.ndarray, times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            layer.run(None, {"x": numbers})
        return (time.perf_counter() - start) / times

    for layer in layers:
        seconds(*layer, 1)
    times = max(1, int(LEAST / max(seconds(*layers[0], 1), 1e-6)))
    found = [[], []]
    for _ in range(ROUNDS):
        for own, layer in zip(found, layers):
            own.append(seconds(*layer, times))
    return statistics.median(found[1]) / statistics.median(found[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    print("| convolution: channels, window, groups | 14x14, batch 1 | batch 16 | 28x28, batch 1 | batch 16 |")
    print("| --- | --- | --- | --- | --- |")
    for read, made, window, groups in CONVOLUTIONS:
        cells = [convolution(read, made, window, groups, size, batch, threads) for size in (14, 28) for batch in (1, 16)]
        name = f"{read} to {made}, {window}x{window}, {groups}"
        print(f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |", flush=True)
    print("\n| product: columns, rows | 1 row of data | 16 | 64 | 512 |")
    print("| --- | --- | --- | --- | --- |")
    for columns, rows in PRODUCTS:
        cells = [product(columns, rows, batch, threads) for batch in (1, 16, 64, 512)]
        print(f"| {columns}, {rows} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
