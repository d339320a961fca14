#!/usr/bin/env python3
"""Prune every model of a folder with and without mixing dimensions and print a table.

    zoo_report.py SECATEUR FOLDER

SECATEUR is the release binary. Each model is pruned at a ratio of 0.5 without rounding, verified in onnxruntime, and the
median over five runs of the time without verification is taken.
"""
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def prune(binary, model, output, *extra):
    call = [binary, "prune", str(model), "-o", str(output), "--round-to", "1", "--json", *extra]
    start = time.perf_counter()
    done = subprocess.run(call, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    return (json.loads(done.stdout) if done.returncode == 0 else None), done, seconds


def row(binary, model, folder):
    cells = [model.stem]
    for extra in (["--exact"], []):
        report, done, _ = prune(binary, model, Path(folder) / "out.onnx", *extra)
        if report is None:
            cells += ["-", "-", f"failed ({done.returncode}): {done.stderr.strip()[:200]}"]
            continue
        proof = report["verification"]
        share = lambda key: f"{100 * report['after'][key] / report['before'][key]:.1f} %"
        worst = max(output["relative"] for output in proof["outputs"])
        pruned = proof["proven"] + proof["left_out"]
        cells += [f"{pruned}", share("params"), share("macs"), f"{worst:.1e}"]
    times = [prune(binary, model, Path(folder) / "out.onnx", "--no-verify")[2] for _ in range(5)]
    cells.append(f"{1e3 * statistics.median(times):.0f}")
    return cells


def main(binary, models):
    print("| model | exact: dims | params left | MACs left | error | all: dims | params left | MACs left | error | ms |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for model in sorted(Path(models).glob("*.onnx")):
            print("| " + " | ".join(row(binary, model, folder)) + " |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
