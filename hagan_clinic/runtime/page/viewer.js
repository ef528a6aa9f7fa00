// The viewer of one subject: a column an image, a row a plane, one crosshair through all.
const subjects = JSON.parse(document.getElementById("facts").textContent);
const find = (selector) => document.querySelector(selector);
const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
const view = { number: -1, subject: null, at: [0, 0, 0], plane: PLANES[0], columns: [], blinking: false };

const mode = () => find("input[name=mode]:checked").value;
const rounded = (value, step) => value.toFixed(Math.min(4, Math.max(0, Math.ceil(-Math.log10(step)))));

// Images in one unit share a window: synthetic and real.
function windowsOf(subject) {
  let unit = null;
  for (const picture of subject.pictures) {
    const made = { first: picture.opening, range: [...picture.opening] };
    if (picture.kind === "source" || picture.kind === "error bar") picture.window = made;
    else picture.window = unit ??= made;
  }
}

async function show(number) {
  const subject = subjects[number];
  view.number = number; // what is asked for last wins, however long the others take
  delete document.body.dataset.shown;
  const bytes = await Promise.all(subject.pictures.map((_, place) =>
    unpacked(document.getElementById(`volume-${number}-${place}`))));
  if (view.number !== number) return;
  view.subject?.pictures.forEach((picture) => delete picture.bytes); // one subject in memory
  view.subject = subject;
  subject.pictures.forEach((picture, place) => { picture.bytes = bytes[place]; });
  windowsOf(subject);
  view.at = subject.shape.map((size) => size >> 1);
  find("#subject").textContent = subject.name;
  find("#warnings").replaceChildren(...[subject.problem ?? [], subject.warnings].flat().map((text) => element("li", { textContent: text })));
  build();
  draw();
  subjectShown();
  document.body.dataset.shown = number;
}

function build() {
  const { pictures, shape, spacing } = view.subject;
  if (!pictures.length) { // a scan that failed
    view.columns = [];
    ["#viewer", "#sliders", "#first", "#second", "#place"].forEach((name) => find(name).replaceChildren());
    return;
  }
  const names = pictures.map((picture) => `${picture.kind === "error bar" ? "" : picture.name + ", "}${picture.kind}`);
  for (const [select, chosen] of [["#first", "synthetic"], ["#second", "real"]]) {
    const wanted = pictures.findIndex((picture) => picture.kind === chosen);
    find(select).replaceChildren(...names.map((name, value) => element("option", { value, textContent: name })));
    find(select).value = Math.max(wanted, 0);
  }
  const widest = Math.max(...PLANES.map((plane) => shape[plane.x] * spacing[plane.x]));
  view.columns = [...pictures, null].map((picture, place) => {
    const output = element("output");
    const title = element("span", { textContent: picture ? names[place] : "" });
    const canvases = PLANES.map((plane) => {
      const [wide, tall] = [plane.x, plane.y].map((axis) => Math.round(2 * shape[axis] * spacing[axis]));
      const canvas = element("canvas", { width: wide, height: tall, tabIndex: 0 });
      canvas.style.width = `${(50 * wide) / widest}%`;
      canvas.setAttribute("aria-label", `${plane.name}, ${picture ? names[place] : "comparison"}`);
      listen(canvas, plane, picture);
      return canvas;
    });
    const figure = element("figure", {}, element("figcaption", {}, title, output), ...canvases);
    if (picture) figure.append(windowSliders(picture));
    return { picture, title, output, canvases };
  });
  find("#viewer").replaceChildren(...view.columns.map((column) => column.title.closest("figure")));
  find("#sliders").replaceChildren(...PLANES.map((plane) => {
    const slider = element("input", { type: "range", min: 0, max: shape[plane.axis] - 1, value: view.at[plane.axis] });
    slider.dataset.axis = plane.axis;
    slider.oninput = () => { view.plane = plane; view.at[plane.axis] = +slider.value; draw(); };
    return element("label", {}, `${plane.name} slice `, slider);
  }));
}

function windowSliders(picture) {
  const top = Math.max(valueOf(picture, 255), picture.window.first[1]);
  const box = element("div", { className: "window" });
  ["low", "high"].forEach((end, which) => {
    const slider = element("input", { type: "range", min: picture.low, max: top, step: "any", title: `window, ${end} end` });
    slider.setAttribute("aria-label", `window of ${picture.name} ${picture.kind}, ${end} end`);
    slider.value = picture.window.range[which];
    slider.oninput = () => { picture.window.range[which] = +slider.value; draw(); };
    slider.follow = () => { slider.value = picture.window.range[which]; };
    box.append(slider);
  });
  return box;
}

function listen(canvas, plane, picture) {
  const { shape } = view.subject;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const part = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    [plane.x, plane.y].forEach((axis, i) => move(axis, shape[axis] - 1 - Math.floor(part[i] * shape[axis]), true));
    draw();
  };
  canvas.onpointerdown = (event) => {
    view.plane = plane;
    canvas.setPointerCapture(event.pointerId);
    if (event.button === 0) place(event);
  };
  canvas.onpointermove = (event) => {
    if (event.buttons === 1) place(event);
    if (event.buttons === 2 && picture) {
      const { range, first } = picture.window;
      const unit = (first[1] - first[0]) / 300;
      range[0] += (event.movementY - event.movementX) * unit;
      range[1] = Math.max(range[1] + (event.movementY + event.movementX) * unit, range[0] + unit);
      draw();
    }
  };
  canvas.oncontextmenu = (event) => event.preventDefault();
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    view.plane = plane;
    move(plane.axis, -Math.sign(event.deltaY));
    draw();
  }, { passive: false });
  canvas.onfocus = () => { view.plane = plane; };
}

