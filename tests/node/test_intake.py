import copy
import gc
import threading
import weakref

import pytest
from pydicom.uid import RLELossless

from hagan_clinic.node.arrivals import complete
from hagan_clinic.node.intake import Intake, IntakeVerdict
from hagan_clinic.node.metrics import Metrics


@pytest.fixture
def intake(spool):
    return Intake(spool, Metrics(spool), 0)


@pytest.fixture
def sent_again(spool, intake, make_series, arrived):
    """A function that sends an instance again when its series is in a state, changed."""

    def again(state, change):
        one = make_series("again")[0]
        _, name = intake.take(arrived(one))
        if state != "incoming":
            job = complete(spool, name)
            spool.move(job, state)
        changed = copy.deepcopy(one)
        change(changed)
        return intake.take(arrived(changed))[0]

    return again


def corrected(one):
    one.PatientName = "Corrected"


def of_another_patient(one):
    one.PatientID = "2"


def of_another_study(one):
    one.StudyInstanceUID = "1.2.3.4"


def recoded(one):
    one.compress(RLELossless, generate_instance_uid=False)


def other_pixels(one):
    one.PixelData = one.PixelData[::-1]


@pytest.mark.parametrize("change", [corrected, recoded])
@pytest.mark.parametrize("state", ["running", "outbox", "done"])
def test_what_is_in_hand_is_not_translated_again_for_another_encoding_or_header(
    spool, sent_again, state, change
):
    assert sent_again(state, change) is IntakeVerdict.DUPLICATE
    assert spool.jobs("incoming") == []


@pytest.mark.parametrize("change", [of_another_patient, of_another_study])
@pytest.mark.parametrize("state", ["running", "outbox", "done"])
def test_the_same_pixels_of_another_patient_or_study_are_translated_again(
    spool, sent_again, state, change
):
    assert sent_again(state, change) is IntakeVerdict.STORED
    assert len(spool.jobs("incoming")) == 1


def test_other_pixels_under_the_same_uid_are_another_instance(spool, sent_again):
    assert sent_again("done", other_pixels) is IntakeVerdict.STORED
    assert len(spool.jobs("incoming")) == 1


@pytest.mark.parametrize("state", ["incoming", "failed", "skipped"])
def test_a_corrected_header_counts_where_nothing_was_translated(spool, sent_again, state):
    assert sent_again(state, corrected) is IntakeVerdict.STORED


def test_senders_that_have_gone_are_let_go_of(intake):
    def sender(name):
        one = threading.Thread(target=end.wait)
        one.start()
        intake.hold(name, one)
        return weakref.ref(one)

    end = threading.Event()
    gone = sender("a")
    assert intake.is_held("a")
    end.set()
    gone().join()
    end.clear()
    sender("b")
    gc.collect()
    assert gone() is None
    assert intake.is_held("b") and not intake.is_held("a")
    end.set()
