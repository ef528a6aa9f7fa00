"""Synthetic volumes in a folder, each with its marks, all of a command's files or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic import __version__
from hagan_clinic.errors import OutputError
from hagan_clinic.imageio import DESCRIPTION, write
from hagan_clinic.imageio.output_guard import check_folder, check_output
from hagan_clinic.imageio.sidecar import sidecar_path
from hagan_clinic.runtime.outputs import all_or_none, write_json
from hagan_clinic.runtime.provenance import NOTICE, TOOL
from hagan_clinic.runtime.synthesis import Facts
from hagan_clinic.volume import Grid, Volume


class OutputFolder:
    """The files that a command will write into a folder, which may not exist yet.

    Args:
        folder: The folder; the one that it is in must exist.
        volumes: Names of the volume files; each gets its sidecar.
        others: Names of the other files.
        overwrite: Replace files that exist.
        series: Pattern of the volumes' names, where they are numbered.

    Raises:
        OutputError: A file exists and may not be replaced, the folder cannot be written, or it
            holds volumes of the same series beyond those that will be written.
    """

    def __init__(
        self,
        folder: Path,
        volumes: Sequence[str],
        others: Sequence[str],
        *,
        overwrite: bool,
        series: str = "",
    ) -> None:
        self.folder = folder
        self._overwrite = overwrite
        self.volumes = [folder / name for name in volumes]
        self.others = [folder / name for name in others]
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder} is a file; expected a folder, or a new name for one")
        check_folder(folder if folder.exists() else folder.absolute().parent, folder)
        for path in self.paths if folder.exists() else ():
            check_output(path, overwrite=overwrite)
        left = set(folder.glob(series)) - set(self.volumes) if series else set()
        if left:
            raise OutputError(
                f"{min(left)}: is of a longer series; remove it, or choose another folder"
            )

    @property
    def paths(self) -> list[Path]:
        """Every file."""
        return [*self.others, *self.volumes, *map(sidecar_path, self.volumes)]

    @contextmanager
    def writing(self) -> Iterator[Mapping[Path, Path]]:
        """Where to write each file for now; at the end all are moved to their places, or none.

        Raises:
            OutputError: A file cannot be written.
        """
        new = not self.folder.exists()
        try:
            self.folder.mkdir(exist_ok=True)
            with all_or_none(self.paths, overwrite=self._overwrite) as temporaries:
                yield dict(zip(self.paths, temporaries, strict=True))
        except OSError as error:
            raise OutputError(
                f"{self.folder}: cannot be written ({error.strerror}); choose another folder"
            ) from error
        finally:
            if new and self.folder.is_dir() and not any(self.folder.iterdir()):
                self.folder.rmdir()


def write_synthetic(
    image: NDArray[np.float32],
    grid: Grid,
    path: Path,
    place: Mapping[Path, Path],
    sidecar: Mapping[str, Any],
) -> None:
    """Write a synthetic volume, marked in its header, and its sidecar.

    Args:
        image: (D, H, W) in [0, 1].
        grid: Where it lies.
        path: Where it will be.
        place: From `OutputFolder.writing`.
        sidecar: From `synthetic_sidecar`.
    """
    write(Volume(image, grid.affine), place[path], description=DESCRIPTION)
    write_json(sidecar, place[sidecar_path(path)])


def synthetic_sidecar(facts: Facts, content: str, **others: Any) -> dict[str, Any]:
    """The JSON beside a volume of an unconditional model.

    Args:
        facts: Of the model.
        content: What the volume is.
        others: What it was made from.
    """
    low, high = facts.recipe.percentiles
    window = facts.recipe.window
    return {
        "notice": NOTICE,
        "synthetic": True,
        "intended_use": "research only",
        "tool": {"name": TOOL, "version": __version__},
        "model": model_facts(facts),
        "content": content,
        "units": "none, from 0 to 1",
        "scale": (
            f"0 and 1 are {window[0]:g} and {window[1]:g} in the units of the scans that the "
            "model was trained on"
            if window
            else f"0 and 1 are the {low:g} and {high:g} percentiles of the inner brain's voxels "
            "in the scans that the model was trained on"
        ),
        **others,
    }


def model_facts(facts: Facts) -> dict[str, Any]:
    """Which weights made an output, and under which licence."""
    return {"name": facts.name, "weights_sha256": facts.identity, "licence": facts.licence}
