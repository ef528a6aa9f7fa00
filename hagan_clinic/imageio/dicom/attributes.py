"""The attributes of a derived, synthetic MR series, as data and as functions.

Only what is listed here is written: whatever else the source holds (private elements, the
acquisition, overlays, signatures, procedure steps, padding, rescaling) stays behind. Modules are
those of MR Image Storage (PS3.3 A.4).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

from pydicom import Dataset
from pydicom.uid import MRImageStorage
from pydicom.valuerep import format_number_as_ds

from hagan_clinic.imageio.dicom.carried import PLANE, add_lossy, add_patient_and_study, copy
from hagan_clinic.imageio.dicom.derivation import NOTICE, Derivation, plain
from hagan_clinic.imageio.dicom.options import SeriesOptions
from hagan_clinic.imageio.dicom.series import Slice, Stack
from hagan_clinic.imageio.dicom.uids import fixed_uid, instance_uid, series_uid
from hagan_clinic.imageio.dicom.values import number as number_of
from hagan_clinic.imageio.dicom.values import text

FIXED: Mapping[str, Any] = MappingProxyType(
    {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": MRImageStorage,
        "SyntheticData": "YES",
        "ContentQualification": "RESEARCH",
        "Modality": "MR",
        "BodyPartExamined": "BRAIN",
        "ImageType": ["DERIVED", "SECONDARY", "OTHER"],
        "ImageComments": NOTICE,
        # No sequence was played: research mode is the term that claims none (C.8.3.1.1.3).
        "ScanningSequence": "RM",
        "SequenceVariant": "NONE",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
    }
)
"""The same in every file."""

EMPTY = ("ScanOptions", "EchoTime", "EchoTrainLength", "RepetitionTime", "AcquisitionNumber")
"""There and without a value: nothing was acquired."""

CODING_SCHEME = "99HAGANCLINIC"

SUPERSEDED = ("SUPERSEDED", "Earlier version, superseded by this series")

_NUMBERS = 100_000  # from the SeriesNumber of a result to that of the one that supersedes it
_LARGEST = 2**31 - 1  # of IS

_DERIVATIONS = {
    "image": ("IMAGE", "MR image synthesized by a generative network"),
    "uncertainty": ("UNCERTAINTY", "Uncertainty of a synthesized MR image"),
}


def of_series(
    stack: Stack, derivation: Derivation, options: SeriesOptions, now: datetime
) -> Dataset:
    """What all slices of the derived series share, the window apart.

    Args:
        stack: The source.
        derivation: What was derived and how.
        options: What the site chooses.
        now: When, with a time zone.

    Raises:
        InputError: The source has no Study Instance UID.
    """
    # The first in space: which file was found first depends on names.
    header = stack.slices[0].instance.header
    series = Dataset()
    add_patient_and_study(series, header)
    for keyword, value in FIXED.items():
        setattr(series, keyword, value)
    for keyword in EMPTY:
        setattr(series, keyword, None)
    _add_times(series, header, now)

    series.SeriesInstanceUID = series_uid(stack, derivation, options)
    series.SeriesNumber = _series_number(header, derivation, options)
    series.SeriesDescription = derivation.series_description(options.description)
    # Where the source does not tell it, images of one source still share one.
    series.FrameOfReferenceUID = text(header, "FrameOfReferenceUID") or fixed_uid(
        f"frame of reference of {stack.series.uid}"
    )
    copy(series, header, ("PositionReferenceIndicator", "PatientPosition"), required=True)
    kind = text(header, "MRAcquisitionType")
    series.MRAcquisitionType = kind if kind in ("2D", "3D") else None

    columns, rows, _ = stack.grid.shape
    series.Rows, series.Columns = rows, columns
    series.SpacingBetweenSlices = format_number_as_ds(stack.grid.spacing[2])
    _add_equipment(series, header, derivation, options)
    _add_derivation(series, header, derivation)
    add_lossy(series, [s.instance.header for s in stack.slices])
    annotated = options.burn_in or any(
        text(s.instance.header, "BurnedInAnnotation") == "YES" for s in stack.slices
    )
    series.BurnedInAnnotation = "YES" if annotated else "NO"
    return series


def of_slice(source: Slice, series: Dataset, number: int) -> Dataset:
    """What the slice at place `number` (from 1) of the derived `series` has of its own."""
    header = source.instance.header
    storage, instance_of = (text(header, key) for key in ("SOPClassUID", "SOPInstanceUID"))
    result = Dataset()
    result.SOPInstanceUID = instance_uid(series.SeriesInstanceUID, number)
    result.InstanceNumber = number
    copy(result, source.plane, PLANE, required=True)

    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = storage, instance_of
    if "NumberOfFrames" in header:
        image.ReferencedFrameNumber = source.frame + 1
    image.SpatialLocationsPreserved = "YES"
    image.PurposeOfReferenceCodeSequence = [
        _code("121322", "DCM", "Source image for image processing operation")
    ]
    result.SourceImageSequence = [image]

    instance = Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = storage, instance_of
    reference = Dataset()
    reference.SeriesInstanceUID = text(header, "SeriesInstanceUID")
    reference.ReferencedInstanceSequence = [instance]
    result.ReferencedSeriesSequence = [reference]
    return result


def _add_times(series: Dataset, header: Dataset, now: datetime) -> None:
    """When the series was made, in the time zone that the source's times are in, if stated."""
    zone = _zone(text(header, "TimezoneOffsetFromUTC"))
    now = now.astimezone(zone) if zone or now.tzinfo is None else now
    date, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    for name in ("Series", "Content", "InstanceCreation"):
        setattr(series, f"{name}Date", date)
        setattr(series, f"{name}Time", time)
    series.TimezoneOffsetFromUTC = now.strftime("%z")[:5]


