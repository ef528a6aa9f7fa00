"""A page to look at: results and their scans in one HTML file that works offline (no torch)."""

from hagan_clinic.runtime.page.page import LIMIT, ONE_LIMIT, PAGE_SUFFIXES, room_for, write_page
from hagan_clinic.runtime.page.results import find_results, read_result
from hagan_clinic.runtime.page.subject import Failure, Picture, Subject, make_subject

__all__ = [
    "LIMIT",
    "ONE_LIMIT",
    "PAGE_SUFFIXES",
    "Failure",
    "Picture",
    "Subject",
    "find_results",
    "make_subject",
    "read_result",
    "room_for",
    "write_page",
]
