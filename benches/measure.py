"""What scripts measure models by: outputs on the samples of an .npz file, accuracy and divergence.

Needs onnxruntime and numpy. The file has one array per input, and `label`.
"""

from pathlib import Path

import numpy as np
import onnxruntime as ort

# Samples that are run together.
BATCH = 250


def logits(model: Path, data: Path) -> np.ndarray:
    """The first output for all samples."""
    arrays = np.load(data)
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    starts = range(0, len(arrays["label"]), BATCH)
    parts = [session.run(None, {name: arrays[name][start : start + BATCH] for name in names})[0] for start in starts]
    return np.concatenate(parts).astype(np.float64)


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Share of the rows whose largest output is that of the label."""
    return (outputs.argmax(-1) == labels).mean()


def divergence(dense: np.ndarray, other: np.ndarray) -> float:
    """Mean KL(dense || other) of the class probabilities."""
    p, q = log_softmax(dense), log_softmax(other)
    return (np.exp(p) * (p - q)).sum(-1).mean()


def judged(dense: np.ndarray, other: np.ndarray, labels: np.ndarray, digits: int = 4) -> str:
    """Accuracy in percent and, in brackets, the divergence from the dense model."""
    return f"{100 * accuracy(other, labels):.2f} ({divergence(dense, other):.{digits}f})"
