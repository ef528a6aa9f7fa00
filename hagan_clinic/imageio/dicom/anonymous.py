"""Found files under names that do not identify a patient, for messages that end up in a log."""

from dataclasses import replace

from hagan_clinic.imageio.dicom.discovery import Found
from hagan_clinic.imageio.dicom.series import Instance
from hagan_clinic.imageio.dicom.values import number


def without_names(found: Found) -> Found:
    """The same files, each image called by its InstanceNumber, others by their place: `file 12`.

    Sites name files after patients, and scanners after UIDs; the number is what a viewer shows.
    """
    names = [one.name for series in found.series for one in series.instances]
    names += [one.name for one in found.damaged] + [name for name, _ in found.ignored]
    places = {name: f"file {place}" for place, name in enumerate(sorted(names), start=1)}

    def called(one: Instance) -> str:
        instance = number(one.header, "InstanceNumber")
        return places[one.name] if instance is None else f"image {instance:.0f}"

    def renamed(reason: str, name: str) -> str:
        return f"{places[name]}: {reason.removeprefix(f'{name}: ')}"

    return Found(
        tuple(
            replace(one, instances=tuple(replace(i, name=called(i)) for i in one.instances))
            for one in found.series
        ),
        tuple((places[name], renamed(reason, name)) for name, reason in found.ignored),
        tuple(
            replace(d, name=places[d.name], reason=renamed(d.reason, d.name)) for d in found.damaged
        ),
    )
