"""How close images are, how alike sets of them, and how honest an error bar: arithmetic alone."""

from hagan_clinic.metrics.calibration import coverage, error_rank_correlation, interval_factor
from hagan_clinic.metrics.diversity import maximum_mean_discrepancy, pairwise_ms_ssim
from hagan_clinic.metrics.frechet import frechet_distance
from hagan_clinic.metrics.image_quality import nmse, psnr, ssim, ssim_map
from hagan_clinic.metrics.regions import Reference, Scores

__all__ = [
    "Reference",
    "Scores",
    "coverage",
    "error_rank_correlation",
    "frechet_distance",
    "interval_factor",
    "maximum_mean_discrepancy",
    "nmse",
    "pairwise_ms_ssim",
    "psnr",
    "ssim",
    "ssim_map",
]
