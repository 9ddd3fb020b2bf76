// A pad. Strokes are kept as lines, drawn sharp on the screen and once more on a small grid, whose grey pixels are sent.
// `data`: {grid, thickness, heard (the number of the last ink that the server had)}.

const PACE = 150, PATIENCE = 2000; // ms between two sends while drawing; after which an unheard one is given up

class DrawPad {
  constructor(root) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.strokes = [];
    this.number = 0;
    this.sentAt = 0;
    this.slider = root.querySelector(".thickness");
    this.buttons = { undo: root.querySelector(".undo"), clear: root.querySelector(".clear") };
    this.buttons.undo.addEventListener("click", () => this.change(this.strokes.slice(0, -1)));
    this.buttons.clear.addEventListener("click", () => this.change([]));
    this.canvas.addEventListener("pointerdown", (event) => this.down(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, (event) => this.up(event));
    new ResizeObserver(() => this.redraw()).observe(this.canvas);
  }

  show(data, send) {
    this.send = send;
    if (!this.data) {
      this.slider.value = data.thickness;
      this.small = Object.assign(document.createElement("canvas"), { width: data.grid, height: data.grid });
      this.number = data.heard; // a pad that comes back goes on counting
    }
    this.data = data;
    this.root.dataset.heard = data.heard;
    this.redraw();
  }

  // --- strokes: points from 0 to 1, thickness in pixels of the grid

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  down(event) {
    if (!event.isPrimary || event.button !== 0) return;
    event.preventDefault();
    try { this.canvas.setPointerCapture(event.pointerId); } catch { /* a pointer that is gone already */ }
    this.stroke = { points: [this.at(event)], thickness: Number(this.slider.value) };
    this.strokes.push(this.stroke);
    this.sentAt = performance.now();
    this.redraw();
  }

  move(event) {
    if (!this.stroke || !event.isPrimary) return;
    const passed = event.getCoalescedEvents?.() ?? [];
    for (const point of passed.length ? passed : [event]) this.stroke.points.push(this.at(point));
    this.redraw();
    const now = performance.now();
    const heard = this.data.heard >= this.number || now - this.sentAt > PATIENCE;
    if (heard && now - this.sentAt >= PACE) this.tell();
  }

  up(event) {
    if (!this.stroke || !event.isPrimary) return;
    this.stroke = undefined;
    this.tell();
  }

  change(strokes) {
    this.strokes = strokes;
    this.redraw();
    this.tell();
  }

  // --- ink

  redraw() {
    const inked = this.strokes.length > 0;
    this.root.classList.toggle("inked", inked);
    for (const button of Object.values(this.buttons)) button.disabled = !inked;
    const side = Math.round(this.canvas.clientWidth * devicePixelRatio);
    if (!this.data || !side) return;
    if (this.canvas.width !== side) Object.assign(this.canvas, { width: side, height: side });
    this.ink(this.canvas);
  }

  ink(canvas) {
    const side = canvas.width;
    const pen = canvas.getContext("2d", { willReadFrequently: canvas === this.small });
    pen.clearRect(0, 0, side, side);
    Object.assign(pen, { strokeStyle: "#fff", lineCap: "round", lineJoin: "round" });
    for (const { points, thickness } of this.strokes) {
      pen.lineWidth = (thickness * side) / this.data.grid;
      pen.beginPath();
      pen.moveTo(points[0][0] * side, points[0][1] * side);
      for (const [x, y] of points) pen.lineTo(x * side + 0.01, y * side); // a line of no length would leave no dot
      pen.stroke();
    }
    return pen;
  }

  tell() {
    const side = this.data.grid;
    const { data } = this.ink(this.small).getImageData(0, 0, side, side);
    let bytes = "";
    for (let i = 3; i < data.length; i += 4) bytes += String.fromCharCode(data[i]); // white ink on nothing: its opacity is its grey
    this.number += 1;
    this.sentAt = performance.now();
    this.root.dataset.sent = this.number;
    this.send("ink", { pixels: btoa(bytes), number: this.number });
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".draw-pad");
  root.view ??= new DrawPad(root);
  root.view.show(data, setStateValue);
}
