#!/usr/bin/env python3
"""Budgets of time: what was asked, predicted and got, against budgets of operations. Prints a table.

    latency.py [--secateur target/release/secateur] [--share 0.5] [--batch N] MODEL=DATA.npz ...

Needs onnxruntime and numpy. Each model is pruned with `--latency SHARE` on its calibration data; then with `--macs`, once
at the share of operations that this left, and once at the largest share that is as fast (found by halving). All are run
in turn with the original, in bursts of which the first runs do not count, with one thread, whose own time is taken, so
that other programs count little; `got` is what secateur says,
`here` what is measured so. The divergences are those of the outputs on held-out samples, as secateur reports them.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime as ort

ROUNDS, WARM, RUNS = 60, 2, 5
HALVINGS = 4


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def inputs(of, data, batch):
    arrays = np.load(data)
    return {value.name: arrays[value.name][:batch] for value in of.get_inputs()}


def shares(paths, data, batch):
    """Median times as shares of that of the first."""
    sessions = [session(path) for path in paths]
    fed = [inputs(of, data, batch) for of in sessions]
    times = [[] for _ in paths]
    for number in range(ROUNDS):
        for place in range(len(paths)) if number % 2 == 0 else reversed(range(len(paths))):
            for run in range(WARM + RUNS):
                start = time.thread_time()
                sessions[place].run(None, fed[place])
                if run >= WARM:
                    times[place].append(time.thread_time() - start)
    medians = [statistics.median(of) for of in times]
    return [of / medians[0] for of in medians]


class Pruner:
    def __init__(self, arguments, model, data, folder):
        self.arguments, self.model, self.data, self.folder = arguments, model, data, folder

    def __call__(self, budget, share):
        """The result and its report; none where the budget cannot be met."""
        output = self.folder / f"{budget}_{share:.4f}.onnx"
        command = [self.arguments.secateur, "prune", self.model, "-o", output, "--calibration", self.data, "--force",
                   "--no-verify", "--json", f"--{budget}", f"{share:.4f}"]
        if self.arguments.batch > 1:
            command += ["--dim", f"{self.arguments.batch_name}={self.arguments.batch}"]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode:
            print("  " + done.stderr.strip().splitlines()[-1])
            return None
        return output, json.loads(done.stdout)


def row(arguments, model, data):
    with tempfile.TemporaryDirectory() as folder:
        prune = Pruner(arguments, model, data, pathlib.Path(folder))
        timed = prune("latency", arguments.share)
        if timed is None:
            return
        output, report = timed
        found = report["latency"]
        left = report["after"]["macs"] / report["before"]["macs"]
        counted = prune("macs", left)
        # The largest share of operations that is as fast.
        low, high, fast = left / 4, min(4 * left, 0.99), None
        for _ in range(HALVINGS):
            middle = (low * high) ** 0.5
            tried = prune("macs", middle)
            if tried is None:
                low = middle
                continue
            of_both = shares([model, output, tried[0]], data, arguments.batch)
            if of_both[2] <= of_both[1] * 1.01:
                low, fast = middle, tried
            else:
                high = middle
        names = ["--latency", "--macs, same operations", "--macs, same time"]
        made = [timed, counted, fast]
        there = [of for of in made if of is not None]
        here = iter(shares([model] + [of[0] for of in there], data, arguments.batch)[1:])
        stages = {of["name"]: of["milliseconds"] / 1e3 for of in report["stages"]}
        print(f"{pathlib.Path(model).stem}: asked {found['asked']:.3f}, predicted {found['predicted']:.3f}, got "
              f"{found['got']:.3f} ({found['interval'][0]:.3f} to {found['interval'][1]:.3f}), original "
              f"{found['original_ms']:.3f} ms, known in {stages['latency']:.1f} s, {found['attempts']} plan(s)")
        for name, of in zip(names, made):
            if of is None:
                print(f"  {name:26} none")
                continue
            share, recovery = next(here), of[1]["recovery"]
            macs = of[1]["after"]["macs"] / of[1]["before"]["macs"]
            print(f"  {name:26} operations {macs:.3f}  time here {share:.3f}  {1 / share:.2f} times as fast  "
                  f"divergence {recovery['divergence'][int(recovery['kept'])]:.5f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL=DATA")
    parser.add_argument("--secateur", default="target/release/secateur")
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--batch-name", default="batch", help="the model's name of the axis of samples")
    arguments = parser.parse_args()
    for pair in arguments.models:
        row(arguments, *pair.split("=", 1))


if __name__ == "__main__":
    main()
