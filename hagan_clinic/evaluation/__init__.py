"""How good a translation is, and how honest its error bar."""

from hagan_clinic.evaluation.calibration import coverage, error_rank_correlation, interval_factor
from hagan_clinic.evaluation.floors import FittedCurve, fit_curve, oracle_linear_fit
from hagan_clinic.evaluation.metrics import nmse, psnr, ssim, ssim_map
from hagan_clinic.evaluation.regions import Reference, Scores

__all__ = [
    "FittedCurve",
    "Reference",
    "Scores",
    "coverage",
    "error_rank_correlation",
    "fit_curve",
    "interval_factor",
    "nmse",
    "oracle_linear_fit",
    "psnr",
    "ssim",
    "ssim_map",
]
