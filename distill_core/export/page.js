const data = JSON.parse(document.getElementById("data").textContent);
const network = new Network(data);
const [depth, height, width] = data.shape;
const GRID = 112, PEN = 9; // as the drawing pad of the lab
const $ = (selector) => document.querySelector(selector);
const pad = $(".pad"), paper = $(".pad canvas"), hidden = Object.assign(document.createElement("canvas"), { width: GRID, height: GRID });
let strokes = [], stroke = null;

document.title = data.title;
$("h1").textContent = data.title;
$(".facts").textContent = data.facts;

const cells = data.classes.map((name) => {
  const [label, track, percent] = ["label", "track", "percent"].map((kind) => Object.assign(document.createElement("div"), { className: kind }));
  const fill = Object.assign(document.createElement("div"), { className: "fill" });
  label.textContent = name;
  track.append(fill);
  $(".bars").append(label, track, percent);
  return { label, fill, percent };
});

function paint(canvas, pixels) { // D x H x W numbers from 0 to 255
  Object.assign(canvas, { width, height });
  const picture = new ImageData(width, height), area = width * height;
  for (let i = 0; i < area; i += 1) {
    for (let d = 0; d < 3; d += 1) picture.data[4 * i + d] = pixels[Math.min(d, depth - 1) * area + i];
    picture.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

function classify(pixels) {
  paint($(".seen"), pixels);
  const soft = softmax(network.logits(pixels)), top = soft.indexOf(Math.max(...soft));
  $(".prediction strong").textContent = data.classes[top];
  $(".prediction span").textContent = `${(100 * soft[top]).toFixed(1)} %`;
  $(".prediction").classList.toggle("long", data.classes[top].length > 8);
  cells.forEach(({ label, fill, percent }, c) => {
    for (const part of [label, percent]) part.classList.toggle("top", c === top);
    fill.style.width = `${100 * soft[c]}%`;
    percent.textContent = `${(100 * soft[c]).toFixed(1)} %`;
  });
}

function empty() {
  $(".prediction strong").textContent = $(".prediction span").textContent = "";
  const context = $(".seen").getContext("2d");
  context.clearRect(0, 0, width, height);
  cells.forEach(({ label, fill, percent }) => {
    fill.style.width = 0;
    percent.textContent = "";
    label.classList.remove("top");
  });
}

// --- drawing

function drawStrokes(canvas) {
  const side = canvas.width, context = canvas.getContext("2d", { willReadFrequently: canvas === hidden });
  context.clearRect(0, 0, side, side);
  Object.assign(context, { strokeStyle: "#fff", lineCap: "round", lineJoin: "round", lineWidth: (PEN * side) / GRID });
  for (const points of strokes) {
    context.beginPath();
    context.moveTo(points[0][0] * side, points[0][1] * side);
    for (const [x, y] of points) context.lineTo(x * side + 0.01, y * side); // a line of length 0 would not be drawn as a dot
    context.stroke();
  }
  return context;
}

function redraw() {
  const side = Math.round(pad.clientWidth * devicePixelRatio);
  if (paper.width !== side) Object.assign(paper, { width: side, height: side });
  drawStrokes(paper);
  pad.classList.toggle("used", strokes.length > 0);
  if (!strokes.length) { empty(); return; }
  const alpha = drawStrokes(hidden).getImageData(0, 0, GRID, GRID).data;
  const ink = Array.from({ length: GRID }, (_, y) => Array.from({ length: GRID }, (_, x) => alpha[4 * (y * GRID + x) + 3]));
  const image = centreDigit(ink, height).flat();
  if (image.some((value) => value > 0)) classify(image);
}

function point({ clientX, clientY }) {
  const box = paper.getBoundingClientRect();
  return [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
}

if (data.drawing) {
  $(".photo").remove();
  paper.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    paper.setPointerCapture(event.pointerId);
    stroke = [point(event)];
    strokes.push(stroke);
    redraw();
  });
  paper.addEventListener("pointermove", (event) => {
    if (!stroke) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) stroke.push(point(one));
    redraw();
  });
  for (const kind of ["pointerup", "pointercancel"]) paper.addEventListener(kind, () => { stroke = null; });
  $(".undo").addEventListener("click", () => { strokes.pop(); redraw(); });
  $(".clear").addEventListener("click", () => { strokes = []; redraw(); });
  addEventListener("resize", redraw);
  redraw();
} else {
  for (const one of [pad, $(".undo"), $(".clear")]) one.remove();
  $(".photo input").addEventListener("change", async ({ target }) => {
    const [file] = target.files;
    if (!file) return;
    try {
      classify(await fromPhoto(file));
    } catch {
      $(".prediction span").textContent = "this file is no picture that the browser can read";
    }
  });
}

async function fromPhoto(file) { // the square in its middle, scaled to the size of the images
  const picture = await createImageBitmap(file), side = Math.min(picture.width, picture.height);
  const canvas = Object.assign(document.createElement("canvas"), { width, height }), context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, (picture.width - side) / 2, (picture.height - side) / 2, side, side, 0, 0, width, height);
  const colours = context.getImageData(0, 0, width, height).data, area = width * height;
  const pixels = new Uint8Array(depth * area);
  for (let i = 0; i < area; i += 1) {
    const [red, green, blue] = colours.slice(4 * i, 4 * i + 3);
    if (depth === 3) [red, green, blue].forEach((value, d) => { pixels[d * area + i] = value; });
    else pixels[i] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
  }
  return pixels;
}

// --- test images

const examples = Uint8Array.from(atob(data.examples), (letter) => letter.charCodeAt(0)), size = depth * height * width;
for (let start = 0; start < examples.length; start += size) {
  const pixels = examples.subarray(start, start + size);
  const button = Object.assign(document.createElement("button"), { type: "button" }), canvas = document.createElement("canvas");
  button.setAttribute("aria-label", `test image ${start / size + 1}`);
  paint(canvas, pixels);
  button.append(canvas);
  button.addEventListener("click", () => { strokes = []; if (data.drawing) redraw(); classify(pixels); });
  $(".examples div").append(button);
}
