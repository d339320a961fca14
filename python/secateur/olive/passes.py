"""The passes. Olive imports this module."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from olive.common.config_utils import ParamCategory, validate_config
from olive.data.config import DataConfig
from olive.model import ONNXModelHandler
from olive.model.utils import resolve_onnx_path
from olive.passes import Pass
from olive.passes.pass_config import PassConfigParam
from olive.resource_path import LocalFile, LocalFolder
from pydantic import model_validator

import secateur
from secateur import _secateur
from secateur.olive import PASSES

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a pass is given by Olive itself.
GIVEN = ("model", "output")
TYPES: dict[str, Any] = {"flag": bool, "integer": int, "number": float}
COMMANDS = {command["name"]: command["settings"] for command in json.loads(_secateur.commands())}


class SecateurPass:
    """A command of secateur as a pass: its settings are parameters, `data_config` is a data set of the workflow."""

    command: ClassVar[str]

    @classmethod
    def settings(cls) -> dict[str, dict[str, Any]]:
        """What can be said of the command, by name."""
        return {setting["name"]: setting for setting in COMMANDS[cls.command] if setting["name"] not in GIVEN}

    @classmethod
    def _default_config(cls, accelerator_spec: Any) -> dict[str, PassConfigParam]:
        parameters = {name: parameter(setting) for name, setting in cls.settings().items()}
        if cls._data() is not None:
            parameters["data_config"] = PassConfigParam(
                type_=DataConfig | dict,
                default_value=None,
                description=f"A data set of the workflow in place of `{cls._data()}`; labels are left out.",
            )
        return parameters

    @classmethod
    def _validators(cls) -> dict[str, Any]:
        """Olive leaves out what it does not know; here that is an error."""

        names = list(cls._default_config(None))

        def known(said: dict[str, Any]) -> dict[str, Any]:
            for name in said:
                if name not in names:
                    near = difflib.get_close_matches(name, names, n=1)
                    hint = f", did you mean '{near[0]}'?" if near else f": there are {', '.join(names)}"
                    raise ValueError(f"{cls.__name__} has no setting '{name}'{hint}")
            return said

        return {"names_are_known": model_validator(mode="before")(known)}

    @classmethod
    def _data(cls) -> str | None:
        """The setting that takes samples."""
        return next((name for name, setting in cls.settings().items() if setting["kind"] == "data"), None)

    def _run_for_config(self, model: Any, config: Any, output_model_path: str) -> ONNXModelHandler:
        if not isinstance(model, ONNXModelHandler):
            raise TypeError(f"{type(self).__name__} takes ONNX models, not {type(model).__name__}: convert it before")
        said = {name: getattr(config, name) for name in self.settings()}
        said = {name: value for name, value in said.items() if value is not None}
        source = getattr(config, "data_config", None)
        data = self._data()
        if source is not None and data is not None:
            if data in said:
                raise ValueError(f"{type(self).__name__} has both `data_config` and `{data}`: say one of them")
            said[data] = samples(source, model)
        output = Path(resolve_onnx_path(output_model_path))
        getattr(secateur, self.command)(model.model_path, output=output, **said)
        if any(path != output for path in output.parent.iterdir()):
            # Weights beside the model.
            folder = LocalFolder({"path": output.parent})
            return ONNXModelHandler(model_path=folder, onnx_file_name=output.name)
        return ONNXModelHandler(model_path=LocalFile({"path": output}))


def parameter(setting: dict[str, Any]) -> PassConfigParam:
    """A setting of a command as Olive says it."""
    is_path = setting["kind"] in ("path", "model", "data")
    kind: Any = Path | str if is_path else TYPES.get(setting["kind"], str)
    if setting["pairs"]:
        kind = dict | list[str] | str
    elif setting["many"]:
        kind = list[kind] | kind
    if setting["bare"]:
        kind = bool | kind
    return PassConfigParam(
        type_=kind,
        required=setting["required"],
        default_value=None,
        category=ParamCategory.PATH if is_path and not setting["many"] else ParamCategory.NONE,
        description=setting["help"],
    )


def samples(source: Any, model: ONNXModelHandler) -> Iterator[dict[str, np.ndarray]]:
    """Batches of a data set of the workflow, without labels."""
    container = validate_config(source, DataConfig).to_data_container()
    batches = container.create_calibration_dataloader(model_path=model.model_path, io_config=model.io_config)
    names = list(model.io_config["input_names"])
    for batch in batches:
        inputs = batch[0] if isinstance(batch, (tuple, list)) else batch
        if not hasattr(inputs, "items"):
            if len(names) != 1:
                raise ValueError(f"the data set names no inputs, and the model has several: {', '.join(names)}")
            inputs = {names[0]: inputs}
        yield {name: array(value) for name, value in inputs.items()}


def array(value: Any) -> np.ndarray:
    """A tensor of PyTorch, or an array, as an array."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)


class SecateurPrune(SecateurPass, Pass):
    """Removes channels, neurons, heads and blocks, and proves that the rest is what it was."""

    command = "prune"


class SecateurTune(SecateurPass, Pass):
    """Trains a pruned or masked model inside its file to answer as a teacher does."""

    command = "tune"


class SecateurMask(SecateurPass, Pass):
    """Zeroes single weights."""

    command = "mask"


class SecateurClean(SecateurPass, Pass):
    """Removes the channels that zeros have made dead."""

    command = "clean"


class SecateurQuantise(SecateurPass, Pass):
    """Products of 8-bit integers, or weights of few bits."""

    command = "quantise"


assert all(PASSES[each.__name__] == each.command for each in SecateurPass.__subclasses__())
