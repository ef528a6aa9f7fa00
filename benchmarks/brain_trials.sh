#!/usr/bin/env bash
# What each part of the start from a linear model is worth: the table of docs/explanation/synthesis.md.
# DATA is a CSV of the cohort with a column "split". Prints the last validation of each run.
# usage: benchmarks/brain_trials.sh DATA OUT
set -euo pipefail
data=$(realpath "$1")
out=$(realpath -m "$2")
cd "$(dirname "$0")"
run() {
    local name=$1
    shift
    hagan-clinic train --config brain_trials.toml --data "$data" --cache "$out/cache" -o "$out/$name" "$@" \
        > "$out/$name.log" 2>&1
    echo "$name: $(grep best "$out/$name.log" | tail -1)"
}
mkdir -p "$out"
run in_turn --set components=false --set end_to_end=false --set adversarial_start=0.0 --set context=0 \
    --set encoder_loss_to_generator=true --set weight_prior=4.0
run end_to_end --set components=false
run linear --set steps=1 --set generator_lr=1e-9
run components_l1 --set reconstruction=l1
run components_huber
