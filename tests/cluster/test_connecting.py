from pathlib import Path

import pytest

from hagan_clinic.cluster import connected, connecting, require
from hagan_clinic.errors import DeviceError, InputError

distributed = pytest.importorskip("distributed")


def test_workers_of_another_version_are_named(workers, monkeypatch):
    monkeypatch.setattr(connecting, "__version__", "9.9")
    with (
        pytest.raises(
            DeviceError,
            match=r"\d of \d workers are unfit: tcp://\S+ has \d\S+; .*expected hagan-clinic 9\.9",
        ),
        connected(workers.scheduler_address),
    ):
        pass


@pytest.mark.parametrize("address", ["local:", "local:0", "local:many"])
def test_a_number_of_processes_that_cannot_be_is_wrong(address):
    with pytest.raises(InputError, match="expected local, or local:3"), connected(address):
        pass


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "tls://127.0.0.1:9", "nonsense"])
def test_an_address_without_a_scheduler_is_named(address, monkeypatch):
    monkeypatch.setattr(connecting, "CONNECT_SECONDS", 1)
    with pytest.raises(DeviceError, match="no scheduler answers there"), connected(address):
        pass


def test_a_file_of_the_scheduler_is_an_address(workers, tmp_path):
    file = Path(tmp_path / "scheduler.json")
    file.write_text(f'{{"address": "{workers.scheduler_address}"}}')
    with connected(str(file)) as client:
        assert client.nthreads()


def test_a_worker_that_is_lost_while_it_is_asked_is_not_unfit():
    require("hagan-clinic", "1", {"tcp://a": "1", "tcp://b": distributed.comm.CommClosedError()})
    with pytest.raises(DeviceError, match="1 of 2 workers are unfit: tcp://b has No module named"):
        require("x", "1", {"tcp://a": "1", "tcp://b": ImportError("No module named x")})
