import pytest
import torch
import torchio as tio
from torch.nn import functional
from torch.utils.data import DataLoader

from hagan_clinic.backbone.batch import SynthesisBatch, TranslationBatch
from hagan_clinic.data.subject_sampler import SlabSampler
from hagan_clinic.errors import InputError

SHAPE = (32, 48, 64)  # left to right, posterior to anterior, inferior to superior


def image(seed, affine=None):
    values = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return tio.ScalarImage(tensor=values, affine=affine)


def subject(**more):
    return tio.Subject(mprage=image(1), dark_fluid=image(2), **more)


def sampler(**changes):
    return SlabSampler("mprage", "dark_fluid", **{"thickness": 16, "halo": 8} | changes)


def test_a_sample_is_cut_where_it_says_with_the_slab_axis_first():
    given = subject()
    whole = given.mprage.data.permute(0, 3, 2, 1)
    target = given.dark_fluid.data.permute(0, 3, 2, 1)
    samples = list(sampler()(given, 12))
    starts = {int(sample["slab_start"]) for sample in samples}
    assert len(starts) > 3 and all(start % 4 == 0 for start in starts)
    for sample in samples:
        start, window = int(sample["slab_start"]), int(sample["window_start"])
        assert torch.equal(sample["source_window"], whole[:, window : window + 32])
        assert torch.equal(sample["target_slab"], target[:, start : start + 16])
        assert torch.equal(sample["source_low"], functional.avg_pool3d(whole, 4))


@pytest.mark.parametrize("orientation", ["LPS", "PIR", "ASL"])
def test_a_subject_in_any_axes_gives_the_same_slab(orientation):
    turned = tio.ToOrientation(orientation)(subject())
    expected = sampler().cut(sampler().volumes(subject()), 20)
    found = sampler().cut(sampler().volumes(turned), 20)
    assert torch.equal(found["source_window"], expected["source_window"])
    assert torch.equal(found["target_low"], expected["target_low"])


def test_a_loader_of_a_queue_gives_typed_batches_of_several_sources_and_a_mask():
    mask = tio.LabelMap(tensor=torch.ones(1, *SHAPE, dtype=torch.uint8))
    subjects = tio.SubjectsDataset([subject(t2=image(3), brain=mask) for _ in range(3)])
    cut = SlabSampler(["mprage", "t2"], "dark_fluid", "brain", thickness=16, halo=8)
    queue = tio.Queue(subjects, max_length=6, samples_per_volume=2, sampler=cut)
    batches = [TranslationBatch.of(given) for given in DataLoader(queue, batch_size=2)]
    assert len(batches) == 3
    assert batches[0].source_window.shape == (2, 2, 32, 48, 32)
    assert float(batches[0].brain_slab.min()) == 1


def test_without_a_target_it_gives_what_an_unconditional_model_trains_on():
    samples = SlabSampler("mprage", thickness=16, halo=0, whole=True)(subject(), 2)
    batch = SynthesisBatch.of(torch.utils.data.default_collate(list(samples)))
    assert batch.source_whole.shape == (2, 1, 64, 48, 32)
    assert batch.index[0] != batch.index[1]


def test_without_a_mask_the_brain_is_all_that_is_not_background():
    given = subject()
    given.mprage.data[..., :20] = -1
    brain = sampler().volumes(given)["brain"]
    assert float(brain[:, :20].max()) == 0 and float(brain[:, 20:].mean()) > 0.99


@pytest.mark.parametrize(
    ("given", "changes", "told"),
    [
        (tio.Subject(mprage=image(1)), {}, "no image dark_fluid; its images are mprage"),
        (subject(), {"thickness": 68}, "32 voxels .D, H, W.; expected multiples of 4, and 68"),
        (
            tio.Subject(mprage=tio.ScalarImage(tensor=torch.full((1, *SHAPE), 300.0)),
                        dark_fluid=image(2)),
            {}, "mprage has values from 300 to 300; expected -1 to 1",
        ),
    ],
    ids=["missing", "too-thin", "unscaled"],
)  # fmt: skip
def test_a_subject_that_does_not_fit_is_refused_by_name(given, changes, told):
    with pytest.raises(InputError, match=told):
        next(sampler(**changes)(given))


@pytest.mark.parametrize("changes", [{"thickness": 10}, {"halo": 6}, {"thickness": 0}])
def test_a_thickness_or_halo_that_is_no_multiple_of_four_is_refused(changes):
    with pytest.raises(InputError, match="expected multiples of 4"):
        sampler(**changes)
