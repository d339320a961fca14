"""Time of two processes that share the evaluations of a search, one core each, in that of one process on one core: prints a table.

    python benches/search/shards.py FOLDER --secateur target/release/secateur [--rounds 3] [MODEL ...]

FOLDER holds MODEL.onnx and SET_val.npz. One and two take turns; the medians are compared. Needs taskset (Linux).
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from floor import MODELS  # noqa: E402


def shared(binary: str, model: Path, data: Path, of: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        words = [binary, "search", model, "--data", data, "--max-drop", "accuracy=0.01", "--results", Path(folder) / "r"]
        environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
        running = [
            subprocess.Popen(["taskset", "-c", str(n), *map(str, words), "--shard", f"{n + 1}/{of}"], **quiet) for n in range(of)
        ]
        codes = [process.wait() for process in running]
        assert not any(codes), codes
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=["resnet8_fashion", "vit_fashion"])
    parser.add_argument("--secateur", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print("| model | one process, s | two, s | share |")
    print("| --- | --- | --- | --- |")
    for model in arguments.models:
        source = arguments.folder / f"{model}.onnx"
        data = arguments.folder / f"{MODELS[model]}_val.npz"
        times = {1: [], 2: []}
        for _ in range(arguments.rounds):
            for of in times:
                times[of].append(shared(arguments.secateur, source, data, of))
        one, two = (statistics.median(times[of]) for of in times)
        print(f"| {model} | {one:.1f} | {two:.1f} | {two / one:.2f} |", flush=True)


if __name__ == "__main__":
    main()
