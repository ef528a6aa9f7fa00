"""What is wrong with a cohort, all of it at once, before hours of training."""

from hagan_clinic.data.check.cohort import check_images, check_looks
from hagan_clinic.data.check.files import seen_files
from hagan_clinic.data.check.finding import Finding, Severity
from hagan_clinic.data.check.prepared import check_prepared

__all__ = ["Finding", "Severity", "check_images", "check_looks", "check_prepared", "seen_files"]
