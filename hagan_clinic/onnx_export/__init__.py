"""Trained runs as ONNX files that a pipeline runs from their metadata alone."""

from hagan_clinic.onnx_export.onnx_file import Exported
from hagan_clinic.onnx_export.synthesis import PARTS, export_part
from hagan_clinic.onnx_export.translator import export_run

__all__ = ["PARTS", "Exported", "export_part", "export_run"]
