from hagan_clinic.cluster import WorkerDevices
from hagan_clinic.runtime.providers import Device


def test_the_devices_of_workers_are_counted_and_each_fallback_is_told_once():
    told = []
    devices = WorkerDevices(told.append)
    assert not devices
    for worker in ("tcp://a", "tcp://b", "tcp://a"):
        devices.saw(worker, Device("auto", "cuda"))
    for _ in range(2):
        devices.saw("tcp://c", Device("auto", "cpu", "running on the CPU: no cuDNN"))
    assert told == ["warning: worker tcp://c: running on the CPU: no cuDNN"]
    assert str(devices) == "2 workers on cuda, 1 on cpu"
