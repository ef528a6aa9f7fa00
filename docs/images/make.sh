#!/usr/bin/env bash
# Makes the README's picture: the shipped sample, translated by the bundled generator.
set -euo pipefail
cd "$(dirname "$0")/../.."
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
hagan-clinic translate examples/open_ms_patient07/open_ms_patient07_t1.nii.gz \
    -o "$scratch/flair.nii.gz" --preview docs/images/translation.png --overwrite
