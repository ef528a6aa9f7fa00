import dataclasses

import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.node.config import NodeConfig, read_config
from hagan_clinic.node.destination import DimseDestination, WebDestination, parse_destination


def test_options_stand_above_the_file_and_the_file_above_the_defaults(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text('aet = "FILE"\nport = 4000\ncallers = ["A", "B"]\nsilence = 3\n')
    config = read_config(path, port=5000, forward=None)
    assert (config.aet, config.port, config.callers, config.silence) == (
        "FILE",
        5000,
        ("A", "B"),
        3,
    )
    assert config.max_associations == NodeConfig().max_associations


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prot = 1", "setting 'prot'"),
        ("port = 'x'", "port is 'x', expected a whole number"),
        ("port = 70000", "port is 70000"),
        ("port = true", "port is True"),
        ("callers = 'A'", "callers is 'A', expected a list of texts"),
        ("callers = ['A', 'much too long a title']", "AE title"),
        ("aet = ''", "AE title"),
        ("silence = 0", "silence is 0"),
        ("warnings = 'perhaps'", "expected keep or send"),
        ("tls_key = 'k.pem'", "both or none"),
        ("max_disk_share = 2.0", "max_disk_share"),
        ("alert_url = 'ftp://monitor'", "alert_url is 'ftp://monitor', expected https://"),
        ("alert_every = -1", "alert_every is -1"),
        ("min_free = 'lots'", "'lots' is not an amount"),
        ("forward = 'ARCHIVE'", "expected AET@HOST:PORT"),
        ("port =", "is not valid TOML"),
    ],
)
def test_a_wrong_setting_is_told_with_its_file(tmp_path, text, told):
    path = tmp_path / "node.toml"
    path.write_text(text.replace("'", '"'))
    with pytest.raises(InputError) as caught:
        read_config(path)
    assert told in str(caught.value)
    assert "node.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "open_to_all"),
    [
        ({}, True),
        ({"host": ""}, True),
        ({"host": "10.1.2.3"}, True),
        ({"host": "node.example"}, True),
        # A certificate of its own tells nothing of who calls.
        ({"tls_certificate": "c.pem", "tls_key": "k.pem"}, True),
        ({"host": "127.0.0.1"}, False),
        ({"host": "::1"}, False),
        ({"host": "localhost"}, False),
        ({"callers": ("ROUTER",)}, False),
        ({"tls_ca": "ca.pem"}, False),
        ({"allow_any_caller": True}, False),
    ],
)
def test_who_may_send_is_told_unless_no_other_machine_can(settings, open_to_all):
    if open_to_all:
        with pytest.raises(InputError, match="expected callers"):
            NodeConfig(**settings).check_callers()
    else:
        NodeConfig(**settings).check_callers()


def test_every_setting_has_a_default_so_that_its_type_is_known():
    assert all(field.default is not dataclasses.MISSING for field in dataclasses.fields(NodeConfig))


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("PACS@10.0.0.1:104", DimseDestination("PACS", "10.0.0.1", 104)),
        ("A B@pacs.example:11112", DimseDestination("A B", "pacs.example", 11112)),
        ("X@[::1]:104", DimseDestination("X", "::1", 104)),
        ("https://pacs.example/dicom-web/", WebDestination("https://pacs.example/dicom-web")),
        ("https://pacs.example/dw/studies", WebDestination("https://pacs.example/dw")),
        ("http://127.0.0.1:8042/dicom-web", WebDestination("http://127.0.0.1:8042/dicom-web")),
    ],
)
def test_destinations_are_read(text, destination):
    assert parse_destination(text) == destination


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://pacs.example/dicom-web", "in clear"),
        ("https://user:secret@pacs.example", "forward_token_file"),
        ("PACS@host", "AET@HOST:PORT"),
        ("PACS@host:0", "AET@HOST:PORT"),
        ("A_MUCH_TOO_LONG_TITLE@host:104", "AET@HOST:PORT"),
    ],
)
def test_what_would_leak_or_is_no_destination_is_refused(text, told):
    with pytest.raises(InputError, match=told) as caught:
        parse_destination(text)
    assert "secret" not in str(caught.value)
