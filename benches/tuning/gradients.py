"""Gradients as a criterion and as a scope: accuracy, divergence and planning time of pruned models.

    python benches/tuning/gradients.py scopes   --secateur BINARY MODEL,CALIBRATION,TEST ...
    python benches/tuning/gradients.py criteria --secateur BINARY MODEL,CALIBRATION,TEST ...

Each MODEL.onnx is pruned on CALIBRATION.npz (unlabelled but for `taylor`) and judged on TEST.npz, which has an array per
input and `label`. A cell is the accuracy in percent, in brackets the divergence KL(dense || pruned), and the seconds of planning: scores,
curves or gradients, and the search. `scopes` compares ways to spread a budget at the default criterion, `criteria` what is
chosen at the widths that one plan gives, with and without recovery. Needs onnxruntime and numpy.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from measure import judged, logits  # noqa: E402

PLANNING = ("score", "curves", "gradients", "plan")
SCOPES = {scope: ["--scope", scope] for scope in ("allocated", "fisher")}
CRITERIA = {
    f"{criterion}, {recovery}": ["--criterion", criterion, "--recover", recovery]
    for criterion in ("obs", "fisher", "taylor", "obs-fisher")
    for recovery in ("none", "solve")
}


def ratios(binary: str, source: Path, data: Path, share: str) -> list[str]:
    """Flags that give every dimension the width that the allocated scope gives it."""
    command = [binary, "prune", str(source), "--macs", share, "--calibration", str(data), "--scope", "allocated"]
    done = subprocess.run([*command, "--dry-run", "--json"], capture_output=True, text=True, check=True)
    flags = ["--scope", "uniform", "--round-to", "1"]
    for row in json.loads(done.stdout)["dimensions"]:
        if row["kept"] < row["size"]:
            ratio = (row["size"] - row["kept"]) / row["size"] + 1e-6
            flags += ["--only", row["name"], "--ratio-for", f"{row['name']}={ratio:.9f}"]
    return flags


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("scopes", "criteria"))
    parser.add_argument("models", nargs="+", help="MODEL.onnx,CALIBRATION.npz,TEST.npz")
    parser.add_argument("--secateur", default="secateur")
    parser.add_argument("--macs", nargs="*", default=["0.5", "0.25"])
    options = parser.parse_args()
    methods = SCOPES if options.what == "scopes" else CRITERIA
    print("| model | method | " + " | ".join(f"{share} of MACs" for share in options.macs) + " |")
    print("| --- | --- |" + " --- |" * len(options.macs))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "pruned.onnx"
        for entry in options.models:
            source, data, test = map(Path, entry.split(","))
            labels, dense = np.load(test)["label"], logits(source, test)
            whole = 100 * (dense.argmax(-1) == labels).mean()
            widths = {
                share: ratios(options.secateur, source, data, share) if options.what == "criteria" else ["--macs", share]
                for share in options.macs
            }
            for name, flags in methods.items():
                cells = []
                for share in options.macs:
                    command = [options.secateur, "prune", str(source), "-o", str(out), "--json"]
                    command += ["--calibration", str(data), *widths[share], *flags]
                    done = subprocess.run(command, capture_output=True, text=True)
                    if done.returncode:
                        cells.append(done.stderr.strip().splitlines()[-1])
                        continue
                    stages = json.loads(done.stdout)["stages"]
                    seconds = sum(s["milliseconds"] for s in stages if s["name"] in PLANNING) / 1e3
                    cells.append(f"{judged(dense, logits(out, test), labels)}, {seconds:.1f} s")
                print(f"| {source.stem} ({whole:.2f}) | {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
