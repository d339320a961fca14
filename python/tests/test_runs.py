"""Runs: progress, log, interruption, threads, copies of processes."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK

import secateur


def _python(code: str, *words: object, **variables: str) -> subprocess.Popen[str]:
    """A process that runs code."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # The sources have no compiled module.
        cwd=Path(__file__).parent,
        env={**os.environ, **variables},
    )


def _children(process: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True).stdout
    return [int(word) for word in listed.split()]


def test_progress_is_heard_on_the_thread_of_the_caller(lenet: Path, mnist: dict[str, Any]) -> None:
    heard: list[tuple[str, int, int]] = []
    threads = set()

    def hear(step: str, done: int, total: int) -> None:
        threads.add(threading.get_ident())
        heard.append((step, done, total))

    secateur.tune(lenet, teacher=lenet, data={"input": mnist["input"]}, steps=5, batch=8, progress=hear)
    assert threads == {threading.get_ident()}
    assert any(step == "tune" and 0 < done <= total for step, done, total in heard), heard


def test_bars_of_tqdm_are_shown(lenet: Path, mnist: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    secateur.tune(lenet, teacher=lenet, data={"input": mnist["input"]}, steps=5, batch=8, progress=True)
    assert "tune" in capfd.readouterr().err


def test_what_hears_may_fail_and_may_not_call(lenet: Path, mnist: dict[str, Any], tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def fail(*_: object) -> None:
        raise Enough

    def call(*_: object) -> None:
        secateur.inspect(lenet)

    output = tmp_path / "tuned.onnx"
    for hear, kind in [(fail, Enough), (call, secateur.UsageError)]:
        with pytest.raises(kind):
            secateur.tune(lenet, teacher=lenet, data=mnist, steps=3000, output=output, progress=hear)
        assert not output.exists()
    assert secateur.inspect(lenet).report


def test_lines_go_to_the_log(lenet: Path, images: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="secateur"):
        secateur.prune(lenet, calibration=images, **QUICK)
    assert any(record.name == "secateur" for record in caplog.records)
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="secateur"):
        secateur.prune(lenet, calibration=images, **QUICK)
    assert [record for record in caplog.records if record.levelno < logging.WARNING] == []


INTERRUPTED = """
import sys, time
import numpy, secateur
model, output = sys.argv[1:]
data = {"input": numpy.random.default_rng(0).normal(size=(512, 1, 28, 28)).astype(numpy.float32)}
print("begins", flush=True)
try:
    secateur.tune(model, teacher=model, data=data, steps=100000, output=output)
except KeyboardInterrupt:
    start = time.monotonic()
    secateur.inspect(model)
    secateur.prune(model, ratio=0.5, calibration=data, samples=64, criterion="act-mean", scope="uniform")
    print("goes on", flush=True)
"""


@pytest.mark.parametrize("wait", [0.3, 3.0])
def test_keys_interrupt_a_run(lenet: Path, tmp_path: Path, temporaries: Path, wait: float) -> None:
    output = tmp_path / "tuned.onnx"
    run = _python(INTERRUPTED, lenet, output)
    assert run.stdout is not None and run.stdout.readline() == "begins\n"
    time.sleep(wait)
    workers = _children(run.pid)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=120)
    assert (out, run.returncode) == ("goes on\n", 0), err
    assert [path.name for path in tmp_path.iterdir()] == [temporaries.name]
    assert list(temporaries.iterdir()) == []
    assert not any(Path(f"/proc/{worker}/exe").exists() for worker in workers)


def test_threads_take_turns(lenet: Path) -> None:
    def prune(number: int) -> bytes:
        return secateur.prune(lenet, ratio=0.3 + number / 10).to_bytes()

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(prune, range(4)))
    assert len({len(content) for content in together}) == 4
    assert [len(prune(number)) for number in range(4)] == [len(content) for content in together]


FORKED = """
import os, sys, threading, time
import numpy, secateur
model, when = sys.argv[1:]
data = {"input": numpy.random.default_rng(0).normal(size=(64, 1, 28, 28)).astype(numpy.float32)}
def prune():
    return secateur.prune(model, ratio=0.5, calibration=data, criterion="act-mean", scope="uniform")
if when == "after":
    kept = prune()
if when == "amidst":
    heard = threading.Event()
    run = threading.Thread(
        target=lambda: secateur.tune(model, teacher=model, data=data, steps=300, progress=lambda *_: heard.set())
    )
    run.start()
    heard.wait(60)
child = os.fork()
if not child:
    try:
        print(len(prune().report), flush=True)
    except secateur.RuntimeFailed as fault:
        print(fault, flush=True)
    os._exit(0)
os.waitpid(child, 0)
if when == "after":
    assert kept.path.exists()
if when == "amidst":
    run.join()
print(len(prune().report), flush=True)
"""


