// Single NIfTI-1 files with an sform, little-endian: header, voxels as float32, affine.

import { readFileSync, writeFileSync } from "node:fs";
import { gunzipSync, gzipSync } from "node:zlib";

const READERS = {
  2: [1, (b, o) => b.readUInt8(o)],
  4: [2, (b, o) => b.readInt16LE(o)],
  8: [4, (b, o) => b.readInt32LE(o)],
  16: [4, (b, o) => b.readFloatLE(o)],
  64: [8, (b, o) => b.readDoubleLE(o)],
  256: [1, (b, o) => b.readInt8(o)],
  512: [2, (b, o) => b.readUInt16LE(o)],
  768: [4, (b, o) => b.readUInt32LE(o)],
};

const HEADER = 348;
const WORDS = "SYNTHETIC, NOT FOR DIAGNOSIS";

export function readNifti(path) {
  const file = readFileSync(path);
  const content = path.endsWith(".gz") ? gunzipSync(file) : file;
  if (content.readInt32LE(0) !== HEADER) throw new Error(`${path}: expected little-endian NIfTI-1`);
  if (content.readInt16LE(254) < 1) throw new Error(`${path}: no sform; expected one`);
  const shape = [0, 1, 2].map((axis) => content.readInt16LE(42 + 2 * axis));
  const [size, read] = READERS[content.readInt16LE(70)];
  const offset = content.readFloatLE(108);
  const [slope, intercept] = [content.readFloatLE(112), content.readFloatLE(116)];
  const scaled = slope !== 0 && (slope !== 1 || intercept !== 0);
  const affine = [0, 1, 2].map((row) =>
    [0, 1, 2, 3].map((column) => content.readFloatLE(280 + 4 * (4 * row + column))),
  );
  const data = new Float32Array(shape[0] * shape[1] * shape[2]);
  for (let i = 0; i < data.length; i++) {
    const value = read(content, offset + size * i);
    data[i] = scaled ? Math.fround(Math.fround(value) * slope) + intercept : value;
  }
  // The first index of a NIfTI file is the fastest.
  const strides = [1, shape[0], shape[0] * shape[1]];
  return { header: content.subarray(0, HEADER), volume: { data, shape, strides }, affine };
}

/** A float32 file with the geometry of the header; the volume's first index is the fastest. */
export function writeNifti(path, header, data) {
  const content = Buffer.alloc(HEADER + 4 + 4 * data.length);
  header.copy(content);
  [3, ...[0, 1, 2].map((a) => header.readInt16LE(42 + 2 * a)), 1, 1, 1, 1].forEach((n, i) =>
    content.writeInt16LE(n, 40 + 2 * i),
  );
  content.writeInt16LE(16, 70);
  content.writeInt16LE(32, 72);
  [HEADER + 4, 1, 0].forEach((value, i) => content.writeFloatLE(value, 108 + 4 * i));
  [0, 0].forEach((value, i) => content.writeFloatLE(value, 124 + 4 * i)); // display range
  content.fill(0, 148, 228);
  content.write(WORDS, 148, "latin1");
  content.write("n+1\0", 344, "latin1");
  data.forEach((value, i) => content.writeFloatLE(value, HEADER + 4 + 4 * i));
  writeFileSync(path, path.endsWith(".gz") ? gzipSync(content) : content);
}
