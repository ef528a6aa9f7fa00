"""Where a run's metrics go: TensorBoard, CSV, curves, montages and a progress line."""

import csv
import io
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text
from torch.utils.tensorboard import SummaryWriter

from hagan_clinic.errors import OutputError
from hagan_clinic.imageio import atomic_path, write_text
from hagan_clinic.progress import duration, is_hidden
from hagan_clinic.runtime import memory
from hagan_clinic.runtime.provenance import NOTICE
from hagan_clinic.training.curves import draw_curves

COLUMNS = ("step", "name", "value")


def peak_memory_gib(device: torch.device) -> float:
    """Peak memory so far: allocated on the GPU, or resident of this process on the CPU.

    NaN where the system does not report the latter.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    peak = memory.peak()
    return math.nan if peak is None else peak / 2**30


class _Progress(Progress):
    """A bar with the metrics under it, which are too many for the rest of its line."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, and then the metrics."""
        yield from super().get_renderables()
        yield Text(self.tasks[0].fields["metrics"] if self.tasks else "")


class RunLog:
    """Writes metrics of one run; a silent one (``active=False``) serves the other ranks.

    What an earlier part of the run logged after step ``start``, from which it goes on, is dropped.

    Raises:
        OutputError: from any method, when the folder cannot be written.
    """

    def __init__(self, folder: Path, steps: int, start: int, *, active: bool = True) -> None:
        self.active = active
        self.folder = folder
        if not active:
            return
        path = folder / "metrics.csv"
        kept = io.StringIO()
        csv.writer(kept).writerows([COLUMNS, *(self._rows_until(path, start) if start else [])])
        write_text(kept.getvalue(), path)
        with self._write_errors():
            self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)
            self.file = path.open("a", newline="", encoding="utf-8")
        self.rows = csv.writer(self.file)
        self.console = Console(stderr=True)
        self.progress = _Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            console=self.console,
            refresh_per_second=1,
            disable=is_hidden() or not self.console.is_terminal,
        )
        self.task = self.progress.add_task("train", total=steps, completed=start, metrics="")

    @staticmethod
    def _rows_until(path: Path, step: int) -> list[list[str]]:
        """Whole rows up to a step; a crash may have torn the last one."""
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS)]
        return [row for row in rows if row[0].isdigit() and int(row[0]) <= step]

    @contextmanager
    def _write_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"cannot write the log in {self.folder}: {error.strerror or error}; free some "
                "space, and repeat the command to resume"
            ) from error

    def __enter__(self) -> Self:
        if self.active:
            self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.active:
            return
        self.progress.stop()
        try:
            with self._write_errors():
                self.file.close()
                self.writer.close()
        except OutputError:
            # What ended the training says more.
            if error is None:
                raise

    def step(self, step: int) -> None:
        """Advance the bar."""
        if self.active:
            self.progress.update(self.task, completed=step)

    def metrics(self, step: int, metrics: dict[str, float]) -> None:
        """Log named metrics at a step, and show them."""
        if not self.active:
            return
        with self._write_errors():
            for name, value in metrics.items():
                self.writer.add_scalar(name, value, step)
                self.rows.writerow((step, name, f"{value:.6g}"))
            self.file.flush()
        shown = "  ".join(f"{name.split('/')[-1]} {value:.3g}" for name, value in metrics.items())
        self.progress.update(self.task, metrics=shown)
        if not (is_hidden() or self.console.is_terminal):
            task = self.progress.tasks[0]
            left = "" if task.time_remaining is None else f"  {duration(task.time_remaining)} left"
            line = f"step {step}/{task.total:.0f}{left}  {shown}"
            self.console.print(line, soft_wrap=True, highlight=False)

    def curves(self) -> None:
        """Draw what was logged so far as ``curves.png``."""
        if self.active:
            draw_curves(self.folder)

    def picture(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Log a grey picture (rows, columns) and save it as a PNG file, marked as synthetic."""
        if not self.active:
            return
        path = self.folder / "montages" / f"step_{step:07d}.png"
        marked = _marked(image)
        words = PngInfo()
        words.add_text("Title", f"{NOTICE}: {name} at step {step} of a training by hagan-clinic")
        with self._write_errors():
            self.writer.add_image(name, np.asarray(marked), step, dataformats="HW")
            path.parent.mkdir(exist_ok=True)
        with atomic_path(path) as beside:
            marked.save(beside, format="PNG", pnginfo=words)


def _marked(image: NDArray[np.uint8]) -> Image.Image:
    """A grey picture with a line below it that says what it must not be taken for."""
    height, width = image.shape
    size = min(max(width // 16, 7), 16)  # letters are about half as wide: the line fits
    picture = Image.new("L", (width, height + 2 * size))
    picture.paste(Image.fromarray(image))
    place = (width // 2, height + size)
    ImageDraw.Draw(picture).text(place, NOTICE, 255, ImageFont.load_default(size), anchor="mm")
    return picture
