"""One job in several tools, each in an environment of its own: prints a table.

    python benches/peers/compare.py FOLDER secateur=venv_a/bin/python torch_pruning=venv_b/bin/python ...

FOLDER holds resnet8_fashion.onnx, resnet8_fashion.bn.onnx, fashion_calib.npz and fashion_test.npz. The environments:

    secateur        pip install secateur onnx
    torch_pruning   pip install torch-pruning onnx
    modelopt        pip install nvidia-modelopt requests huggingface-hub "torchprofile<0.1" onnx
    nncf            pip install nncf torch torchao onnx
    olive           pip install olive-ai onnxruntime requests

and onnxruntime in each, which judges. Seconds are of the processor, on all cores together, from the start of Python to
the written file. Packages and bytes are those that the tool needs, with all that these need; `beyond` leaves PyTorch,
onnx and onnxruntime out with what they need, which many have anyway.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HEAD = "| tool | lines | packages (beyond) | MB (beyond) | CPU seconds | MACs left | bytes | accuracy | divergence |"


def row(folder: str, name: str, python: str) -> str:
    script = Path(__file__).with_name(f"{name}_job.py")
    # Nothing is reported to anybody. PyTorch's threads wait busily for each other where others share the machine.
    environment = {**os.environ, "OLIVE_DISABLE_TELEMETRY": "1", "CI": "true", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as place:
        words = [python, "-W", "ignore", str(script), folder, str(Path(place) / "small.onnx")]
        done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if done.returncode:
        return f"| {name} | failed: {done.stderr.strip().splitlines()[-1]} |"
    found = json.loads(done.stdout.strip().splitlines()[-1])
    tool = f"{found['name']} {found['version']}" + (f" ({found['note']})" if found["note"] else "")
    packages = f"{found['packages']} ({found['beyond']})"
    megabytes = f"{found['megabytes']:,} ({found['megabytes_beyond']:,})"
    kept = f"{found['macs']:.0%} | {found['bytes'] / 1000:,.0f} KB"
    result = f"{found['accuracy']:.2f} | {found['divergence']:.4f}"
    return f"| {tool} | {found['lines']} | {packages} | {megabytes} | {found['seconds']:.0f} | {kept} | {result} |"


def main() -> None:
    folder, *environments = sys.argv[1:]
    print(HEAD)
    print("| --- |" + " --- |" * (HEAD.count("|") - 2))
    for environment in environments:
        name, _, python = environment.partition("=")
        print(row(folder, name, python), flush=True)


if __name__ == "__main__":
    main()
