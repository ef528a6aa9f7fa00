"""A site's own segmenter, such as SynthSeg or FreeSurfer, run on volumes."""

import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError
from hagan_clinic.evaluation.labels import Labels, read_labels
from hagan_clinic.imageio import DESCRIPTION, write
from hagan_clinic.volume import Grid, Volume

SCAN = "hagan-clinic: a scan in the model's box"


@dataclass(frozen=True)
class Segmenter:
    """A command that is called with an image and the label map that it is to write.

    Attributes:
        command: Program and its first arguments, as for a shell, which is not used.
        scratch: Folder of the files, which are removed after each call.

    Raises:
        InputError: There is no such program.
    """

    command: str
    scratch: Path

    def __post_init__(self) -> None:
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise InputError(f"--segmenter {self.command!r}: {error}") from error
        if not words or shutil.which(words[0]) is None:
            raise InputError(
                f"--segmenter {self.command!r}: no such program; expected a command that takes an "
                "image and the label map to write, both .nii.gz"
            )

    def __call__(self, image: NDArray[np.float32], grid: Grid, *, synthetic: bool) -> Labels:
        """The label map of an image (D, H, W) in [0, 1], in its axes.

        Args:
            image: The volume.
            grid: Where it lies.
            synthetic: Whether a model made it, which its header then says.

        Raises:
            InputError: The command does not start or fails, or what it writes is no label map on
                the image's grid.
        """
        given, made = self.scratch / "image.nii.gz", self.scratch / "labels.nii.gz"
        description = DESCRIPTION if synthetic else SCAN
        write(Volume(image, grid.affine), given, description=description)
        words = [*shlex.split(self.command), str(given), str(made)]
        try:
            done = self._run(words)
            if done.returncode or not made.is_file():
                said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["nothing"]
                raise InputError(
                    f"--segmenter {self.command!r} ended with {done.returncode} and wrote "
                    f"{'a' if made.is_file() else 'no'} label map; it said: {said[0]}"
                )
            labels = read_labels(made)
            if not labels.grid.same_as(grid):
                raise InputError(
                    f"--segmenter {self.command!r} wrote a label map of {labels.grid}, expected "
                    f"the image's {grid}; let it resample back"
                )
            found: Labels = labels.array
            return found
        finally:
            given.unlink(missing_ok=True)
            made.unlink(missing_ok=True)

    def _run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                words, capture_output=True, text=True, errors="replace", check=False
            )
        except OSError as error:
            raise InputError(
                f"--segmenter {self.command!r} cannot be started: {error.strerror}; a script "
                "begins with #! and its interpreter"
            ) from error
