from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hagan_clinic.errors import DeviceError
from hagan_clinic.runtime.slabs import MemoryModel, SlabPlan, plan_slabs

MEMORY = MemoryModel(voxel=200, kept_voxel=24, fixed=1000)


@given(
    blocks=st.integers(1, 80),
    halo=st.integers(0, 40),
    share=st.floats(0.05, 1.5),
)
def test_slabs_cover_the_volume_once_in_step_with_the_context(blocks, halo, share):
    shape = (4 * blocks, 10, 12)
    whole = MEMORY.needed(SlabPlan(shape[0], shape[0], 0), 120)
    try:
        plan = plan_slabs(shape, halo, MEMORY, int(share * whole))
    except DeviceError:
        return
    slabs = list(plan)
    assert [n for slab in slabs for n in range(slab.start, slab.stop)] == list(range(shape[0]))
    assert len(slabs) == plan.count
    for slab in slabs:
        assert slab.start % 4 == slab.first % 4 == slab.last % 4 == 0
        assert slab.first == 0 or slab.start - slab.first >= halo
        assert slab.last == shape[0] or slab.last - slab.stop >= halo
        assert slab.last - slab.first <= plan.window
        assert MEMORY.needed(plan, 120) <= share * whole


def test_need_counts_the_window_with_its_halo_and_what_is_kept_of_the_whole():
    plan = SlabPlan(64, 16, 8)
    assert MEMORY.needed(plan, 100) == 200 * (16 + 2 * 8) * 100 + 24 * 64 * 100 + 1000


def test_need_is_that_of_what_comes_after_the_network_where_that_is_more():
    plan = SlabPlan(64, 16, 8)
    running = MEMORY.needed(plan, 100) - MEMORY.fixed
    assert replace(MEMORY, after=running).needed(plan, 100) == running + MEMORY.fixed
    assert replace(MEMORY, after=running + 5).needed(plan, 100) == running + 5 + MEMORY.fixed
    with pytest.raises(DeviceError, match="raise --max-memory"):
        plan_slabs((64, 10, 10), 8, replace(MEMORY, after=10**6), 10**6)


def test_volume_that_fits_stays_whole():
    plan = plan_slabs((64, 10, 10), 8, MEMORY, 10**9)
    assert plan.is_whole
    assert plan.count == 1


def test_plan_takes_the_fewest_slabs_that_fit():
    two = SlabPlan(64, 32, 8)
    plan = plan_slabs((64, 10, 10), 8, MEMORY, MEMORY.needed(two, 100))
    assert (plan.count, plan.thickness) == (2, 32)
    plan = plan_slabs((64, 10, 10), 8, MEMORY, MEMORY.needed(two, 100) - 1)
    assert plan.count == 3


def test_error_states_what_the_thinnest_slab_needs_and_that_much_suffices():
    memory = MemoryModel(voxel=200, kept_voxel=24, fixed=30 * 2**20)
    with pytest.raises(DeviceError, match=r"thinnest slabs needs (\d+) MiB.*--max-memory") as error:
        plan_slabs((160, 200, 200), 8, memory, 50 * 2**20)
    assert error.value.exit_code == 5
    needed = memory.needed(SlabPlan(160, 4, 8), 200 * 200)
    assert plan_slabs((160, 200, 200), 8, memory, needed).thickness == 4


def test_slabs_and_windows_start_at_multiples_of_the_step():
    thin = SlabPlan(96, 16, 32)
    plan = plan_slabs((96, 10, 10), 24, MEMORY, MEMORY.needed(thin, 100), step=16)
    assert plan == thin
    assert all(bound % 16 == 0 for slab in plan for bound in (slab.start, slab.first))
    with pytest.raises(ValueError, match="not a multiple of 16"):
        plan_slabs((88, 10, 10), 24, MEMORY, 10**9, step=16)
