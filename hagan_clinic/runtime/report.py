"""The report of a run: what ran on what, where the time went, what was warned of."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from typing import Any

from hagan_clinic import __version__
from hagan_clinic.runtime import memory
from hagan_clinic.runtime.model_file import ModelFile
from hagan_clinic.runtime.provenance import NOTICE, TOOL, model_identity
from hagan_clinic.runtime.providers import Device, runtime_packages
from hagan_clinic.runtime.slabs import SlabPlan

SCHEMA = 1
_PACKAGES = ("numpy", "nibabel", "SimpleITK", "onnx")


class Stopwatch:
    """Seconds of wall-clock time by stage, in the order the stages began."""

    def __init__(self, earlier: Mapping[str, float] | None = None) -> None:
        self.seconds: dict[str, float] = dict(earlier or {})

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + elapsed


def run_report(
    *,
    model: ModelFile,
    device: Device,
    providers: Sequence[str],
    sources: Mapping[str, Any],
    network_shape: Sequence[int],
    plan: SlabPlan,
    budget: int,
    bare: int,
    seconds: Mapping[str, float],
    warnings: Sequence[str],
) -> dict[str, Any]:
    """Everything a site needs to reconstruct what a run did, ready for JSON.

    Args:
        model: The generator.
        device: What was chosen.
        providers: What the session reports to run on.
        sources: Facts of every source by its name.
        network_shape: (D, H, W) of the network's input.
        plan: How the volume was cut.
        budget: Bytes that the network was given.
        bare: Bytes that the process held before the first translation.
        seconds: By stage.
        warnings: As they were shown.
    """
    peak = memory.peak()
    return {
        "schema": SCHEMA,
        "notice": NOTICE,
        "versions": {
            TOOL: __version__,
            "python": platform.python_version(),
            **runtime_packages(),
            **{name: metadata.version(name) for name in _PACKAGES},
        },
        "machine": {"system": platform.platform(), "processor": platform.machine()},
        "device": {
            "requested": device.requested,
            "ran": device.name,
            "providers": list(providers),
            "note": device.note,
            "tf32": device.tf32,
        },
        "model": {**model_identity(model), "file": str(model.path)},
        "sources": dict(sources),
        "network": {
            "input_shape": list(network_shape),
            "spacing_mm": list(model.recipe.spacing),
            "slabs": plan.count,
            "slab_thickness": min(plan.thickness, plan.depth),
            "halo": plan.halo,
        },
        "seconds": {
            **{stage: round(value, 3) for stage, value in seconds.items()},
            "total": round(sum(seconds.values()), 3),
        },
        "memory": {
            "budget_bytes": budget,
            "peak_bytes": peak,
            "peak_above_start_bytes": None if peak is None else max(peak - bare, 0),
        },
        "warnings": list(warnings),
    }
