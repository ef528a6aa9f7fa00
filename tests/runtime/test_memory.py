import mmap
from pathlib import Path

import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.runtime import memory


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1GiB", 2**30),
        ("1.5 gib", 3 * 2**29),
        ("800MB", 800 * 10**6),
        ("2 KiB", 2048),
        ("2GB", 2 * 10**9),
        ("4096", 4096),
        (4096, 4096),
    ],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert memory.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "0", "0GiB", "-1GiB", "1 XB", "1G iB", "1e3", "nan"])
def test_other_sizes_are_refused(text):
    with pytest.raises(InputError, match=r"is not an amount of memory; expected .*1GiB"):
        memory.parse_size(text)


def test_sizes_are_written_in_binary_units():
    assert [memory.size_text(size) for size in (2**20, 900 * 2**20, 3 * 2**29)] == [
        "1 MiB",
        "900 MiB",
        "1.5 GiB",
    ]


def test_resident_size_follows_what_is_held():
    size = 64 * 2**20
    before = memory.resident()
    with mmap.mmap(-1, size) as held:  # pages of its own: an array might get freed ones
        held.write(b"1" * size)
        assert memory.resident() - before > 0.9 * size
        assert memory.peak() > 0.99 * memory.resident()  # the kernel counts in batches


def test_freed_memory_goes_back_to_the_system():
    blocks = [bytearray(2**16) for _ in range(1024)]  # too small to be mapped one by one
    del blocks[:-1]
    before = memory.resident()
    memory.give_back()
    assert before - memory.resident() > 48 * 2**20


def test_available_memory_is_at_most_the_machines():
    lines = Path("/proc/meminfo").read_text().splitlines()
    total = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal"))
    assert 0 < memory.available() <= total * 1024


def test_container_limit_counts_without_its_file_cache(tmp_path):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 300\ninactive_file 400\n")
    assert memory._cgroup_headrooms(tmp_path) == [700]


def test_container_of_the_first_version_counts_too(tmp_path):
    group = tmp_path / "memory"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text("1000\n")
    (group / "memory.usage_in_bytes").write_text("600\n")
    (group / "memory.stat").write_text("total_inactive_file 100\n")
    assert memory._cgroup_headrooms(tmp_path) == [500]


def test_group_without_a_limit_sets_none(tmp_path):
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("700\n")
    assert memory._cgroup_headrooms(tmp_path) == []