@pytest.mark.parametrize("when", ["before", "after", "amidst"])
def test_copies_of_a_process_work_or_say_why_not(lenet: Path, when: str) -> None:
    run = _python(FORKED, lenet, when)
    out, err = run.communicate(timeout=240)
    assert run.returncode == 0, err
    child, parent = out.splitlines()
    assert parent.isdigit()
    assert child.isdigit() if when != "amidst" else "fork" in child, out


def test_imports_are_light() -> None:
    code = "import sys, secateur; print([m for m in ('numpy', 'onnx', 'onnxruntime', 'json') if m in sys.modules])"
    out, err = _python(code).communicate(timeout=60)
    assert out == "[]\n", err


def _package(folder: Path, version: str | None) -> Path:
    """A folder for the path of Python that has an onnxruntime of this version, or one without a library."""
    package = folder / "onnxruntime"
    (package / "capi").mkdir(parents=True)
    text = f'__version__ = "{version}"\n' if version else ""
    (package / "__init__.py").write_text(text + "raise SystemExit('it is imported')\n")
    return folder


PRUNES = """
import sys
import numpy, secateur
data = {"input": numpy.zeros((8, 1, 28, 28), numpy.float32)}
try:
    print(len(secateur.prune(sys.argv[1], ratio=0.5, calibration=data, criterion="act-mean", scope="uniform").report))
except secateur.RuntimeFailed as fault:
    print(fault)
"""


def test_a_python_that_does_not_say_where_it_is_runs(lenet: Path) -> None:
    code = "import sys; sys.executable = ''\n" + textwrap.dedent(PRUNES)
    out, err = _python(code, lenet).communicate(timeout=60)
    assert out.strip().isdigit(), out + err


@pytest.mark.skipif(sys.version_info < (3, 11), reason="no onnxruntime for this Python is new enough")
def test_an_old_onnxruntime_is_named(lenet: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    cache = str(tmp_path / "cache")
    cases = [("1.19.2", "onnxruntime 1.19.2 of this environment is too old"), (None, "has no library")]
    for number, (version, part) in enumerate(cases):
        path = str(_package(tmp_path / str(number), version))
        out, err = _python(PRUNES, lenet, PYTHONPATH=path, SECATEUR_CACHE=cache).communicate(timeout=60)
        for wanted in [part, "1.24 or newer is needed", "pip install --upgrade 'onnxruntime>=1.24'"]:
            assert wanted in out, out + err
    spec = importlib.util.find_spec("onnxruntime")
    assert spec and spec.origin
    library = next((Path(spec.origin).parent / "capi").glob("libonnxruntime.so*"))
    out, err = _python(
        PRUNES, lenet, PYTHONPATH=str(tmp_path / "0"), SECATEUR_CACHE=cache, ORT_DYLIB_PATH=str(library)
    ).communicate(timeout=60)
    assert out.strip().isdigit(), out + err


def test_the_command_line_is_there(lenet: Path, tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("secateur")
    for command in [[str(script)], [sys.executable, "-m", "secateur"]]:
        said = subprocess.run([*command, "--version"], capture_output=True, text=True, cwd=tmp_path)
        assert said.stdout == f"secateur {secateur.__version__}\n", said.stderr
    output = tmp_path / "small.onnx"
    run = subprocess.run([script, "prune", lenet, "-o", output, "--ratio", "0.5"], capture_output=True, text=True)
    assert run.returncode == 0 and output.exists(), run.stderr
    wrong = subprocess.run([script, "prune", lenet, "--mac", "0.5"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "--macs" in wrong.stderr
    bench = subprocess.run([script, "bench", lenet, "--runs", "2", "--json"], capture_output=True, text=True)
    assert bench.returncode == 0 and '"peak' in bench.stdout, bench.stdout


def test_bytes_of_a_folder_in_the_way_are_no_module(lenet: Path, tmp_path: Path) -> None:
    (tmp_path / "secateur").mkdir()
    (tmp_path / "secateur" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    code = "import sys; sys.path.remove('')\n" + textwrap.dedent(PRUNES)
    run = subprocess.run([sys.executable, "-c", code, lenet], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert run.stdout.strip().isdigit(), run.stdout + run.stderr
