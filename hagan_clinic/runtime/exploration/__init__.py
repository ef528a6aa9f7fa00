"""Exploring the latent space: directions, paths along them, and what is measured on the way."""

from hagan_clinic.runtime.exploration.direction import Direction, read_direction, write_direction
from hagan_clinic.runtime.exploration.emphysema import EmphysemaShare
from hagan_clinic.runtime.exploration.marking import Figure, LabelVolumes, Marked, Marking
from hagan_clinic.runtime.exploration.measures import MaskMean, Measure, ThresholdVolume
from hagan_clinic.runtime.exploration.paths import spherical_path, straight_path
from hagan_clinic.runtime.exploration.regression import Fit, fit_ridge
from hagan_clinic.runtime.exploration.tissues import TissueVolumes

__all__ = [
    "Direction",
    "EmphysemaShare",
    "Figure",
    "Fit",
    "LabelVolumes",
    "Marked",
    "Marking",
    "MaskMean",
    "Measure",
    "ThresholdVolume",
    "TissueVolumes",
    "fit_ridge",
    "read_direction",
    "spherical_path",
    "straight_path",
    "write_direction",
]