def _zone(offset: str) -> timezone | None:
    """The zone of a TimezoneOffsetFromUTC such as `-0330`."""
    try:
        parsed = datetime.strptime(offset, "%z").utcoffset()
    except ValueError:
        return None
    return timezone(parsed or timedelta())


def _series_number(header: Dataset, derivation: Derivation, options: SeriesOptions) -> int:
    is_image = derivation.content == "image"
    later = _NUMBERS * (derivation.version_number - 1)
    if options.number is not None:
        return min(options.number + (0 if is_image else 1) + later, _LARGEST)
    number = int(number_of(header, "SeriesNumber") or 0)
    return (90000 if is_image else 95000) + (number if 0 <= number < 5000 else 0) + later


def _add_equipment(
    series: Dataset, header: Dataset, derivation: Derivation, options: SeriesOptions
) -> None:
    """General Equipment (C.7.5.1) is this tool; what contributed stands beside it (C.12.1)."""
    series.Manufacturer = options.manufacturer
    series.ManufacturerModelName = plain(derivation.model)
    series.SoftwareVersions = plain(f"{derivation.software} {derivation.version}")
    for keyword, name in (
        ("InstitutionName", options.institution_name),
        ("InstitutionalDepartmentName", options.department),
        ("StationName", options.station_name),
    ):
        if name:
            setattr(series, keyword, name)
    if options.institution_code:
        series.InstitutionCodeSequence = [_code(*options.institution_code_parts())]

    tool = Dataset()
    tool.PurposeOfReferenceCodeSequence = [_code("109100", "DCM", "Synthesizing Equipment")]
    tool.Manufacturer = options.manufacturer
    tool.ManufacturerModelName = series.ManufacturerModelName
    # The sha256 fills its value: last, with the space that makes lengths even, it would not fit.
    tool.SoftwareVersions = [derivation.model_sha256, series.SoftwareVersions]
    tool.ContributionDescription = (
        f"{NOTICE}. Sha256 of the model: {derivation.model_sha256}. "
        f"Licence of its weights: {plain(derivation.licence)}"
    )
    series.ContributingEquipmentSequence = [tool]
    # Manufacturer is of type 1 here: without it the item would say nothing.
    if text(header, "Manufacturer"):
        scanner = Dataset()
        scanner.PurposeOfReferenceCodeSequence = [_code("109101", "DCM", "Acquisition Equipment")]
        copy(scanner, header, ("Manufacturer", "ManufacturerModelName", "InstitutionName"))
        series.ContributingEquipmentSequence.append(scanner)


def _add_derivation(series: Dataset, header: Dataset, derivation: Derivation) -> None:
    value, meaning = _DERIVATIONS[derivation.content]
    series.DerivationDescription = derivation.text()
    if derivation.supersedes:
        series.RelatedSeriesSequence = [
            _superseded(series.StudyInstanceUID, uid) for uid in derivation.supersedes
        ]
    series.DerivationCodeSequence = [_code(value, CODING_SCHEME, meaning)]
    scheme = Dataset()
    scheme.CodingSchemeDesignator = CODING_SCHEME
    scheme.CodingSchemeUID = fixed_uid("coding scheme")
    scheme.CodingSchemeName = "hagan-clinic derivations"
    scheme.CodingSchemeResponsibleOrganization = "The hagan-clinic authors"
    # Codes of the study (its procedure, ...) come along, and so does what their schemes are.
    copy(series, header, ("CodingSchemeIdentificationSequence",))
    known = series.get("CodingSchemeIdentificationSequence") or []
    others = [item for item in known if item.get("CodingSchemeDesignator") != CODING_SCHEME]
    series.CodingSchemeIdentificationSequence = [scheme, *others]


def _superseded(study: str, uid: str) -> Dataset:
    """An item that refers to an earlier result (Related Series, C.7.3.1)."""
    item = Dataset()
    item.StudyInstanceUID, item.SeriesInstanceUID = study, uid
    item.PurposeOfReferenceCodeSequence = [_code(SUPERSEDED[0], CODING_SCHEME, SUPERSEDED[1])]
    return item


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence (PS3.3 8.8)."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code
