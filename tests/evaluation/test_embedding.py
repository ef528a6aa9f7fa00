import numpy as np
import pytest
from PIL import Image

from hagan_clinic.errors import InputError
from hagan_clinic.evaluation.embedding import METHODS, draw_map, ellipse, embed


def groups(real=30, synthetic=20, apart=12.0):
    rng = np.random.default_rng(2)
    one = rng.standard_normal((real, 10))
    other = rng.standard_normal((synthetic, 10))
    other[:, 3] += apart
    return {"real": one.astype(np.float32), "synthetic": other.astype(np.float32)}


@pytest.mark.parametrize("method", METHODS)
def test_what_is_apart_stays_apart(method):
    plane = embed(groups(), method, seed=0)
    assert {name: points.shape for name, points in plane.items()} == {
        "real": (30, 2),
        "synthetic": (20, 2),
    }
    centres = [points.mean(0) for points in plane.values()]
    spread = max(np.linalg.norm(p - p.mean(0), axis=1).mean() for p in plane.values())
    assert np.linalg.norm(centres[0] - centres[1]) > 1.5 * spread


def test_pca_and_mds_keep_distances_of_points_in_a_plane():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((12, 2)))[0]
    flat = rng.standard_normal((16, 2))
    features = flat @ basis.T
    expected = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
    for method, tolerance in (("pca", 1e-9), ("mds", 0.2)):
        plane = embed({"real": features[:8], "synthetic": features[8:]}, method, seed=1)
        points = np.concatenate(list(plane.values()))
        found = np.linalg.norm(points[:, None] - points[None], axis=-1)
        np.testing.assert_allclose(found, expected, atol=tolerance)


@pytest.mark.parametrize("method", METHODS)
def test_an_embedding_depends_on_its_seed_alone(method):
    one, other = (embed(groups(8, 8), method, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one["real"], other["real"])


def test_the_ellipse_holds_95_percent_of_a_normal_distribution():
    rng = np.random.default_rng(4)
    turn = np.radians(30)
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = rng.standard_normal((20000, 2)) * (3, 1) @ axes.T + (5, -2)
    found = ellipse(points)
    assert found.centre == pytest.approx((5, -2), abs=0.1)
    assert found.degrees == pytest.approx(30, abs=1)
    assert found.width / found.height == pytest.approx(3, rel=0.05)
    along = np.radians(found.degrees)
    c, s = np.cos(along), np.sin(along)
    x, y = np.array([[c, s], [-s, c]]) @ (points - found.centre).T
    inside = (2 * x / found.width) ** 2 + (2 * y / found.height) ** 2 <= 1
    assert inside.mean() == pytest.approx(0.95, abs=0.005)


def test_a_map_is_a_picture_with_its_notice(tmp_path):
    plane = embed(groups(), "pca", seed=0)
    draw_map(plane, tmp_path / "map.png", "t1", "SYNTHETIC, NOT FOR DIAGNOSIS")
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.text["Title"] == "SYNTHETIC, NOT FOR DIAGNOSIS"
        colours = {colour for _, colour in picture.convert("RGB").getcolors(2**16)}
    assert (0, 114, 178) in colours
    assert (213, 94, 0) in colours


@pytest.mark.parametrize(
    ("found", "method", "message"),
    [
        (groups(3, 20), "pca", "found 3 real volumes: expected 4 or more"),
        (groups(20, 2), "mds", "found 2 synthetic volumes"),
        (groups(), "umap", "method is 'umap': expected one of mds, pca, tsne"),
    ],
)
def test_what_cannot_be_embedded_is_named(found, method, message):
    with pytest.raises(InputError, match=message):
        embed(found, method, seed=0)
