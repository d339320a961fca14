"""The commands as functions, made of what the compiled module says of their settings."""

from __future__ import annotations

import functools
import inspect
import json
import logging
import math
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from secateur import _data, _environment, _models, _secateur
from secateur._errors import UsageError, check, exception
from secateur._result import ModelResult, Result

# What settings every function has besides those of its command.
PROGRESS = "progress"
_PROGRESS_HELP = "A function that hears of (step, done, total), or True for a bar of tqdm"
REPORT = "report"
_REPORT_HELP = (
    "Files to write what was found to: .html to look at, .md for summaries, metrics.json for trackers, "
    ".json for all of it"
)


@functools.cache
def facts() -> dict[str, dict[str, Any]]:
    """What there is to say of each command, by name."""
    commands = json.loads(_secateur.commands())
    return {command["name"]: command for command in commands}


@functools.cache
def functions() -> dict[str, Callable[..., Result]]:
    """The functions by name."""
    return {name.replace("-", "_"): _function(command) for name, command in facts().items()}


def _function(command: dict[str, Any]) -> Callable[..., Result]:
    def run(*positional: Any, **settings: Any) -> Result:
        return _Call(command, positional, settings).result()

    run.__name__ = run.__qualname__ = command["name"].replace("-", "_")
    run.__module__ = "secateur"
    run.__doc__ = documentation(command)
    run.__signature__ = _signature(command)  # type: ignore[attr-defined]
    return run


def makes_model(command: dict[str, Any]) -> bool:
    """True if a command writes a model."""
    return any(setting["name"] == "output" for setting in command["settings"])


def is_required(setting: dict[str, Any]) -> bool:
    """True if a setting has to be said; a model goes to a temporary folder where none is."""
    return bool(setting["required"]) and setting["name"] != "output"


def documentation(command: dict[str, Any]) -> str:
    """The text of a function: what the command does, and its settings."""
    lines = [f"{command['about']}.", ""]
    for setting in command["settings"]:
        lines += _entry(setting["name"], setting["help"])
    lines += _entry(REPORT, _REPORT_HELP) + _entry(PROGRESS, _PROGRESS_HELP)
    return "\n".join(lines)


