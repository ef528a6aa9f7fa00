"""How good a model is: tables, statistics and figures over cohorts, beside reference baselines."""

from hagan_clinic.evaluation.reference_baselines import FittedCurve, fit_curve, oracle_linear_fit

__all__ = ["FittedCurve", "fit_curve", "oracle_linear_fit"]
