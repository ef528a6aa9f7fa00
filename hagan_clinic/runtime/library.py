"""Where models are found: bundled ones by name, any other by its path."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from hagan_clinic.errors import ModelError
from hagan_clinic.nearest import did_you_mean
from hagan_clinic.runtime.model_file import CHECKSUMS, ModelFile, load_model, stated_checksums
from hagan_clinic.runtime.model_interface import ENCODER, GENERATOR

DEFAULT_MODEL = "t1_to_flair"

PARTS = {part: f"{part}.onnx" for part in (GENERATOR, ENCODER)}
"""Files of a bundled model that makes volumes from noise and encodes them."""

_PACKAGE = Path(__file__).resolve().parents[1]
INSTALLED = _PACKAGE / "models"
"""Where the wheel puts the bundled models."""
CHECKOUT = _PACKAGE.parent / "export"
"""Where they lie in a checkout."""


def bundled_models() -> dict[str, Path]:
    """Path of every bundled model by its name; an installed one goes before a checkout's.

    Of one with two parts, the generator's.
    """
    return {path.parent.name: path for path in (*_models_in(CHECKOUT), *_models_in(INSTALLED))}


def is_path(model: str | Path) -> bool:
    """Whether this is the path of a model, and not the name of a bundled one."""
    return str(model).endswith(".onnx") or Path(model).name != str(model)


def find_model(model: str | Path, part: str = GENERATOR) -> Path:
    """The file of a model.

    Args:
        model: The name of a bundled model (`t1_to_flair`), or the path of a `.onnx` file. A
            `Path` is a name too where there is no such file.
        part: `generator` or `encoder`, of a bundled model that has both.

    Returns:
        Its path; whether a given path exists is not checked here.

    Raises:
        ModelError: No bundled model has this name.
    """
    if is_path(model):
        return Path(model)
    bundled = {name: _part(path, part) for name, path in bundled_models().items()}
    if isinstance(model, Path):
        return model if model.exists() else bundled.get(str(model), model)
    if model not in bundled:
        raise ModelError(
            f"No bundled model is called {model!r}; there {_listed(list(bundled))}. "
            f"Give one of these names, or the path of a .onnx file{did_you_mean(model, bundled)}"
        )
    return bundled[model]


def verified(path: Path) -> ModelFile:
    """Load a model after comparing every file listed in the `SHA256` file beside it.

    Raises:
        ModelError: There is no such list, it does not name the model, a file is missing or
            differs, or the model is found wanting (see `load_model`).
    """
    stated = stated_checksums(path.parent)
    if path.name not in stated:
        raise ModelError(
            f"{path}: no {CHECKSUMS} file beside it names it, so it cannot be verified; compare "
            "its sha256 with the one its makers publish"
        )
    for name, expected in stated.items():
        try:
            found = hashlib.sha256((path.parent / name).read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(
                f"{path.parent / name}: cannot be read ({error.strerror}), and {CHECKSUMS} lists "
                "it; install the package again"
            ) from error
        if found != expected:
            raise ModelError(
                f"{path.parent / name}: sha256 is {found}, expected {expected}: the file is "
                "damaged or was changed; install the package again"
            )
    return load_model(path, kind=None)


def _models_in(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.glob("*/*.onnx")):
        if path.name in (f"{path.parent.name}.onnx", PARTS[GENERATOR]):
            yield path


def _part(path: Path, part: str) -> Path:
    return path.with_name(PARTS[part]) if path.name == PARTS[GENERATOR] else path


def _listed(names: list[str]) -> str:
    if not names:
        return "are none in this installation"
    return f"{'is' if len(names) == 1 else 'are'} {', '.join(names)}"
