// Orientation and resampling of volumes { data, shape, strides }; every function gives C order.

export const product = (numbers) => numbers.reduce((a, b) => a * b, 1);
const cOrder = (shape) => [shape[1] * shape[2], shape[2], 1];
const PERMUTATIONS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/** Array axis and flip for each of (inferior-superior, posterior-anterior, left-right). */
export function axesToCanonical(affine) {
  const lengths = spacingOf(affine);
  const cosine = (row, axis) => affine[2 - row][axis] / lengths[axis];
  const fit = (order) => order.reduce((sum, axis, row) => sum + Math.abs(cosine(row, axis)), 0);
  const order = PERMUTATIONS.reduce((best, next) => (fit(next) > fit(best) ? next : best));
  return { order, flips: order.map((axis, row) => cosine(row, axis) < 0) };
}

/** Distance in mm between neighbours along each array axis. */
export function spacingOf(affine) {
  return [0, 1, 2].map((axis) => Math.hypot(...affine.map((row) => row[axis])));
}

/** (i, j, k) -> (D, H, W). */
export function toCanonical({ data, shape, strides }, { order, flips }) {
  const sizes = order.map((axis) => shape[axis]);
  const steps = order.map((axis, row) => (flips[row] ? -1 : 1) * strides[axis]);
  const first = order.reduce(
    (sum, axis, row) => sum + (flips[row] ? (shape[axis] - 1) * strides[axis] : 0), 0,
  );
  const result = new Float32Array(data.length);
  each(sizes, (d, h, w, i) => {
    result[i] = data[first + d * steps[0] + h * steps[1] + w * steps[2]];
  });
  return { data: result, shape: sizes, strides: cOrder(sizes) };
}

/** The inverse of `toCanonical`, as voxels of a grid with these strides. */
export function fromCanonical({ data, shape }, { order, flips }, original) {
  const result = new Float32Array(data.length);
  each(shape, (d, h, w, i) => {
    const place = [d, h, w].reduce((sum, n, row) => {
      const axis = order[row];
      return sum + (flips[row] ? shape[row] - 1 - n : n) * original.strides[axis];
    }, 0);
    result[place] = data[i];
  });
  return result;
}

/** Trilinear, to a shape of another spacing about the same centre. */
export function resample(volume, spacing, shape, wanted) {
  return [0, 1, 2].reduce((from, axis) => {
    const rows = resampling(from.shape[axis], shape[axis], wanted[axis] / spacing[axis]);
    const sizes = from.shape.map((size, other) => (other === axis ? shape[axis] : size));
    const data = new Float32Array(product(sizes));
    each(sizes, (d, h, w, i) => {
      const index = [d, h, w];
      const row = rows[index[axis]];
      index[axis] = 0;
      const start = index.reduce((sum, n, other) => sum + n * from.strides[other], 0);
      let sum = 0;
      for (const [place, weight] of row) sum += weight * from.data[start + place * from.strides[axis]];
      data[i] = sum;
    });
    return { data, shape: sizes, strides: cOrder(sizes) };
  }, volume);
}

/** For each new voxel the old ones and their weights: smoothing where needed, then interpolation.
 *  New voxels beyond half an old one outside the field of view take nothing. */
function resampling(old, size, ratio) {
  const weights = ratio > 1.2 ? gaussian((ratio ** 2 - 1) / (8 * Math.log(2))) : [1];
  const reach = (weights.length - 1) / 2;
  const clamp = (place) => Math.min(Math.max(place, 0), old - 1);
  return Array.from({ length: size }, (_, number) => {
    const place = (number - (size - 1) / 2) * ratio + (old - 1) / 2;
    if (place < -0.5 || place >= old - 0.5) return [];
    const low = Math.floor(clamp(place));
    const share = clamp(place) - low;
    return [[low, 1 - share], [clamp(low + 1), share]].flatMap(([middle, part]) =>
      weights.map((weight, i) => [clamp(middle + i - reach), part * weight]),
    );
  });
}

/** The discrete Gaussian (Lindeberg 1990) as weights around the middle, to 1e-3. */
function gaussian(variance) {
  const points = 512; // exp(-t) I_n(t), as the mean of exp(t cos) cos(n .) over the circle
  const at = (n) => {
    let sum = 0;
    for (let i = 0; i < points; i++) {
      const angle = (2 * Math.PI * i) / points;
      sum += Math.exp(variance * (Math.cos(angle) - 1)) * Math.cos(n * angle);
    }
    return sum / points;
  };
  const half = [at(0)];
  const total = () => half.reduce((sum, value, n) => sum + (n ? 2 : 1) * value, 0);
  while (total() < 1 - 1e-3) half.push(at(half.length));
  const all = [...half.slice(1).reverse(), ...half];
  return all.map((value) => value / total());
}

/** Calls visit(d, h, w, i) for every voxel in C order. */
export function each([depth, height, width], visit) {
  let i = 0;
  for (let d = 0; d < depth; d++)
    for (let h = 0; h < height; h++) for (let w = 0; w < width; w++) visit(d, h, w, i++);
}
