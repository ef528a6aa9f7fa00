"""Results of a series that an archive has, and that a later result takes the place of."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from hagan_clinic.imageio.atomic import write_text
from hagan_clinic.node.job import DamagedError, Job

FILE = "superseded.json"
"""Beside `source`; it stays with the series when that is translated again."""


@dataclass(frozen=True)
class Delivered:
    """What an archive has of a result.

    Attributes:
        series: Its Series Instance UID.
        numbers: InstanceNumber of each instance that was taken.
    """

    series: str
    numbers: tuple[int, ...]


def delivered(job: Job) -> Delivered | None:
    """What the archive has of the result of a series, if it has any of it."""
    try:
        series = job.record().get("sent_as")
    except DamagedError:
        return None
    stems = (name.removesuffix(".dcm") for name in sent(job))
    numbers = tuple(sorted(int(stem) for stem in stems if stem.isdecimal()))
    return Delivered(series, numbers) if series and numbers else None


def superseded(job: Job) -> list[Delivered]:
    """Earlier results of a series, in their order.

    Raises:
        DamagedError: They cannot be read.
    """
    try:
        entries = json.loads((job.folder / FILE).read_text("utf-8"))
        return [Delivered(one["series"], tuple(one["numbers"])) for one in entries]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DamagedError(f"its {FILE} cannot be read ({type(error).__name__})") from error


def supersede(job: Job) -> None:
    """Note the result that the archive has now among the earlier ones.

    Raises:
        DamagedError: Those cannot be read.
        OutputError: It cannot be written.
    """
    now, earlier = delivered(job), superseded(job)
    if now is not None:
        # A crash may have left it noted already.
        rest = [one for one in earlier if one.series != now.series]
        write_text(json.dumps([asdict(one) for one in [*rest, now]]), job.folder / FILE)


def begin_anew(job: Job) -> None:
    """Remove what was made of a series, to make it again; what it supersedes stays known."""
    for path in job.folder.iterdir():
        if path.name not in ("source", FILE):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def sent(job: Job) -> set[str]:
    """Names of the files of its result that the archive has taken."""
    try:
        lines = job.sent.read_text("ascii").split("\n")
    except FileNotFoundError:
        return set()
    # A line that a crash cut off is no name of a file.
    return set(lines[:-1])


def uids(results: Iterable[Delivered]) -> tuple[str, ...]:
    """Their Series Instance UIDs."""
    return tuple(one.series for one in results)
