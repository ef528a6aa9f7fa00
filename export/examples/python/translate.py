"""An exported translator run from its own metadata, with numpy and ONNX Runtime alone.

    python translate.py t1_to_flair.onnx t1.nii.gz brain_mask.nii.gz flair.nii.gz

It gives what `hagan-clinic translate t1.nii.gz --mask brain_mask.nii.gz -o flair.nii.gz` gives.
What it leaves to you: it reads single NIfTI-1 files with an sform alone, checks nothing that
`translate` would refuse or warn of, holds the whole volume in memory, and writes no provenance but
the words in `descrip`. Not for diagnosis.
"""

import gzip
import json
import struct
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import onnxruntime

TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
HEAD = -0.7  # what is brighter in the network's input is head, not air
TIP_PART = 0.002  # a slice of the head has this part of the fullest one's voxels
WORDS = b"SYNTHETIC, NOT FOR DIAGNOSIS"


def read_nifti(path):
    """Header bytes, array indexed (i, j, k), and affine to RAS mm."""
    content = Path(path).read_bytes()
    if path.endswith(".gz"):
        content = gzip.decompress(content)
    order = "<" if struct.unpack_from("<i", content)[0] == 348 else ">"
    dim = struct.unpack_from(order + "8h", content, 40)
    kind = np.dtype(order + TYPES[struct.unpack_from(order + "h", content, 70)[0]])
    offset = int(struct.unpack_from(order + "f", content, 108)[0])
    slope, intercept = struct.unpack_from(order + "2f", content, 112)
    if struct.unpack_from(order + "h", content, 254)[0] < 1:
        raise SystemExit(f"{path}: no sform; expected one")
    affine = np.eye(4)
    affine[:3] = np.reshape(struct.unpack_from(order + "12f", content, 280), (3, 4))
    count = int(np.prod(dim[1:4]))
    array = np.frombuffer(content, kind, count, offset).reshape(dim[1:4], order="F")
    array = array.astype(np.float32)
    if slope not in (0.0, 1.0) or (slope and intercept):
        array = array * np.float32(slope) + np.float32(intercept)
    return order, content[:348], array, affine


def write_nifti(path, order, header, array):
    """A float32 file with the geometry of the header."""
    changed = bytearray(header)
    struct.pack_into(order + "8h", changed, 40, 3, *array.shape, 1, 1, 1, 1)
    struct.pack_into(order + "2h", changed, 70, 16, 32)
    struct.pack_into(order + "3f", changed, 108, 352.0, 1.0, 0.0)
    struct.pack_into(order + "2f", changed, 124, 0.0, 0.0)  # the display range was the source's
    struct.pack_into("80s", changed, 148, WORDS)
    changed[344:348] = b"n+1\0"
    content = bytes(changed) + b"\0\0\0\0" + array.astype(order + "f4").tobytes(order="F")
    Path(path).write_bytes(gzip.compress(content) if path.endswith(".gz") else content)


def axes_to_canonical(affine):
    """Array axis and flip for each of (inferior-superior, posterior-anterior, left-right)."""
    cosines = (affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))[::-1]
    order = max(permutations(range(3)), key=lambda p: np.abs(cosines[range(3), p]).sum())
    return order, [cosines[row, axis] < 0 for row, axis in enumerate(order)]


def to_canonical(array, order, flips):
    """(i, j, k) -> (D, H, W)."""
    return array.transpose(order)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]


def from_canonical(array, order, flips):
    """The inverse of `to_canonical`."""
    back = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    return array[back].transpose(np.argsort(order))


def gaussian(variance):
    """The discrete Gaussian (Lindeberg 1990) as weights around the middle, to 1e-3."""
    # exp(-t) I_n(t), as the mean of exp(t cos) cos(n .) over the circle.
    angles = np.linspace(0, 2 * np.pi, 512, endpoint=False)
    half = [float(np.mean(np.exp(variance * (np.cos(angles) - 1))))]
    while half[0] + 2 * sum(half[1:]) < 1 - 1e-3:
        mode = np.cos(len(half) * angles)
        half.append(float(np.mean(np.exp(variance * (np.cos(angles) - 1)) * mode)))
    weights = np.array(half[:0:-1] + half)
    return weights / weights.sum()


