"""What the node's translator says is missing of a series, before it is translated."""

import pydicom
import pytest

from hagan_clinic.node.collector import Collector
from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.endings import Endings
from hagan_clinic.node.intake import Intake
from hagan_clinic.node.metrics import Metrics
from hagan_clinic.node.translation import SeriesTranslator
from hagan_clinic.node.worker import Worker


@pytest.fixture
def missing(toy_generator):
    """The judgement, by a model that takes T1; settings of the node may be given."""

    def judged(*folders, **settings):
        config = NodeConfig(model=str(toy_generator), device="cpu", **settings)
        return SeriesTranslator(config).missing(folders)

    return judged


@pytest.fixture
def folder(test_data, tmp_path):
    """A function that puts instances of a real series into a new folder, in their order."""

    def filled(series, pick, **attributes):
        paths = [path for path in (test_data / "dicom" / series).iterdir() if path.suffix != ".md"]
        scans = sorted(map(pydicom.dcmread, paths), key=lambda one: one.InstanceNumber)
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        place.mkdir()
        for number in range(len(scans))[pick]:
            for keyword, value in attributes.items():
                setattr(scans[number], keyword, value)
            scans[number].save_as(place / f"{number}.dcm")
        return place

    return filled


T1, FLAIR = "brainix/t1", "brainix/flair"


def test_a_whole_series_lacks_nothing(missing, folder):
    assert missing(folder(T1, slice(None))) == ""


def test_the_parts_of_a_series_are_judged_together(missing, folder):
    first, rest = folder(T1, slice(0, 15)), folder(T1, slice(15, None))
    assert "end is cut off" in missing(first)
    assert missing(first, rest) == ""


def test_a_part_without_a_slice_within_is_told_by_its_number(missing, folder):
    part = folder(T1, slice(None, None, 21), ImagesInAcquisition=22)
    assert missing(part) == "2 of 22 images are here, as ImagesInAcquisition says"
    assert missing(part, trust_counts=False) == ""


def test_a_series_for_another_model_is_not_held_back(missing, folder):
    assert missing(folder(FLAIR, slice(0, 10), ImagesInAcquisition=22)) == ""


def test_few_slices_of_a_named_series_are_held_back_by_their_number(missing, folder):
    few = folder(T1, slice(0, 4), ImagesInAcquisition=22, SeriesDescription="sT1W SE")
    assert missing(few) == "4 of 22 images are here, as ImagesInAcquisition says"


@pytest.mark.parametrize("before", ["ready", "done"])
@pytest.mark.parametrize(
    ("first", "late"),
    [
        ({"PatientID": "A"}, {"PatientID": "B"}),
        ({"PatientID": ""}, {"PatientID": "B"}),
        ({"PatientID": "", "PatientName": "A"}, {"PatientID": "", "PatientName": "B"}),
        ({"StudyInstanceUID": "1.2.3"}, {"StudyInstanceUID": "1.2.4"}),
    ],
    ids=["id", "one_without_id", "name", "study"],
)
def test_late_slices_of_another_patient_make_no_result(
    spool, make_series, arrived, waiting, toy_generator, before, first, late
):
    config = NodeConfig(model=str(toy_generator), device="cpu", silence=0.001, warnings="send")
    metrics, translator = Metrics(spool), SeriesTranslator(config)
    intake = Intake(spool, metrics, 0)
    collect = Collector(spool, intake, config, Endings(spool, metrics), translator.missing)

    def send(part, attributes):
        for one in part:
            for keyword, value in attributes.items():
                setattr(one, keyword, value)
            _, name = intake.take(arrived(one))
        waiting(lambda: intake.silent_for(name) > 0.001)
        collect()
        return spool.find(name, ("ready",))

    series = make_series("of two patients")
    job = send(series[:4], first)
    if before == "done":
        spool.move(job, "done")
    assert len(list(send(series[4:], late).source.iterdir())) == len(series)
    Worker(spool, translator, config, metrics)()
    (job,) = spool.jobs("failed")
    told = job.record()
    assert told["outcome"] == "refused"
    assert "is of another" in told["reason"]
    assert not job.result.exists()
