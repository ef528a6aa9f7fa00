"""What the folds of cross-validations found, joined."""

from collections.abc import Sequence
from pathlib import Path

from hagan_clinic import __version__
from hagan_clinic.api.evaluated import Evaluated, ReportFiles
from hagan_clinic.errors import InputError
from hagan_clinic.evaluation.folds import metrics_csv, read_folds, tables
from hagan_clinic.evaluation.tables import document
from hagan_clinic.training.folds import FOLDS


def join_folds(folders: Sequence[Path], output: Path, *, overwrite: bool = False) -> Evaluated:
    """Combine the evaluations of `train --folds` in each folder, and compare their models.

    Raises:
        InputError: Folders of other folds, of one name, or without any.
        OutputError: A file exists or cannot be written.
    """
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise InputError("two folders have the same name, which names their model: rename one")
    found, warnings, there = [], [], set[tuple[str, int, str]]()
    for folder, name in zip(folders, names, strict=True):
        metrics, missing = read_folds(folder)
        if (folder / FOLDS).read_bytes() != (folders[0] / FOLDS).read_bytes():
            raise InputError(f"{folder} has other folds than {folders[0]}: compare them separately")
        if missing:
            listed = ", ".join(map(str, missing))
            warnings.append(f"{name} has no evaluation of fold {listed} yet")
        # Every model's evaluation has the same reference baselines.
        found += [one for one in metrics if one.row not in there]
        there |= {one.row for one in found}
    files = ReportFiles(output, ["folds.md", "figures.csv"], overwrite=overwrite)
    result = tables(found, names)
    opening = "\n\n".join(
        [f"hagan-clinic {__version__}.", *(f"**Warning:** {text}" for text in warnings)]
    )
    written = {
        "folds.md": document("Cross-validation", opening, result),
        "figures.csv": metrics_csv(found),
    }
    files.write(written)
    return Evaluated(output, tuple(written), tuple(result), tuple(warnings))
