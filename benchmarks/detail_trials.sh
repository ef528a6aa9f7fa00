#!/usr/bin/env bash
# What each part of the detail of the bundled brains is worth, each left out of export/brain/train.toml
# at 32 cubed for so many STEPS: the table of docs/explanation/synthesis.md. DATA is a CSV of the cohort
# with a column "split". The evaluation needs the extra [features].
# usage: benchmarks/detail_trials.sh DATA OUT [STEPS]
set -euo pipefail
data=$(realpath "$1")
out=$(realpath -m "$2")
steps=${3:-100}
cd "$(dirname "$0")/../export/brain"
run() {
    local name=$1
    shift
    if [ ! -e "$out/$name/best" ]; then
        hagan-clinic train --config train.toml --data "$data" --cache "$out/cache" -o "$out/$name" \
            --size 32 --spacing 6 --slab 8 --set latent=64 --set component_draws=512 \
            --steps "$steps" --validate-every "$steps" "$@"
    fi
}
mkdir -p "$out"
run linear --set discriminator=slab --set weight_features=0.0 --set adversarial_start=1.0 --set refinements=0
run whole
run no_refinements --set refinements=0
run slab_discriminator --set discriminator=slab --set weight_features=0.0
run no_features --set weight_features=0.0
run no_coarse --set weight_coarse=0.0
models=("$out"/{linear,whole,no_refinements,slab_discriminator,no_features,no_coarse})
hagan-clinic evaluate synthesis "${models[@]}" "$data" --features hd-bet --side all -n 48 -o "$out/results" --overwrite
hagan-clinic evaluate encoding "${models[@]}" "$data" -o "$out/encoding" --overwrite
