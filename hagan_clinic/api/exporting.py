"""Write a trained run as one ONNX file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hagan_clinic.imageio.output_guard import check_output
from hagan_clinic.training.run_folder import check_run

if TYPE_CHECKING:
    from hagan_clinic.onnx_export import Exported


def export(
    run: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    part: str | None = None,
    half: bool = False,
    card: str | os.PathLike[str] | None = None,
    images: Sequence[str | os.PathLike[str]] = (),
    overwrite: bool = False,
) -> Exported:
    """Export the best checkpoint of a run, checked against PyTorch before it is written.

    Args:
        run: The run folder, or what `train` returned.
        output: The `.onnx` file.
        part: `generator` or `encoder` of an unconditional run; None for a conditional one.
        half: Store weights in fp16; the file computes in float32 all the same.
        card: TOML file with the model card's fields.
        images: Real source images to check the file on, one a sequence; by default those of a
            calibration patient, while the cohort is where it was.
        overwrite: Replace an existing file.

    Returns:
        The path, the number of parameters, and the largest difference from PyTorch.

    Raises:
        ModelError: The run cannot be read, or the file computes something else than PyTorch.
        InputError: The card or an image cannot be read.
        OutputError: The file exists, has another ending or cannot be written.

    Example:
        >>> import hagan_clinic
        >>> exported = hagan_clinic.export("run", "model.onnx")
        >>> exported.difference < 1e-4
        True
    """
    path = Path(output)
    check_output(path, overwrite=overwrite, suffixes=(".onnx",))
    check_run(Path(run))
    # This imports torch, which takes seconds.
    from hagan_clinic.onnx_export import export_part, export_run

    described = None if card is None else Path(card)
    scans = [Path(image) for image in images]
    if part is None:
        return export_run(Path(run), path, half=half, card=described, images=scans)
    return export_part(Path(run), path, part, half=half, card=described, images=scans)
