"""What Python costs: the time of `import secateur`, and of a call beside the same command of the binary.

    python benches/python/overhead.py MODEL [--secateur target/release/secateur] [--runs 9] [SETTING=VALUE ...]

In an environment that has the wheel. The runs of both alternate, so that what else the machine does meets both, and the
medians are shown. Build both alike: a wheel of the profile `dev` beside a release says nothing. Settings are those of
`prune`; without any, `macs=0.5`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import secateur


def milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)


def python(code: str) -> Callable[[], object]:
    # Not from here: a folder of that name would be taken for the package.
    return lambda: subprocess.run([sys.executable, "-c", code], check=True, cwd=tempfile.gettempdir())


def alternating(runs: int, *kinds: Callable[[], object]) -> list[list[float]]:
    """Milliseconds of each kind of work, by run; the first of each warms up."""
    times: list[list[float]] = [[] for _ in kinds]
    for run in range(runs + 1):
        for kind, spent in zip(kinds, times, strict=True):
            took = milliseconds(kind)
            if run:
                spent.append(took)
    return times


def row(name: str, spent: list[float]) -> str:
    return f"| {name} | {statistics.median(spent):.1f} | {min(spent):.1f} | {max(spent):.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("settings", nargs="*", default=["macs=0.5"])
    parser.add_argument("--secateur", type=Path, default=Path("target/release/secateur"))
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    settings = dict(setting.split("=", 1) for setting in options.settings)
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]

    # Both use the library of this environment.
    import onnxruntime

    library = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime*.so*"))
    os.environ["ORT_DYLIB_PATH"] = str(library)

    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "small.onnx"
        words = [options.secateur, "prune", options.model, "-o", output, "--force", *flags]

        def call() -> None:
            secateur.prune(options.model, output=output, force=True, **settings)  # type: ignore[arg-type]

        def binary() -> None:
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        empty, imported = alternating(options.runs, python("pass"), python("import secateur"))
        called, ran = alternating(options.runs, call, binary)

    print("| what | median, ms | least | most |\n| --- | --- | --- | --- |")
    print(row("Python that does nothing", empty))
    print(row("`import secateur` in it", imported))
    print(row("`secateur.prune(...)`", called))
    print(row("`secateur prune ...`", ran))
    bare, both = statistics.median(empty), statistics.median(imported)
    pairs = [of_call / of_binary for of_call, of_binary in zip(called, ran, strict=True)]
    print(
        f"\nThe import takes {both - bare:.1f} ms; a call {statistics.median(pairs):.3f} times as long as the binary."
    )


if __name__ == "__main__":
    main()
