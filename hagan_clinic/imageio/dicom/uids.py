"""Unique identifiers that follow from what was done, so that doing it again gives the same.

They are UUIDs of version 5 below 2.25 (PS3.5 B.2): no registered root is needed, and nothing of
the source can be read from them.
"""

import json
from dataclasses import asdict
from uuid import NAMESPACE_DNS, UUID, uuid5

from pydicom.uid import UID

from hagan_clinic.imageio.dicom.derivation import Derivation
from hagan_clinic.imageio.dicom.options import SeriesOptions
from hagan_clinic.imageio.dicom.series import Stack
from hagan_clinic.imageio.dicom.values import text

_NAMESPACE = uuid5(NAMESPACE_DNS, "hagan-clinic")


def series_uid(stack: Stack, derivation: Derivation, options: SeriesOptions) -> UID:
    """Series Instance UID of the series derived from the `stack`.

    It follows from the source's instances in their order in space, the derivation (the model's
    sha256, the settings, ...) and the options, as each of them shows in what is written. It does
    not follow from the time, the place or the order of the files.
    """
    sources = [(text(s.instance.header, "SOPInstanceUID"), s.frame) for s in stack.slices]
    return _uid(_uuid("series", stack.series.uid, sources, asdict(derivation), asdict(options)))


def instance_uid(series: str, number: int) -> UID:
    """SOP Instance UID of the instance of a series with this InstanceNumber."""
    return _uid(_uuid("instance", str(series), number))


def note_uid(*facts: object) -> UID:
    """UID of a rejection note or its series, from what it is about."""
    return _uid(_uuid("rejection note", *facts))


def fixed_uid(name: str) -> UID:
    """A UID of this project: the same in every file."""
    return _uid(_uuid("fixed", name))


def _uuid(*facts: object) -> UUID:
    return uuid5(_NAMESPACE, json.dumps(facts, sort_keys=True))


def _uid(uuid: UUID) -> UID:
    return UID(f"2.25.{uuid.int}")
