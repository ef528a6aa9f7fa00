import numpy as np
import pytest

import hagan_clinic
from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read


def test_a_sample_depends_on_the_seed_and_its_number_alone(folder):
    run = folder / "unconditional"
    three = hagan_clinic.sample(run, 3, seed=5, device="cpu")
    two = hagan_clinic.sample(run, 2, seed=5, device="cpu")
    other = hagan_clinic.sample(run, 1, seed=6, device="cpu")
    assert np.array_equal(three.latents.latents[:2], two.latents.latents)
    assert np.array_equal(three.volumes[1].array, two.volumes[1].array)
    assert not np.array_equal(other.volumes[0].array, two.volumes[0].array)


def test_a_volume_has_the_latent_of_its_file(folder):
    run, path = folder / "unconditional", folder / "t1.nii.gz"
    of_file = hagan_clinic.encode(run, path, device="cpu")
    of_volume = hagan_clinic.encode(run, read(path), device="cpu")
    assert np.array_equal(of_file.latents, of_volume.latents)
    assert (of_file.names, of_volume.names) == (("t1",), ("volume_1",))
    cohort = hagan_clinic.encode(run, folder / "cohort", device="cpu")
    assert np.array_equal(cohort.latents[cohort.names.index("p0")], of_file.latents[0])


def test_volumes_and_paths_together_are_refused(folder):
    path = folder / "t1.nii.gz"
    with pytest.raises(InputError, match="all of them volumes or all of them paths"):
        hagan_clinic.encode(folder / "unconditional", path, read(path), device="cpu")


def test_a_reconstruction_is_measured_against_the_scan_beside_it(folder):
    back = hagan_clinic.reconstruct(folder / "unconditional", folder / "t1.nii.gz", device="cpu")
    error = np.abs(back.volume.array - back.scan.array)
    assert back.l1 == pytest.approx(float(error.mean()))
    assert back.psnr == pytest.approx(-10 * np.log10(float((error**2).mean())), abs=1e-3)
