import pytest


@pytest.fixture(scope="package")
def workers():
    """Three workers of another's cluster: its address."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=2, memory_limit=0, dashboard_address=None
    ) as scheduler:
        yield scheduler
