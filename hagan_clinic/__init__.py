"""Brain MR sequence translation and synthesis with hierarchical amortised 3D GANs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hagan_clinic.api.evaluating import evaluate
    from hagan_clinic.api.exporting import export
    from hagan_clinic.api.loading import load
    from hagan_clinic.api.synthesis import encode, reconstruct, sample
    from hagan_clinic.api.training import train
    from hagan_clinic.conditional import ConditionalHAGAN
    from hagan_clinic.data.subject_sampler import SlabSampler
    from hagan_clinic.runtime import translate
    from hagan_clinic.unconditional import HAGAN

__all__ = [
    "HAGAN",
    "ConditionalHAGAN",
    "SlabSampler",
    "__version__",
    "encode",
    "evaluate",
    "export",
    "load",
    "reconstruct",
    "sample",
    "train",
    "translate",
]
__version__ = "0.2.0"

# PyTorch and ONNX Runtime take seconds: a program that only asks for the version should not wait.
_HOMES = {
    "ConditionalHAGAN": "conditional",
    "HAGAN": "unconditional",
    "SlabSampler": "data.subject_sampler",
    "encode": "api.synthesis",
    "evaluate": "api.evaluating",
    "export": "api.exporting",
    "load": "api.loading",
    "reconstruct": "api.synthesis",
    "sample": "api.synthesis",
    "train": "api.training",
    "translate": "runtime",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