def _entry(name: str, text: str) -> list[str]:
    text = _secateur.with_keywords(text)
    entry = f"{name}: {text}"
    return textwrap.wrap(entry, 112, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def _signature(command: dict[str, Any]) -> inspect.Signature:
    kinds = inspect.Parameter
    parameters = []
    for setting in command["settings"]:
        ordered = kinds.VAR_POSITIONAL if setting["many"] else kinds.POSITIONAL_OR_KEYWORD
        kind = ordered if setting["positional"] else kinds.KEYWORD_ONLY
        default = kinds.empty if setting["positional"] or is_required(setting) else None
        parameters.append(kinds(setting["name"], kind, default=default))
    parameters += [kinds(name, kinds.KEYWORD_ONLY, default=None) for name in (REPORT, PROGRESS)]
    return inspect.Signature(parameters)


class _Call:
    """One call of a command."""

    def __init__(self, command: dict[str, Any], positional: Sequence[Any], settings: dict[str, Any]) -> None:
        self.command = command
        self.facts = {setting["name"]: setting for setting in command["settings"]}
        self.progress = settings.pop(PROGRESS, None)
        self.reports = [str(_json(REPORT, path)) for path in _flat([settings.pop(REPORT, None) or []])]
        self.settings = self._named(positional, settings)
        self.folder: _secateur.Folder | None = None
        self.data: list[tuple[str, list[_data.Given]]] = []

    def _named(self, positional: Sequence[Any], settings: dict[str, Any]) -> dict[str, Any]:
        """All settings by name: those that stand in the order of the arguments as well."""
        function = self.command["name"].replace("-", "_")
        names = [name for name, setting in self.facts.items() if setting["positional"]]
        said: dict[str, Any] = {}
        if names and self.facts[names[-1]]["many"]:
            if positional:
                said[names[-1]] = _flat(positional)
        elif len(positional) > len(names):
            others = f"{len(positional)} are given without one"
            raise UsageError(f"{function}() takes {', '.join(names)} without a name, and {others}")
        else:
            said = dict(zip(names, positional, strict=False))
        twice = [name for name in said if name in settings]
        if twice:
            raise UsageError(f"{function}() has `{twice[0]}` twice: by its place and by its name")
        return {name: value for name, value in {**said, **settings}.items() if value is not None}

    def path(self) -> Path:
        """A temporary folder, as long as this call and its result."""
        if self.folder is None:
            self.folder, fault = _secateur.Folder.make()
            check(fault)
            assert self.folder is not None
        return Path(self.folder.path)

    def result(self) -> Result:
        try:
            return self._run()
        finally:
            # An exception holds what it went through: the result alone holds the folder.
            self.folder = None

    def _run(self) -> Result:
        _environment.declare()
        output = self._output()
        try:
            settings = [(name, self._plain(name, value)) for name, value in self.settings.items()]
        except RecursionError as endless:
            raise UsageError("a setting contains itself") from endless
        with _Progress(self.progress) as hear:
            answer = _secateur.call(
                (self.command["name"], self.reports),
                json.dumps(settings),
                self.data,
                hear,
                (_log, min(_logger.getEffectiveLevel(), 255)),
            )
        fault = answer.take_fault()
        error = exception(fault) if fault else None
        if error is not None and not answer.has_report():
            raise error
        kind = ModelResult if makes_model(self.command) else Result
        result = kind(self.command["name"], answer, output, self.folder)
        if error is not None:
            result.passed = False
            error.result = result
            raise error
        return result

    def _output(self) -> Path | None:
        """Where the model goes; named here where the caller does not."""
        if not makes_model(self.command) or self.settings.get("dry_run") or self.settings.get("shard"):
            return None
        if "output" not in self.settings:
            self.settings["output"] = self.path() / "model.onnx"
        output = self.settings["output"]
        if not isinstance(output, (str, os.PathLike)):
            raise UsageError(f"`output` is {type(output).__name__}: it is a path")
        return Path(os.fsdecode(output))

    def _plain(self, name: str, value: Any) -> Any:
        """A value as JSON."""
        fact = self.facts.get(name)
        kind = fact["kind"] if fact else "text"
        if kind == "model":
            if fact and fact["many"]:
                values = _flat([value])
                return [_models.path_of(f"{name}_{place}", one, self.path) for place, one in enumerate(values)]
            # Data may have to know it as well: it is written once.
            self.settings[name] = path = _models.path_of(name, value, self.path)
            return path
        if kind == "data" and _data.is_in_memory(value):
            handle = f"{name} in memory"
            self.data.append((handle, _data.given(value, self._samples(name), self._sample_axes)))
            return handle
        return _json(name, value)

    def _samples(self, name: str) -> int | None:
        """Samples that are taken of an iterable."""
        samples = self.settings.get("samples")
        if isinstance(samples, int):
            # What is no number of samples is told when all settings are read.
            return max(samples, 1)
        if self.command["name"] == "sensitivity":
            return _secateur.SENSITIVITY_SAMPLES
        return _secateur.CALIBRATION_SAMPLES if name == "calibration" else None

    def _sample_axes(self, names: list[str]) -> list[int | None]:
        model = next((fact["name"] for fact in self.facts.values() if fact["kind"] == "model"), "model")
        if model not in self.settings:
            raise UsageError(f"{self.command['name']}() needs `{model}`")
        path = self._plain(model, self.settings[model])
        said = [_axis(text) for text in _pairs(self.settings.get("sample_axis"))]
        axes, fault = _secateur.sample_axes(path, names, [pair for pair in said if pair is not None])
        check(fault)
        return axes


def _flat(values: Sequence[Any]) -> list[Any]:
    out: list[Any] = []
    for value in values:
        out += value if isinstance(value, (list, tuple)) else [value]
    return out


def _pairs(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{name}={part}" for name, part in value.items()]
    if value is None or isinstance(value, str):
        return [value] if value else []
    if not isinstance(value, (list, tuple)):
        raise UsageError(f"`sample_axis` is {type(value).__name__}: it takes NAME=AXIS, or a dictionary of those")
    return [str(part) for part in value]


def _axis(text: str) -> tuple[str, int | None] | None:
    """What `sample_axis` says; what it cannot say is told when all settings are read."""
    name, _, axis = text.rpartition("=")
    if axis == "none":
        return name, None
    return (name, int(axis)) if axis.isdecimal() else None


def _json(name: str, value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"`{name}` is {value}: it takes a number that is finite")
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise UsageError(f"`{name}` is {value!r}: it is no text, since half of a character is no character")
    if isinstance(value, (bool, str, int, float)):
        return value
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, Mapping):
        return {str(key): _json(name, part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(name, part) for part in value]
    number = getattr(value, "item", None)
    if number is not None and getattr(value, "shape", None) == ():
        return _json(name, number())
    kind = type(value).__name__
    raise UsageError(f"`{name}` is {kind}: a setting is a text, a number, True or False, a path, or a list of those")


_logger = logging.getLogger("secateur")


def _log(level: int, line: str) -> None:
    _logger.log(level, "%s", line)


class _Progress:
    """Who hears of progress, with a bar that ends with the call."""

    def __init__(self, wanted: Any) -> None:
        self.bar: Any = None
        self.step = ""
        self.hear: Callable[[str, int, int], object] | None = None
        if wanted is True:
            try:
                from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]
            except ImportError as fault:
                raise ImportError("`progress=True` shows a bar of tqdm: `pip install tqdm`") from fault
            self.make = tqdm
            self.hear = self.show
        elif callable(wanted):
            self.hear = wanted
        elif wanted is not None and wanted is not False:
            kind = type(wanted).__name__
            raise UsageError(f"`{PROGRESS}` is {kind}: it takes a function or True")

    def __enter__(self) -> Callable[[str, int, int], object] | None:
        return self.hear

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def show(self, step: str, done: int, total: int) -> None:
        if step != self.step:
            if self.bar is not None:
                self.bar.close()
            self.step = step
            self.bar = self.make(desc=step, total=total)
        self.bar.total = total
        self.bar.update(done - self.bar.n)
