"""Brain MR sequence translation and synthesis with hierarchical amortised 3D GANs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hagan_clinic.runtime import translate

__all__ = ["__version__", "translate"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # `translate` pulls in ONNX Runtime; a program that only asks for the version should not wait.
    if name == "translate":
        from hagan_clinic.runtime import translate

        return translate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
