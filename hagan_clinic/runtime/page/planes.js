// Planes, colours and slices: from bytes (D, H, W), inferior to superior, posterior to anterior,
// left to right, to pixels. Both axes of every picture run against those of the volume.
const PLANES = [
  { name: "axial", axis: 0, x: 2, y: 1, sides: "RLAP" },
  { name: "coronal", axis: 1, x: 2, y: 0, sides: "RLSI" },
  { name: "sagittal", axis: 2, x: 1, y: 0, sides: "APSI" },
];

const packed = (r, g, b) => (255 << 24) | (b << 16) | (g << 8) | r; // canvases are little-endian RGBA

const INFERNO = [[0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85],
  [227, 89, 51], [249, 140, 10], [249, 201, 50], [252, 255, 164]];
const BLUE_RED = [[70, 150, 255], [30, 60, 160], [0, 0, 0], [160, 40, 30], [255, 120, 70]];
const GREY = [[0, 0, 0], [255, 255, 255]];

// 256 colours between anchors.
function ramp(anchors) {
  return Uint32Array.from({ length: 256 }, (_, level) => {
    const at = (level / 255) * (anchors.length - 1);
    const below = Math.min(Math.floor(at), anchors.length - 2);
    const mixed = anchors[below].map((v, i) => v + (at - below) * (anchors[below + 1][i] - v));
    return packed(...mixed.map(Math.round));
  });
}
const RAMPS = { grey: ramp(GREY), inferno: ramp(INFERNO), difference: ramp(BLUE_RED) };

async function unpacked(element) {
  const text = atob(element.textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const valueOf = (picture, byte) => picture.low + picture.step * byte;

// Where in its window each byte lies, from 0 to 1.
function windowed(picture) {
  const [low, high] = picture.window.range;
  return Float32Array.from({ length: 256 }, (_, byte) =>
    Math.min(1, Math.max(0, (valueOf(picture, byte) - low) / Math.max(high - low, 1e-9))));
}

// The pixels of a slice; colourOf takes the index of a voxel.
function slicePixels(shape, plane, index, colourOf) {
  const strides = [shape[1] * shape[2], shape[2], 1];
  const [wide, tall] = [shape[plane.x], shape[plane.y]];
  const image = new ImageData(wide, tall);
  const pixels = new Uint32Array(image.data.buffer);
  for (let y = 0, at = 0; y < tall; y++) {
    let voxel = index * strides[plane.axis] + (tall - 1 - y) * strides[plane.y] + (wide - 1) * strides[plane.x];
    for (let x = 0; x < wide; x++, voxel -= strides[plane.x]) pixels[at++] = colourOf(voxel);
  }
  return image;
}
