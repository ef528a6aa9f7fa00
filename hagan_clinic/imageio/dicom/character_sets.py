"""Character sets of text (PS3.3 C.12.1.1.2): one that pydicom lacks, and text that is in none."""

from typing import Any

from pydicom import DataElement, Dataset
from pydicom.charset import (
    CODES_TO_ENCODINGS,
    ENCODINGS_TO_CODES,
    convert_encodings,
    default_encoding,
    python_encoding,
)
from pydicom.dataelem import RawDataElement
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.values import text

# Latin-9: Latin-1 with the euro sign and the letters that French lacked.
python_encoding.update({"ISO_IR 203": "iso8859_15", "ISO 2022 IR 203": "iso8859_15"})
CODES_TO_ENCODINGS[b"\x1b-b"] = "iso8859_15"
ENCODINGS_TO_CODES["iso8859_15"] = b"\x1b-b"

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def unknown_set(dataset: Dataset) -> str:
    """The first value of SpecificCharacterSet that names none that is known; empty if all do."""
    for name in text(dataset, "SpecificCharacterSet").split("\\"):
        # pydicom takes the default for what it does not know.
        default = not name or name.endswith("IR 6")
        if not default and convert_encodings([name]) == [default_encoding]:
            return name
    return ""


def refuse_undecoded(element: DataElement, raw: Any, unknown: str) -> None:
    """Refuse text that was not decoded as it was meant: another name would be a patient's.

    Args:
        element: With its text decoded.
        raw: The element before it was, if it is there still.
        unknown: `unknown_set` of its data set.

    Raises:
        InputError: Its character set is not known, or it holds bytes that are not of it.
    """
    if element.VR not in CUSTOMIZABLE_CHARSET_VR or str(element.value).isascii():
        return
    if unknown:
        raise InputError(
            f"the source's {element.keyword} is in the character set {unknown[:16]!a}, which is "
            "not known, and would be carried over changed; correct its SpecificCharacterSet "
            "(0008,0005)"
        )
    stored = raw.value if isinstance(raw, RawDataElement) else b""
    if _REPLACEMENT in str(element.value) and _REPLACEMENT.encode() not in (stored or b""):
        raise InputError(
            f"the source's {element.keyword} has bytes that are not of its character set, and "
            "would be carried over changed; correct its SpecificCharacterSet (0008,0005)"
        )
