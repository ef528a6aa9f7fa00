#!/usr/bin/env bash
# Makes the bundled generator again: DATA is the lgg_mni folder (74 patients, split.csv).
# usage: export/t1_to_flair/train.sh DATA RUN
set -euo pipefail
data=$1 run=$2
here=$(cd "$(dirname "$0")" && pwd)
hagan-clinic train --config "$here/train.toml" --data "$data" --split "$data/split.csv" -o "$run"
hagan-clinic export "$run" -o "$here/t1_to_flair.onnx" --card "$here/card.toml" --overwrite \
    --check "$here/../../examples/open_ms_patient07/open_ms_patient07_t1.nii.gz"
(cd "$here" && sha256sum t1_to_flair.onnx card.toml > SHA256)
