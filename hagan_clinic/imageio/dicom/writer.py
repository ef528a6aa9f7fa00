"""Write a synthetic volume as a DICOM series that an archive takes and nobody can mistake."""

from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from hagan_clinic.errors import OutputError
from hagan_clinic.imageio.dicom.attributes import FIXED, of_series, of_slice
from hagan_clinic.imageio.dicom.burn_in import burn_in
from hagan_clinic.imageio.dicom.derivation import FULL_SCALE, Derivation
from hagan_clinic.imageio.dicom.options import SeriesOptions
from hagan_clinic.imageio.dicom.series import Stack
from hagan_clinic.imageio.dicom.uids import fixed_uid

WINDOW_PERCENTILES = (0.5, 99.5)
"""Of the stored values between both ends of the scale: shown as black and as white."""

_TOLERANCE = 1e-3  # of the range, for rounding in what made the values


def write_series(
    array: NDArray[np.float32],
    stack: Stack,
    derivation: Derivation,
    options: SeriesOptions,
    folder: Path,
    *,
    now: datetime | None = None,
) -> list[Path]:
    """Write an MR Image Storage instance for every slice, named by its place: `0001.dcm`, ...

    Stored values are round(4095 x value), as DerivationDescription says; MR Image Storage has no
    rescale. UIDs follow from source, derivation and options. The only elements that differ when
    the same is written again are the dates and times of content, series and instance creation;
    with the same `now` the files are the same byte for byte.

    Args:
        array: Values from 0 to 1 on the grid of the `stack`: (columns, rows, slices).
        stack: The source, whose patient, study and place in space the series takes.
        derivation: What was derived and how.
        options: What the site chooses.
        folder: An empty folder.
        now: When the series was made, with a time zone; by default now.

    Returns:
        The files, by position.

    Raises:
        InputError: The source has no Study Instance UID, or slices too small for the burn-in.
        OutputError: The folder is not empty, or a file cannot be written.
        ValueError: The array does not lie on the grid or leaves the range.
    """
    try:
        if any(folder.iterdir()):
            raise OutputError(f"{folder} is not empty; expected an empty folder for the series")
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror}") from error
    stored = _stored(array, stack)
    now = datetime.now().astimezone() if now is None else now
    series = of_series(stack, derivation, options, now)
    centre, width = _window(stored)
    series.WindowCenter = format_number_as_ds(centre)
    series.WindowWidth = format_number_as_ds(width)
    if options.burn_in:
        burn_in(stored, bright=FULL_SCALE)

    shared = _encoded(series)
    digits = max(4, len(str(len(stored))))
    paths = []
    for number, (plane, source) in enumerate(zip(stored, stack.slices, strict=True), start=1):
        own = of_slice(source, series, number)
        own.add_new("PixelData", "OW", plane.tobytes())
        elements = {**shared, **_encoded(own)}
        path = folder / f"{number:0{digits}}.dcm"
        try:
            with path.open("xb") as file:
                file.write(_preamble(own.SOPInstanceUID))
                file.writelines(elements[tag] for tag in sorted(elements))
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
        paths.append(path)
    return paths


def _stored(array: NDArray[np.float32], stack: Stack) -> NDArray[np.uint16]:
    """The integers that are written, as slices x rows x columns, little-endian."""
    if array.shape != stack.grid.shape:
        raise ValueError(f"array of shape {array.shape} on a grid of shape {stack.grid.shape}")
    columns, rows, slices = array.shape
    stored = np.empty((slices, rows, columns), dtype="<u2")
    for index in range(slices):
        plane = array[:, :, index].T
        # Negated, so that what is not a number fails too.
        if not (plane.min() >= -_TOLERANCE and plane.max() <= 1 + _TOLERANCE):
            raise ValueError(
                f"values from {plane.min():g} to {plane.max():g} in slice {index}, "
                "expected values from 0 to 1"
            )
        np.rint(np.clip(plane, 0, 1) * FULL_SCALE, out=stored[index], casting="unsafe")
    return stored


def _window(stored: NDArray[np.uint16]) -> tuple[float, float]:
    """Window centre and width of the whole series (PS3.3 C.11.2.1.2.1).

    Outside the network's box an image holds 0 and an uncertainty map 0 or the full scale: neither
    counts.
    """
    counts = np.zeros(FULL_SCALE + 1, dtype=np.int64)
    for plane in stored:
        counts += np.bincount(plane.ravel(), minlength=FULL_SCALE + 1)
    counts[[0, FULL_SCALE]] = 0
    cumulative = np.cumsum(counts)
    if cumulative[-1] == 0:
        low, high = 0, FULL_SCALE
    else:
        ranks = np.array(WINDOW_PERCENTILES) / 100 * cumulative[-1]
        low, high = np.searchsorted(cumulative, ranks).tolist()
    # The function of the standard shows c - w/2 as black and c + w/2 - 1 as white.
    return (low + high + 1) / 2, float(max(high - low + 1, 2))


def _encoded(dataset: Dataset) -> dict[int, bytes]:
    """Each element as Explicit VR Little Endian, text as UTF-8, by its tag.

    What the slices share is encoded once: most of the time would go into that.
    """
    elements = {}
    for element in dataset:
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_data_element(buffer, element, FIXED["SpecificCharacterSet"])
        elements[int(element.tag)] = buffer.getvalue()
    return elements


def _preamble(instance_uid: UID) -> bytes:
    """What precedes the data set in a file (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = FIXED["SOPClassUID"]
    meta.MediaStorageSOPInstanceUID = instance_uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = fixed_uid("implementation class")
    meta.ImplementationVersionName = "HAGAN_CLINIC"
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta)
    return bytes(128) + b"DICM" + buffer.getvalue()
