"""A file that is never run: mypy reads it, and what it must refuse is marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import secateur

    pruned = secateur.prune(Path("m.onnx"), macs=0.5, only=["a"], ratio_for={"a": "0.5"}, quantise=True, round_to=8)
    path: Path = pruned.save("small.onnx")
    content: bytes = pruned.to_bytes()
    report: dict[str, object] = secateur.bench("a.onnx", b"", batch=[1, 8]).report
    secateur.prune("m.onnx", macs="half")  # type: ignore[arg-type]
    secateur.prune("m.onnx", mac=0.5)  # type: ignore[call-arg]
    secateur.mask("m.onnx", store="dens")  # type: ignore[arg-type]
    _ = secateur.inspect("m.onnx").model  # type: ignore[attr-defined]
