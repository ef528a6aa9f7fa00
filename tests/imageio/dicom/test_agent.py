import pytest
from pydicom import Dataset

from hagan_clinic.imageio.dicom.agent import SEQUENCES, contrast_refusal


def header(**elements):
    made = Dataset()
    made.SeriesDescription = "t1_mprage_sag"
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def code(meaning):
    item = Dataset()
    item.CodeMeaning = meaning
    return item


def frames(**told):
    """Functional groups whose frames tell of the use of agent."""
    usage, group = Dataset(), Dataset()
    for keyword, value in told.items():
        setattr(usage, keyword, value)
    group.ContrastBolusUsageSequence = [usage]
    return [group]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ContrastBolusAgent", "GADAVIST 7.5 ml"),
        ("ContrastBolusIngredient", "GADOLINIUM"),
        ("ContrastBolusVolume", "7.5"),
        ("ContrastBolusTotalDose", "10"),
        ("ContrastBolusRoute", "IV"),
        ("ContrastBolusStartTime", "101500"),
        ("ContrastFlowRate", "2"),
        *((keyword, [code("Gadobutrol")]) for keyword in SEQUENCES),
        *((keyword, [Dataset()]) for keyword in SEQUENCES),
    ],
)
def test_every_field_of_contrast_agent_tells(keyword, value):
    assert contrast_refusal(header(**{keyword: value})).startswith(
        f"is contrast-enhanced (its header has {keyword})"
    )


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ContrastBolusAgent", "NONE"),
        ("ContrastBolusAgent", "ohne KM"),
        ("ContrastBolusVolume", "0"),
        ("ContrastBolusVolume", ""),
        ("ContrastBolusTotalDose", "0.0"),
        ("ContrastBolusRoute", "NO"),
        ("ContrastBolusStartTime", "000000"),
        *((keyword, [code("No contrast")]) for keyword in SEQUENCES),
        *((keyword, []) for keyword in SEQUENCES),
    ],
)
def test_values_that_mean_none_do_not(keyword, value):
    assert contrast_refusal(header(**{keyword: value})) is None


def test_a_route_is_nothing_against_an_agent_that_is_none_but_a_volume_is():
    assert contrast_refusal(header(ContrastBolusAgent="NONE", ContrastBolusRoute="IV")) is None
    assert contrast_refusal(header(ContrastBolusAgent="NONE", ContrastBolusVolume="7"))


@pytest.mark.parametrize("groups", ["SharedFunctionalGroups", "PerFrameFunctionalGroups"])
def test_frames_tell_whether_the_agent_of_a_study_is_in_them(groups):
    agent = {"ContrastBolusAgentSequence": [code("Gadobutrol")]}
    keyword = f"{groups}Sequence"
    before = frames(ContrastBolusAgentAdministered="NO", ContrastBolusAgentDetected="NO")
    assert contrast_refusal(header(**agent, **{keyword: before})) is None
    for told in ("ContrastBolusAgentAdministered", "ContrastBolusAgentDetected"):
        after = frames(**{told: "YES"})
        assert "ContrastBolusUsageSequence" in contrast_refusal(header(**{keyword: after}))
    assert contrast_refusal(header(**agent, **{keyword: frames()}))


def test_a_description_that_says_native_is_believed_against_the_protocol():
    assert contrast_refusal(header(SeriesDescription="AX T1", ProtocolName="BRAIN POST"))
    assert not contrast_refusal(header(SeriesDescription="AX T1 PRE", ProtocolName="BRAIN POST"))
    assert not contrast_refusal(header(SeriesDescription="AX T1", ProtocolName="BRAIN W/WO"))


def test_the_message_names_no_agent():
    assert "Doe" not in contrast_refusal(header(ContrastBolusAgent="Doe 7 ml"))
