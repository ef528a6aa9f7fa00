"""A page to look at: results and their scans in one HTML file that works offline (no torch)."""

from hagan_clinic.runtime.page.derived import find_derived
from hagan_clinic.runtime.page.page import LIMIT, ONE_LIMIT, PAGE_SUFFIXES, room_for, write_page
from hagan_clinic.runtime.page.results import (
    FoundResult,
    find_results,
    names_of,
    read_report,
    read_result,
)
from hagan_clinic.runtime.page.series import SeriesPlace, read_made
from hagan_clinic.runtime.page.subject import Failure, Picture, ShownSubject, make_subject

__all__ = [
    "LIMIT",
    "ONE_LIMIT",
    "PAGE_SUFFIXES",
    "Failure",
    "FoundResult",
    "Picture",
    "SeriesPlace",
    "ShownSubject",
    "find_derived",
    "find_results",
    "make_subject",
    "names_of",
    "read_made",
    "read_report",
    "read_result",
    "room_for",
    "write_page",
]
