"""Where a run's figures go: TensorBoard, ``metrics.csv`` and a rich progress line."""

import csv
import resource
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

COLUMNS = ("step", "name", "value")


def peak_memory_gib(device: torch.device) -> float:
    """Peak memory so far: allocated on the GPU, or resident of this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


class RunLog:
    """Writes figures of one run; a silent one (``active=False``) serves the other ranks."""

    def __init__(self, folder: Path, steps: int, start: int, *, active: bool = True) -> None:
        self.active = active
        if not active:
            return
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=start)
        path = folder / "metrics.csv"
        kept = self._rows_before(path, start) if start else []
        self.file = path.open("w", newline="", encoding="utf-8")
        self.rows = csv.writer(self.file)
        self.rows.writerow(COLUMNS)
        self.rows.writerows(kept)
        self.console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self.console,
            refresh_per_second=1,
        )
        self.task = self.progress.add_task("train", total=steps, completed=start, figures="")

    @staticmethod
    def _rows_before(path: Path, step: int) -> list[list[str]]:
        """Rows of an earlier part of the run; later ones will be written again."""
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if row and row[0].isdigit()]
        return [row for row in rows if int(row[0]) <= step]

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
        if self.active:
            self.progress.stop()
            self.writer.close()
            self.file.close()

    def step(self, step: int) -> None:
        """Advance the bar."""
        if self.active:
            self.progress.update(self.task, completed=step)

    def figures(self, step: int, figures: dict[str, float]) -> None:
        """Log named figures at a step, and show them."""
        if not self.active:
            return
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)
            self.rows.writerow((step, name, f"{value:.6g}"))
        self.file.flush()
        shown = "  ".join(f"{name.split('/')[-1]} {value:.3g}" for name, value in figures.items())
        self.progress.update(self.task, figures=shown)
        if not self.console.is_terminal:
            self.console.print(f"step {step}  {shown}", soft_wrap=True)

    def picture(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Log a grey picture (rows, columns)."""
        if self.active:
            self.writer.add_image(name, image, step, dataformats="HW")