function move(axis, by, absolute = false) {
  const to = absolute ? by : view.at[axis] + by;
  view.at[axis] = Math.min(view.subject.shape[axis] - 1, Math.max(0, to));
}

// Colours of a column, and what its caption says.
function content(picture, voxel) {
  const { pictures } = view.subject;
  if (picture) {
    const inWindow = windowed(picture);
    const colours = RAMPS[picture.kind === "error bar" ? "inferno" : "grey"];
    const table = Uint32Array.from(inWindow, (part) => colours[Math.round(255 * part)]);
    const byte = picture.bytes[voxel];
    const value = valueOf(picture, byte);
    let text = (byte === 255 ? "≥ " : "") + rounded(value, picture.step);
    if (picture.scanner) text += ` (scanner ${rounded(picture.scanner[0] + value * (picture.scanner[1] - picture.scanner[0]), 1)})`;
    return { colourOf: (at) => table[picture.bytes[at]], text, value };
  }
  const [first, second] = ["#first", "#second"].map((name) => pictures[+find(name).value]);
  if (mode() === "blink") {
    const shown = view.blinking ? second : first;
    return { ...content(shown, voxel), title: `blink: ${shown.name}, ${shown.kind}` };
  }
  const alike = first.window === second.window;
  // A synthetic image ends at 0, where a real one goes on into its air.
  const parts = [first, second].map((one) => alike
    ? Float32Array.from({ length: 256 }, (_, byte) => Math.max(0, valueOf(one, byte))) : windowed(one));
  const differ = (at) => parts[0][first.bytes[at]] - parts[1][second.bytes[at]];
  const value = differ(voxel);
  return {
    colourOf: (at) => RAMPS.difference[Math.round(127.5 + 255 * Math.min(0.5, Math.max(-0.5, differ(at))))],
    text: value.toFixed(3), value,
    title: alike ? "difference, ±0.5" : "difference of window levels, ±0.5",
  };
}

function draw() {
  const { shape, affine } = view.subject;
  if (!view.columns.length) return;
  const voxel = (view.at[0] * shape[1] + view.at[1]) * shape[2] + view.at[2];
  const mm = affine.slice(0, 3).map((row) => row[3] + row.slice(0, 3).reduce((sum, v, i) => sum + v * view.at[i], 0));
  find("#place").textContent = `R ${mm[0].toFixed(1)}  A ${mm[1].toFixed(1)}  S ${mm[2].toFixed(1)} mm`;
  find("#place").dataset.mm = mm.join(" ");
  for (const { picture, title, output, canvases } of view.columns) {
    const shown = content(picture, voxel);
    if (shown.title) title.textContent = shown.title;
    output.textContent = shown.text;
    output.dataset.value = shown.value;
    canvases.forEach((canvas, row) => paint(canvas, PLANES[row], shown.colourOf, picture));
  }
  document.querySelectorAll("#sliders input").forEach((slider) => { slider.value = view.at[slider.dataset.axis]; });
  document.querySelectorAll(".window input").forEach((slider) => slider.follow());
}

function paint(canvas, plane, colourOf, picture) {
  const { shape } = view.subject;
  const image = slicePixels(shape, plane, view.at[plane.axis], colourOf);
  const small = new OffscreenCanvas(image.width, image.height);
  small.getContext("2d").putImageData(image, 0, 0);
  const pen = canvas.getContext("2d");
  const { width, height } = canvas;
  pen.imageSmoothingEnabled = false;
  pen.drawImage(small, 0, 0, width, height);
  const x = ((shape[plane.x] - 0.5 - view.at[plane.x]) / shape[plane.x]) * width;
  const y = ((shape[plane.y] - 0.5 - view.at[plane.y]) / shape[plane.y]) * height;
  pen.fillStyle = "#50d0ffa0";
  pen.fillRect(x - 0.5, 0, 1, height);
  pen.fillRect(0, y - 0.5, width, 1);
  pen.fillStyle = "#c8ccd4";
  pen.font = "14px sans-serif";
  pen.textAlign = "center";
  const [left, right, top, bottom] = plane.sides;
  pen.fillText(left, 9, height / 2);
  pen.fillText(right, width - 9, height / 2);
  pen.fillText(top, width / 2, 14);
  pen.fillText(bottom, width / 2, height - 4);
  if (picture?.kind !== "source" && picture?.kind !== "real") {
    pen.fillStyle = "#ffb054";
    pen.textAlign = "left";
    pen.font = "11px sans-serif";
    pen.fillText("SYNTHETIC", 3, height - 4);
  }
}

setInterval(() => {
  if (view.subject && mode() === "blink") { view.blinking = !view.blinking; draw(); }
}, 600);

const ARROWS = { ArrowLeft: ["x", 1], ArrowRight: ["x", -1], ArrowUp: ["y", 1], ArrowDown: ["y", -1] };

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  const typing = target.matches("input[type=text], select") || (target.matches("input") && /^(Arrow|Page)/.test(key));
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !view.subject) return;
  if (key in ARROWS) move(view.plane[ARROWS[key][0]], ARROWS[key][1]);
  else if (key === "[" || key === "PageDown") move(view.plane.axis, -1);
  else if (key === "]" || key === "PageUp") move(view.plane.axis, 1);
  else if (key === "0") view.subject.pictures.forEach(({ window }) => { window.range = [...window.first]; });
  else if (key === "b" || key === "d") find(`input[value=${key === "b" ? "blink" : "difference"}]`).checked = true;
  else if (key === "n" || key === "p") return step(key === "n" ? 1 : -1);
  else if (key === "a" || key === "r") return judge(key === "a" ? "accept" : "reject");
  else return;
  event.preventDefault();
  draw();
});
find("#compare").addEventListener("input", () => draw());
