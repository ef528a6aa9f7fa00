"""What the parts of `on_gpu.py` found, in two files that are whole at every moment."""

import hashlib
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

PART_BYTES = 16 * 2**20
MOST_PARTS = 6
"""Of weights: eight files in all."""

LAST = "last"
RUN_FILES = ("config.json", "facts.json", "split.csv", f"{LAST}/state.json")
"""What makes averaged weights a run folder again, besides them."""

AVERAGE = f"{LAST}/average.safetensors"
"""Of the last checkpoint (`training.checkpoint`)."""


class Results:
    """The rows of every part, written out with each.

    Args:
        folder: OUT; made if it is not there.
        minutes: the time given.
    """

    def __init__(self, folder: Path, minutes: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.all: dict[str, Any] = {"minutes": minutes, "machine": machine(), "parts": {}}
        self.write()

    def add(self, part: str, row: dict[str, Any]) -> None:
        """A row of a part; one that has `run` holds the files of a run folder."""
        if "run" in row:
            self.all |= row
        else:
            self._of(part)["rows"].append(row)
        self.write()

    def skip(self, part: str, why: str) -> None:
        """A part that is not run."""
        self._of(part)["skipped"] = why
        print(f"{part}: skipped, {why}", flush=True)
        self.write()

    def end(self, part: str, seconds: float, failure: str) -> None:
        """A part has ended, well if there is no failure."""
        self._of(part)["seconds"] = round(seconds, 1)
        if failure:
            self._of(part)["failed"] = failure
        self.write()

    def figure(self, part: str, column: str) -> float | None:
        """The last row's."""
        rows = self.all["parts"].get(part, {}).get("rows", [])
        return next((float(row[column]) for row in reversed(rows) if column in row), None)

    def _of(self, part: str) -> dict[str, Any]:
        return self.all["parts"].setdefault(part, {"rows": []})

    def write(self) -> None:
        """Both files."""
        replace(self.folder / "results.json", json.dumps(self.all, indent=1).encode())
        replace(self.folder / "results.md", self.markdown().encode())

    def markdown(self) -> str:
        """A table a part."""
        machine = ", ".join(f"{name} {value}" for name, value in self.all["machine"].items())
        lines = [f"# On {machine}", ""]
        for name, part in self.all["parts"].items():
            lines += [f"## {name}", ""]
            columns = list(dict.fromkeys(key for row in part["rows"] for key in row))
            if columns:
                lines += [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
                for row in part["rows"]:
                    cells = (_cell(row.get(column, "")) for column in columns)
                    lines.append(f"| {' | '.join(cells)} |")
                lines.append("")
            facts = {key: part[key] for key in ("seconds", "skipped", "failed") if key in part}
            lines += [*(f"{key}: {value}" for key, value in facts.items()), ""]
        return "\n".join(lines)


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.replace("|", "/").split())


def machine() -> dict[str, str]:
    """What it runs on."""
    facts = {"date": time.strftime("%Y-%m-%d"), "cores": str(os.cpu_count())}
    try:
        import torch
    except ImportError:
        return facts | {"torch": "not installed"}
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return facts | {"python": platform.python_version(), "torch": torch.__version__, "gpu": gpu}


def replace(path: Path, content: bytes) -> None:
    """Write a file beside and put it in the place of the one before."""
    beside = path.with_name(f".{path.name}")
    beside.write_bytes(content)
    beside.replace(path)


def write_weights(folder: Path, content: bytes) -> dict[str, Any]:
    """`weights.00` and so on of at most 16 MiB; returns their number and the SHA-256 of all.

    Raises:
        ValueError: more than go with the two other files.
    """
    pieces = [content[at : at + PART_BYTES] for at in range(0, len(content), PART_BYTES)]
    if len(pieces) > MOST_PARTS:
        raise ValueError(f"the weights take {len(pieces)} parts; expected {MOST_PARTS} at most")
    for number, piece in enumerate(pieces):
        replace(folder / f"weights.{number:02d}", piece)
    return {"parts": len(pieces), "sha256": hashlib.sha256(content).hexdigest()}


def restore(folder: Path, run: Path) -> str:
    """Make a run folder, which `--init` and `hagan-clinic export` take, of what is in OUT.

    Raises:
        ValueError: the parts are of two checkpoints: the last one was being written.
    """
    result = json.loads((folder / "results.json").read_text("utf-8"))
    files, weights = result["run"], result["weights"]
    parts = [folder / f"weights.{number:02d}" for number in range(weights["parts"])]
    content = b"".join(part.read_bytes() for part in parts)
    if hashlib.sha256(content).hexdigest() != weights["sha256"]:
        raise ValueError(
            f"the weights in {folder} are of two checkpoints, as it ended while the second was "
            "written; take an earlier copy of the folder"
        )
    for name, text in files.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(text, "utf-8")
    (run / AVERAGE).write_bytes(content)
    return f"{run}: the averaged weights of step {json.loads(files[RUN_FILES[-1]])['step']}"
