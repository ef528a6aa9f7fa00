// An exported translator run from its own metadata, with onnxruntime-node alone:
//
//   ONNXRUNTIME_NODE_INSTALL_CUDA=skip npm install
//   node translate.js t1_to_flair.onnx t1.nii.gz brain_mask.nii.gz flair.nii.gz
//
// It gives what `hagan-clinic translate t1.nii.gz --mask brain_mask.nii.gz -o flair.nii.gz` gives.
// What it leaves to you: it reads single little-endian NIfTI-1 files with an sform alone, checks
// nothing that `translate` would refuse or warn of, holds the whole volume in memory, and writes no
// provenance but the words in `descrip`. Not for diagnosis.

import { readFileSync } from "node:fs";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { axesToCanonical, each, fromCanonical, product, resample, spacingOf, toCanonical } from "./grid.js";
import { recipeOf } from "./metadata.js";
import { readNifti, writeNifti } from "./nifti.js";

const HEAD = -0.7; // what is brighter in the network's input is head, not air
const TIP_PART = 0.002; // a slice of the head has this part of the fullest one's voxels

async function main(modelFile, t1File, maskFile, output) {
  const recipe = recipeOf(readFileSync(modelFile));
  const session = await InferenceSession.create(modelFile);
  const scan = readNifti(t1File);
  const mask = readNifti(maskFile).volume;
  if (String(mask.shape) !== String(scan.volume.shape))
    throw new Error(`mask of ${mask.shape}, scan of ${scan.volume.shape}: expected one shape`);
  mask.data.forEach((value, i) => (mask.data[i] = value > 0.5 ? 1 : 0));

  const axes = axesToCanonical(scan.affine);
  let t1 = toCanonical(scan.volume, axes);
  let brain = toCanonical(mask, axes);
  const canonical = t1.shape;
  const spacing = axes.order.map((axis) => spacingOf(scan.affine)[axis]);
  const wanted = recipe.spacing;
  const resamples = spacing.some((step, axis) => Math.abs(step - wanted[axis]) > 1e-3);
  if (resamples) {
    const full = canonical.map((n, axis) => Math.ceil((n * spacing[axis]) / wanted[axis] - 1e-3));
    t1 = resample(t1, spacing, full, wanted);
    brain = resample(brain, spacing, full, wanted);
  }
  const inside = (i) => brain.data[i] > 0.5;

  // The intensity window is that of the brain's middle.
  const { centre, low: first, high: last } = extent(brain.shape, inside);
  const near = [];
  each(t1.shape, (d, h, w, i) => {
    const away = [d, h, w].map((n, axis) => (n - centre[axis]) * wanted[axis]);
    if (inside(i) && Math.hypot(...away) <= recipe.radius_mm) near.push(t1.data[i]);
  });
  near.sort((a, b) => a - b);
  const [low, high] = recipe.percentiles.map((percent) => percentile(near, percent));

  const unit = t1.data.map((value) => clip((2 * (value - low)) / (high - low) - 1, -1, 1));
  const { start, size } = boxOf(recipe, { ...t1, data: unit }, inside, first, last);
  const place = (d, h, w) => {
    const index = [d + start[0], h + start[1], w + start[2]];
    const outside = index.some((n, axis) => n < 0 || n >= t1.shape[axis]);
    return outside ? -1 : (index[0] * t1.shape[1] + index[1]) * t1.shape[2] + index[2];
  };
  const source = new Float32Array(product(size)).fill(-1);
  each(size, (d, h, w, i) => {
    const from = place(d, h, w);
    if (from >= 0) source[i] = unit[from];
  });
  const feeds = { source: new Tensor("float32", source, [1, 1, ...size]) };
  const { target } = await session.run(feeds, ["target"]);

  let flair = { ...t1, data: new Float32Array(t1.data.length) };
  each(size, (d, h, w, i) => {
    const to = place(d, h, w);
    if (to >= 0) flair.data[to] = clip((target.data[i] + 1) / 2, 0, 1);
  });
  if (resamples) flair = resample(flair, wanted, canonical, spacing);
  writeNifti(output, scan.header, fromCanonical(flair, axes, scan.volume));
}

/** First voxel and size of the network's field: `box`, or where it grows, what holds the head. */
function boxOf(recipe, unit, inside, first, last) {
  const size = [...recipe.box];
  const start = size.map((side, axis) => Math.floor((first[axis] + last[axis] + 1 - side) / 2));
  if (!recipe.box_grows) return { start, size };
  const lowest = start[0];
  const counts = unit.shape.map((side) => Array(side).fill(0));
  each(unit.shape, (d, h, w, i) => {
    if (inside(i) || (d >= lowest && unit.data[i] > HEAD))
      [d, h, w].forEach((n, axis) => (counts[axis][n] += 1));
  });
  size.forEach((side, axis) => {
    const least = Math.max(TIP_PART * Math.max(...counts[axis]), 1);
    const from = counts[axis].findIndex((count) => count >= least);
    const to = counts[axis].findLastIndex((count) => count >= least) + 1;
    const margin = Math.ceil(recipe.margin_mm / recipe.spacing[axis]);
    const low = axis === 0 ? Math.max(from - margin, Math.min(lowest, from)) : from - margin;
    const high = to + margin;
    const longest = Math.floor(Math.floor((side * 3) / 2) / recipe.multiple);
    size[axis] = Math.min(Math.ceil((high - low) / recipe.multiple), longest) * recipe.multiple;
    const centred = Math.floor((low + high - size[axis]) / 2);
    start[axis] = axis === 0 ? Math.max(low, high - size[axis]) : centred;
  });
  return { start, size };
}

/** Centre of mass, and first and last index of what is inside along each axis. */
function extent(shape, inside) {
  const sum = [0, 0, 0];
  const low = [...shape];
  const high = [-1, -1, -1];
  let count = 0;
  each(shape, (d, h, w, i) => {
    if (!inside(i)) return;
    count += 1;
    [d, h, w].forEach((n, axis) => {
      sum[axis] += n;
      low[axis] = Math.min(low[axis], n);
      high[axis] = Math.max(high[axis], n);
    });
  });
  if (!count) throw new Error("the brain mask is empty");
  return { centre: sum.map((total) => total / count), low, high };
}

/** Of sorted values, interpolated as numpy does. */
function percentile(sorted, percent) {
  const place = (percent / 100) * (sorted.length - 1);
  const low = Math.floor(place);
  const next = sorted[Math.min(low + 1, sorted.length - 1)];
  return sorted[low] + (next - sorted[low]) * (place - low);
}

const clip = (value, low, high) => Math.min(Math.max(value, low), high);

await main(...process.argv.slice(2));