def resampling(old, new, ratio):
    """(new, old): smoothing where it is needed, then linear interpolation about one centre.

    New voxels beyond half an old one outside the field of view take nothing.
    """
    smooth = np.eye(old)
    if ratio > 1.2:
        weights = gaussian((ratio**2 - 1) / (8 * np.log(2)))
        reach = len(weights) // 2
        smooth = np.zeros((old, old))
        for row in range(old):
            taken = np.clip(np.arange(row - reach, row + reach + 1), 0, old - 1)
            np.add.at(smooth[row], taken, weights)
    places = (np.arange(new) - (new - 1) / 2) * ratio + (old - 1) / 2
    inside = (places >= -0.5) & (places < old - 0.5)
    low = np.floor(np.clip(places, 0, old - 1)).astype(int)
    share = np.clip(places, 0, old - 1) - low
    linear = np.zeros((new, old))
    linear[np.arange(new), low] += (1 - share) * inside
    linear[np.arange(new), np.minimum(low + 1, old - 1)] += share * inside
    return linear @ smooth


def resample(array, spacing, shape, wanted, fill=0.0):
    """Trilinear, to a shape of another spacing about the same centre."""
    ratios = np.divide(wanted, spacing)
    matrices = [resampling(*sizes) for sizes in zip(array.shape, shape, ratios, strict=True)]
    result = np.einsum("ai,bj,ck,ijk->abc", *matrices, array - fill, optimize=True) + fill
    return result.astype(np.float32)


def box_of(recipe, unit, brain):
    """First voxel and size of the network's field: `box`, or what holds the head."""
    voxels = np.argwhere(brain)
    size = np.array(recipe["box"])
    start = (voxels.min(axis=0) + voxels.max(axis=0) + 1 - size) // 2
    if not recipe.get("box_grows"):
        return start, size
    lowest, longest, multiple = start[0], size * 3 // 2, recipe["multiple"]
    head = brain.copy()
    head[max(lowest, 0) :] |= unit[max(lowest, 0) :] > HEAD
    for axis in range(3):
        counts = np.count_nonzero(head, axis=tuple({0, 1, 2} - {axis}))
        filled = np.flatnonzero(counts >= max(TIP_PART * counts.max(), 1))
        low, high = filled[0], filled[-1] + 1
        margin = int(np.ceil(recipe["margin_mm"] / recipe["spacing"][axis]))
        bottom = min(lowest, low) if axis == 0 else low - margin
        low, high = max(low - margin, bottom), high + margin
        size[axis] = min(-(-(high - low) // multiple), longest[axis] // multiple) * multiple
        start[axis] = max(low, high - size[axis]) if axis == 0 else (low + high - size[axis]) // 2
    return start, size


def span(first, size):
    """The index of a box."""
    return tuple(slice(a, a + n) for a, n in zip(first, size, strict=True))


def main(model, t1_file, mask_file, output):
    """Read, prepare, run, undo each step, write."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    recipe = json.loads(session.get_modelmeta().custom_metadata_map["hagan_clinic.recipe"])
    order, header, scanned, affine = read_nifti(t1_file)
    marked = read_nifti(mask_file)[2]
    if marked.shape != scanned.shape:
        raise SystemExit(f"mask of shape {marked.shape}, scan of {scanned.shape}: expected one")

    axes = axes_to_canonical(affine)
    t1, brain = to_canonical(scanned, *axes), to_canonical(marked > 0.5, *axes)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[list(axes[0])]
    wanted = np.array(recipe["spacing"])
    full, canonical = t1.shape, t1.shape
    if not np.allclose(spacing, wanted, rtol=0, atol=1e-3):
        full = tuple(np.ceil(np.array(full) * spacing / wanted - 1e-3).astype(int))
        t1 = resample(t1, spacing, full, wanted)
        brain = resample(brain.astype(np.float32), spacing, full, wanted) > 0.5

    # The intensity window is that of the brain's middle.
    voxels = np.argwhere(brain)
    from_centre = np.linalg.norm((voxels - voxels.mean(axis=0)) * wanted, axis=1)
    near = tuple(voxels[from_centre <= recipe["radius_mm"]].T)
    low, high = np.percentile(t1[near], recipe["percentiles"])
    unit = np.clip(2 * (t1 - low) / (high - low) - 1, -1, 1).astype(np.float32)

    start, size = box_of(recipe, unit, brain)
    before, after = np.maximum(-start, 0), np.maximum(start + size - full, 0)
    field = np.pad(unit, np.stack([before, after], axis=1), constant_values=-1)
    box = span(start + before, size)
    target = session.run(["target"], {"source": field[box][None, None]})[0][0, 0]
    flair = np.zeros_like(field)
    flair[box] = np.clip((target + 1) / 2, 0, 1)
    flair = flair[span(before, full)]

    if full != canonical:
        flair = resample(flair, wanted, canonical, spacing)
    write_nifti(output, order, header, from_canonical(flair, *axes))


if __name__ == "__main__":
    main(*sys.argv[1:])
