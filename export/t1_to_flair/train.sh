#!/usr/bin/env bash
# The last stage of the bundled generator's training, its export and its acceptance record. DATA is a
# CSV of the cohort with a column "split" (README.md), INIT what the stages before left: a run folder
# or a .onnx file. benchmarks/on_gpu.py trains one from the beginning on a GPU.
# usage: export/t1_to_flair/train.sh DATA INIT RUN
set -euo pipefail
data=$(realpath "$1")
init=$(realpath "$2")
run=$(realpath -m "$3")
# From here, where no hagan-clinic.toml of the caller's adds settings of its own.
cd "$(dirname "$0")"
hagan-clinic train --config train.toml --data "$data" --init "$init" -o "$run"
hagan-clinic export "$run" -o t1_to_flair.onnx --half --card card.toml --overwrite \
    --check ../../examples/open_ms_patient07/open_ms_patient07_t1.nii.gz

# What `hagan-clinic accept` compares with: the shipped T1, averaged to 2 mm, and what this makes of it.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python - "$scratch/t1.nii.gz" <<'END'
import sys
import nibabel
import numpy as np

image = nibabel.load("../../examples/open_ms_patient07/open_ms_patient07_t1.nii.gz")
voxels = np.asarray(image.dataobj)
d, h, w = (size // 2 for size in voxels.shape)
means = voxels[: 2 * d, : 2 * h, : 2 * w].reshape(d, 2, h, 2, w, 2).mean(axis=(1, 3, 5))
affine = image.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
affine[:3, 3] += image.affine[:3, :3] @ [0.5, 0.5, 0.5]
nibabel.save(nibabel.Nifti1Image(means.round().astype(np.int16), affine), sys.argv[1])
END
rm -f SHA256  # of the model before, which this one would be refused for
hagan-clinic accept t1_to_flair.onnx --record t1="$scratch/t1.nii.gz" --overwrite
sha256sum t1_to_flair.onnx card.toml acceptance/* > SHA256
