#!/usr/bin/env bash
# The unconditional HA-GAN on one cohort: trained, then everything docs/explanation/synthesis.md
# shows of it. COHORT is a folder as `train` reads it, with split.csv and brain_mask.nii.gz.
#
#   benchmarks/unconditional_run.sh $HAGAN_TEST_DATA/lgg_mni OUT [STEPS]
#
# A run that was stopped goes on where it was; what comes after the training is made anew.
set -euo pipefail

cohort="$1" out="$2" steps="${3:-1600}"
mask="$cohort/brain_mask.nii.gz"
mkdir -p "$out"

hagan-clinic train --mode unconditional --preset cpu --steps "$steps" \
    --data "$cohort" --split "$cohort/split.csv" -o "$out/run" --cache "$out/cache"

{
    echo "subject,t1,mask"
    while IFS=, read -r subject side _; do
        if [ "${side%$'\r'}" = test ]; then
            echo "$subject,$cohort/$subject/${subject}_t1.nii.gz,$mask"
        fi
    done < "$cohort/split.csv"
} > "$out/test.csv"

hagan-clinic sample "$out/run" -o "$out/samples" -n 12 --montage --overwrite
hagan-clinic reconstruct "$out/run" "$out/test.csv" -o "$out/back" --montage --overwrite
hagan-clinic encode "$out/run" "$cohort" --mask "$mask" -o "$out/latents.npz" --overwrite
hagan-clinic latent map "$out/run" --real "$out/latents.npz" -o "$out/map.png" --overwrite
hagan-clinic latent measure "$cohort" --lesions -o "$out/volumes.csv" --overwrite
for measure in brain_ml lesion_ml; do
    hagan-clinic latent fit "$out/latents.npz" "$out/volumes.csv" --measure "$measure" \
        -o "$out/$measure.npz" --overwrite
done
hagan-clinic latent walk "$out/run" "$out/brain_ml.npz" -o "$out/walk" \
    --measure-by threshold-volume --overwrite
