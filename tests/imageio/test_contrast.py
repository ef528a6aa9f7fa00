"""Names of series and files, labelled by whether contrast agent was given.

`contrast_names.csv` has six lists: `cohorts`, from the labels of public collections; `drafted`,
written before the table of words was, in a dozen languages; `converters`, series that public
conversion scripts and reports name; `fresh`, `last` and `probes`, written after the table, each in
its turn, to find what it lacks.
"""

import csv
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hagan_clinic.imageio.contrast import Reading, agent_given, contrast_sign, read_name

with (Path(__file__).parent / "contrast_names.csv").open(newline="", encoding="utf-8") as _file:
    NAMES = list(csv.DictReader(_file))

# Too rare for what they would cost: two letters that stand for much else.
MISSED = {"T1 tra KA utan", "T1 va:lla", "T1_wc"}


@pytest.mark.parametrize("row", NAMES, ids=lambda row: row["name"])
def test_a_name_tells_whether_agent_was_given(row):
    told = contrast_sign(row["name"]) is not None
    assert told == (row["label"] == "post") or row["name"] in MISSED


@pytest.mark.parametrize(
    "lists", [{"cohorts"}, {"drafted"}, {"converters"}, {"fresh"}, {"last"}, {"probes"}]
)
def test_each_list_has_nearly_all_found_and_no_native_one_flagged(lists):
    rows = [row for row in NAMES if row["list"] in lists]
    post = [row["name"] for row in rows if row["label"] == "post"]
    assert sum(contrast_sign(name) is not None for name in post) >= 0.97 * len(post)
    assert not [row for row in rows if row["label"] == "native" and contrast_sign(row["name"])]


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        ("AX_3D_T1W+C", "+c"),
        ("T1 C+ FS", "c+"),
        ("BraTS20_001_t1ce", "t1ce"),
        ("t1_gd", "gd"),
        ("T1 C AX", "t1 c"),
        ("sub-01_ce-gadolinium_T1w", "ce-gadolinium"),
        ("T1 造影後", "造影"),
    ],
)
def test_the_sign_is_what_tells(name, sign):
    assert contrast_sign(name) == sign


@pytest.mark.parametrize("name", ["DoeT1Gd", "Doe+C", "DOE_POST", "doepostgd"])
def test_the_sign_holds_no_other_words(name):
    assert "doe" not in (contrast_sign(name) or "")


@given(st.text(max_size=80) | st.text(alphabet="t1cegdkmpostwo+-/._ ", max_size=300))
def test_any_text_can_be_read_as_a_name_and_as_an_agent(text):
    read_name(text)
    agent_given(text)


@pytest.mark.parametrize("text", ["t1" * 10**6, "post" * 10**6, "+" * 10**6, "a." * 10**6])
def test_a_name_of_any_length_is_read_at_once(text):
    started = time.perf_counter()
    read_name(text)
    agent_given(text)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("name", ["T1 PRE", "T1 nativ", "T1 W/O", "T1 C-", "sub-01_ce-none_T1w"])
def test_a_name_may_say_that_none_was_given(name):
    assert read_name(name).native


@pytest.mark.parametrize(
    "after",
    [
        *("PITUITARY", "HIPPOCAMPUS", "FOSSA", "SEIZURE", "STROKE", "VISIT 2", "BASELINE", "FU"),
        *("GK", "DBS", "PROCESSED"),
    ],
)
@pytest.mark.parametrize("joint", [" ", "_"])
def test_post_before_a_place_a_visit_a_device_or_an_illness_tells_of_agent(after, joint):
    assert contrast_sign(f"AX T1 POST {after}".replace(" ", joint)) == "post"


@pytest.mark.parametrize(
    "after", ["OP", "surgery", "RT", "chemo", "resection", "radiotherapy", "treatment", "biopsy"]
)
@pytest.mark.parametrize("joint", [" ", "-", "_"])
def test_post_before_an_operation_or_a_therapy_does_not(after, joint):
    assert contrast_sign(f"AX T1 POST{joint}{after}") is None


@pytest.mark.parametrize("name", ["POST SURGICAL NAV", "POST RT PLAN", "T1 post 3 months"])
def test_a_scan_after_an_operation_a_therapy_or_months_tells_of_agent_by_another_word(name):
    assert read_name(name) == Reading()
    for other in ("+C", "GD", "with contrast"):
        assert read_name(f"{name} T1 {other}").given


@pytest.mark.parametrize("after", ["OP", "VISIT 2", "GK"])
def test_pre_before_any_of_these_says_nothing(after):
    assert not read_name(f"AX T1 PRE {after}").native


@pytest.mark.parametrize("entity", ["desc-postcontrast", "acq-postGd", "run-1_label-gad"])
def test_entities_of_bids_that_can_tell_of_agent_are_read(entity):
    assert contrast_sign(f"sub-01_ses-1_{entity}_T1w")


@pytest.mark.parametrize("entity", ["ses-post", "ses-postGd", "task-post", "space-t1gd"])
def test_those_of_sessions_tasks_and_grids_are_not(entity):
    assert contrast_sign(f"sub-01_{entity}_run-1_T1w") is None


@pytest.mark.parametrize("name", ["", "T1", "MRI BRAIN W/WO CONTRAST", "T1 postop", "+++", "()"])
def test_a_name_may_say_nothing(name):
    assert not read_name(name).native
    assert not read_name(name).given


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "-", "0", "0.0", "0 ml", "00:00:00", "NO", "None", "none given", "N/A", "NA"),
        *(
            "No contrast",
            "nativ",
            "ohne KM",
            "keine",
            "sans",
            "sin contraste",
            "brak",
            "無",
            "False",
            "without Gd",
            "S/C",
            "s/ contraste",
            "Contrast: none given",
            "No Gd, no contrast",
            "contrast: no",
        ),
    ],
)
def test_values_of_a_field_that_mean_none(value):
    assert agent_given(value) is None


@pytest.mark.parametrize(
    "value",
    ["Gadovist", "12ML MULTIHANCE", "YES", "0.1 mmol/kg", "7.5", "IV", "NON IONIC", "agent X"],
)
def test_other_values_of_a_field_are_an_agent(value):
    assert agent_given(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "No reaction. Dotarem 10 ml",
        "Sin reaccion, Gadovist",
        "Pre-filled syringe Gadovist 7.5 ml",
        "S/C Gadavist",
        "NON-SPECIFIED GAD",
        "no-name Gd-DTPA",
        "Gadovist, no reaction",
        "Dotarem no reaction",
        "No contrast. Gadovist 10 ml",
        "no contrast, then Gd",
    ],
)
def test_a_word_for_without_takes_back_only_the_agent_beside_it(value):
    assert agent_given(value) == value
