import json
import logging

from hagan_clinic.errors import InputError
from hagan_clinic.node import logs


def test_a_line_is_json_with_time_level_event_and_facts(capsys):
    logger = logging.getLogger("hagan_clinic.node")
    before = logger.handlers[:], logger.propagate, logger.level
    try:
        logs.start_logging()
        logs.log("stored", series="abc", instances=3)
    finally:
        logger.handlers[:], logger.propagate = before[0], before[1]
        logger.setLevel(before[2])
    line = json.loads(capsys.readouterr().err)
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "event": "stored", "series": "abc", "instances": 3}


def test_of_an_exception_its_kind_and_place_are_told_and_not_its_words():
    try:
        json.loads("Doe^Jane")
    except ValueError as error:
        assert logs.problem(error) == {"problem": "JSONDecodeError"}
    assert logs.problem(InputError("Doe^Jane has a gap")) == {"problem": "InputError"}
