"""Data in memory: arrays of a dictionary, or of an iterable of dictionaries."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from secateur._errors import InputError

if TYPE_CHECKING:
    import numpy

# Name, numpy's descriptor of the elements, shape, whether the first axis' neighbours lie side by side, address, bytes,
# and who owns them.
Given = tuple[str, str, list[int], bool, int, int, object]
# The axes that count samples, of the inputs of these names.
SampleAxes = Callable[[list[str]], list["int | None"]]

LABEL = "label"
_END = object()


def is_in_memory(value: object) -> bool:
    """True if a value of a setting for data is no path."""
    return value is not None and not isinstance(value, (str, os.PathLike))


def given(value: object, samples: int | None, axes: SampleAxes) -> list[Given]:
    """Data as arrays; of an iterable as many batches as have ``samples`` samples together."""
    if isinstance(value, Mapping):
        return [_described(name, array) for name, array in _arrays(value).items()]
    if not isinstance(value, Iterable):
        kind = type(value).__name__
        raise InputError(f"data is a path, a dictionary of arrays, or an iterable of such dictionaries, not {kind}")
    joined = _joined(iter(value), samples, axes)
    return [_described(name, array) for name, array in joined.items()]


def _arrays(batch: Mapping[Any, Any]) -> dict[str, numpy.ndarray[Any, Any]]:
    import numpy

    arrays = {}
    faults = []
    for name, value in batch.items():
        if not isinstance(name, str):
            faults.append(f"{name!r} is no name of an input")
            continue
        try:
            arrays[name] = numpy.asarray(value)
        except Exception as fault:  # whatever the type of the value raises
            faults.append(f"'{name}' cannot be made an array ({fault})")
    if faults:
        raise InputError("the data in memory does not fit the model:" + "".join(f"\n  - {fault}" for fault in faults))
    return arrays


def _described(name: str, array: numpy.ndarray[Any, Any]) -> Given:
    import numpy

    column_major = False
    if not array.flags.c_contiguous:
        column_major = array.flags.f_contiguous
        if not column_major:
            array = numpy.ascontiguousarray(array)
    address = array.__array_interface__["data"][0] if array.size else 0
    return name, array.dtype.str, list(array.shape), column_major, address, array.nbytes, array


def _most() -> int:
    """Bytes that are pulled out of an iterable: it may have no end."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4


def _joined(batches: Iterator[Any], samples: int | None, axes: SampleAxes) -> dict[str, numpy.ndarray[Any, Any]]:
    import numpy

    names: list[str] = []
    along: dict[str, int | None] = {}
    parts: dict[str, list[numpy.ndarray[Any, Any]]] = {}
    count = number = size = 0
    most = _most()
    while samples is None or count < samples:
        # What the iterable raises is the caller's.
        batch = next(batches, _END)
        if batch is _END:
            break
        if not isinstance(batch, Mapping):
            kind = type(batch).__name__
            raise InputError(f"batch {number} of the data is {kind}: a batch is a dictionary of arrays by input")
        arrays = _arrays(batch)
        if not number:
            names = list(arrays)
            along = dict(zip(names, axes(names), strict=True))
            if LABEL in along:
                along[LABEL] = 0
        _check_like_first(number, arrays, parts, along)
        for name in names:
            if not number or along[name] is not None:
                # Whoever made it may fill it anew for the next batch.
                parts.setdefault(name, []).append(numpy.array(arrays[name]))
                size += parts[name][-1].nbytes
        counted = [arrays[name].shape[axis] for name, axis in along.items() if axis is not None]
        count += counted[0] if counted else 1
        number += 1
        if size > most:
            raise InputError(
                f"the data has not ended after {number} batches of {size >> 20} MiB together, a quarter of this "
                "machine's memory: end it earlier, or give a path or whole arrays"
            )
    if not number:
        raise InputError("the data has no batch: the iterable ended before the first one")
    joined = {}
    for name in names:
        pieces = parts.pop(name)
        axis = along[name]
        joined[name] = pieces[0] if axis is None or len(pieces) == 1 else numpy.concatenate(pieces, axis)
    return joined


def _check_like_first(
    number: int,
    arrays: dict[str, numpy.ndarray[Any, Any]],
    parts: dict[str, list[numpy.ndarray[Any, Any]]],
    along: dict[str, int | None],
) -> None:
    """That a batch has the arrays of the first one, with the same types, and sizes where no samples are counted."""
    faults = [f"there is no '{name}'" for name in along if name not in arrays]
    faults += [f"the first batch has no '{name}'" for name in arrays if name not in along]
    for name, axis in along.items():
        array = arrays.get(name)
        if array is None:
            continue
        if axis is not None and array.ndim <= axis:
            faults.append(f"'{name}' has rank {array.ndim}, and axis {axis} counts samples")
        if not number or array.ndim <= (axis or 0):
            continue
        first = parts[name][0]
        sizes = [list(one.shape) for one in (array, first)]
        if axis is not None and len(sizes[0]) == len(sizes[1]):
            sizes[0][axis] = sizes[1][axis] = 0
        if sizes[0] != sizes[1]:
            faults.append(f"'{name}' has shape {list(array.shape)}, that of the first batch is {list(first.shape)}")
        if array.dtype != first.dtype:
            faults.append(f"'{name}' has type {array.dtype}, that of the first batch is {first.dtype}")
    if faults:
        text = "".join(f"\n  - {fault}" for fault in faults)
        raise InputError(f"batch {number} of the data does not fit the model, or those before it:{text}")
