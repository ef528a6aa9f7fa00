#!/usr/bin/env bash
# What each part of the detail of the bundled brains is worth, each left out of export/brain/train.toml
# for so many STEPS: the table of docs/explanation/synthesis.md. DATA is a CSV of the cohort with a
# column "split". The evaluation needs the extra [features].
# usage: benchmarks/detail_trials.sh DATA OUT [STEPS]
set -euo pipefail
data=$(realpath "$1")
out=$(realpath -m "$2")
steps=${3:-120}
cd "$(dirname "$0")/../export/brain"
run() {
    local name=$1
    shift
    if [ ! -e "$out/$name/best" ]; then
        hagan-clinic train --config train.toml --data "$data" --cache "$out/cache" -o "$out/$name" \
            --steps "$steps" --validate-every "$steps" --set ema=0.98 "$@"
    fi
}
mkdir -p "$out"
run linear --set adversarial_start=1.0 --set refinements=0
run whole --set seed=0
run no_refinements --set refinements=0
run slab_discriminator --set discriminator=slab --set weight_features=0.0
run no_features --set weight_features=0.0
run no_coarse --set weight_coarse=0.0
hagan-clinic evaluate synthesis "$out"/{linear,whole,no_refinements,slab_discriminator,no_features,no_coarse} \
    "$data" --features hd-bet --side all -n 48 -o "$out/results"
hagan-clinic evaluate encoding "$out"/{linear,whole,no_refinements,slab_discriminator,no_features,no_coarse} \
    "$data" -o "$out/encoding"
