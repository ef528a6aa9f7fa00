#!/usr/bin/env bash
# The bundled brains from the first step on, and both files of the result. DATA is a CSV of the cohort
# with a column "split" (README.md).
# usage: export/brain/train.sh DATA RUN
set -euo pipefail
data=$(realpath "$1")
run=$(realpath -m "$2")
# From here, where no hagan-clinic.toml of the caller's adds settings of its own.
cd "$(dirname "$0")"
hagan-clinic train --config train.toml --data "$data" -o "$run"
for part in generator encoder; do
    hagan-clinic export "$run" -o "$part.onnx" --part "$part" --half --card card.toml --overwrite
done
sha256sum generator.onnx encoder.onnx card.toml > SHA256
