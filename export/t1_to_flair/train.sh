#!/usr/bin/env bash
# Makes the bundled generator again: DATA is the lgg_mni folder (74 patients, split.csv).
# usage: export/t1_to_flair/train.sh DATA RUN
set -euo pipefail
data=$(cd "$1" && pwd)
case $2 in /*) run=$2 ;; *) run=$PWD/$2 ;; esac
# From here, where no hagan-clinic.toml of the caller's adds settings of its own.
cd "$(dirname "$0")"
hagan-clinic train --config train.toml --data "$data" --split "$data/split.csv" -o "$run"
hagan-clinic export "$run" -o t1_to_flair.onnx --card card.toml --overwrite \
    --check ../../examples/open_ms_patient07/open_ms_patient07_t1.nii.gz
sha256sum t1_to_flair.onnx card.toml > SHA256
