"""The deployed path: model file, session, slab plan, translation (numpy and ONNX Runtime only)."""

from hagan_clinic.runtime.library import DEFAULT_MODEL, bundled_models, find_model
from hagan_clinic.runtime.model_file import Card, ModelFile, load_model
from hagan_clinic.runtime.result import Translation
from hagan_clinic.runtime.translation import Translator, translate

__all__ = [
    "DEFAULT_MODEL",
    "Card",
    "ModelFile",
    "Translation",
    "Translator",
    "bundled_models",
    "find_model",
    "load_model",
    "translate",
]
