import pytest
import torch
from torch.nn import functional

from hagan_clinic.backbone.batch import SynthesisBatch, TranslationBatch
from hagan_clinic.errors import InputError


def volumes(channels=1):
    torch.manual_seed(3)
    return torch.rand(2, channels, 48, 32, 16) * 2 - 1


def pair_batch():
    source, target = volumes(2), volumes()
    return TranslationBatch.cut(source, target, (target > 0).float(), [0, 20], thickness=8, halo=4)


def test_windows_and_slabs_are_cut_where_the_batch_says():
    source, batch = volumes(2), pair_batch()
    assert batch.source_window.shape == (2, 2, 16, 32, 16)
    for sample in range(2):
        window, slab = int(batch.window_start[sample]), int(batch.slab_start[sample])
        assert torch.equal(batch.source_window[sample], source[sample, :, window : window + 16])
        assert torch.equal(batch.target_slab[sample], volumes()[sample, :, slab : slab + 8])
    assert batch.slab_start.tolist() == [0, 20]
    assert torch.equal(batch.source_low, functional.avg_pool3d(source, 4))


def test_a_missing_entry_is_named():
    given = vars(pair_batch())
    with pytest.raises(InputError, match=r"lacks target_low and has .*expected the entries of .*"):
        TranslationBatch.of({k: v for k, v in given.items() if k != "target_low"})


def test_an_entry_of_another_shape_is_named_with_both_shapes():
    given = vars(pair_batch()) | {"brain_slab": torch.ones(2, 1, 8, 32, 32)}
    with pytest.raises(InputError, match=r"brain_slab has the shape \(2, 1, 8, 32, 32\).*32, 16"):
        TranslationBatch.of(given)


def test_a_batch_of_the_other_kind_is_refused():
    with pytest.raises(InputError, match="TranslationBatch; expected a SynthesisBatch"):
        SynthesisBatch.of(pair_batch())


def test_entries_of_other_names_are_left_out_and_optional_ones_may_be_missing():
    batch = SynthesisBatch.cut(volumes(), [0, 8], 8, [0, 1])
    given = {k: v for k, v in vars(batch).items() if k not in ("source_whole", "label")}
    again = SynthesisBatch.of(given | {"volume": torch.zeros(2)})
    assert again.label is None and again.source_whole is None
    assert torch.equal(again.source_window[1], volumes()[1, :, 8:16])
