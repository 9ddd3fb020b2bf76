// A drawing pad. Strokes are stored as lines and drawn twice: sharp on the screen, and on a small grid whose grey pixels are sent.
// `data`: {grid, thickness, received (number of the last drawing that the server has received)}.

const SEND_INTERVAL = 150; // ms between two messages during a stroke
const SEND_TIMEOUT = 2000; // ms after which a message without a reply no longer blocks the next one

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
      this.number = data.received; // a pad that is mounted again continues the count
    }
    this.data = data;
    this.root.dataset.received = data.received;
    this.redraw();
  }

  // --- strokes: coordinates from 0 to 1, thickness in pixels of the grid

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  down(event) {
    if (!event.isPrimary || event.button !== 0) return;
    event.preventDefault();
    try { this.canvas.setPointerCapture(event.pointerId); } catch { /* the pointer was released already */ }
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
    const answered = this.data.received >= this.number || now - this.sentAt > SEND_TIMEOUT;
    if (answered && now - this.sentAt >= SEND_INTERVAL) this.sendDrawing();
  }

  up(event) {
    if (!this.stroke || !event.isPrimary) return;
    this.stroke = undefined;
    this.sendDrawing();
  }

  change(strokes) {
    this.strokes = strokes;
    this.redraw();
    this.sendDrawing();
  }

  // --- drawing

  redraw() {
    const drawn = this.strokes.length > 0;
    this.root.classList.toggle("drawn", drawn);
    for (const button of Object.values(this.buttons)) button.disabled = !drawn;
    const side = Math.round(this.canvas.clientWidth * devicePixelRatio);
    if (!this.data || !side) return;
    if (this.canvas.width !== side) Object.assign(this.canvas, { width: side, height: side });
    this.drawStrokes(this.canvas);
  }

  drawStrokes(canvas) {
    const side = canvas.width;
    const context = canvas.getContext("2d", { willReadFrequently: canvas === this.small });
    context.clearRect(0, 0, side, side);
    Object.assign(context, { strokeStyle: "#fff", lineCap: "round", lineJoin: "round" });
    for (const { points, thickness } of this.strokes) {
      context.lineWidth = (thickness * side) / this.data.grid;
      context.beginPath();
      context.moveTo(points[0][0] * side, points[0][1] * side);
      for (const [x, y] of points) context.lineTo(x * side + 0.01, y * side); // a line of length 0 would not be drawn as a dot
      context.stroke();
    }
    return context;
  }

  sendDrawing() {
    const side = this.data.grid;
    const { data } = this.drawStrokes(this.small).getImageData(0, 0, side, side);
    let bytes = "";
    for (let i = 3; i < data.length; i += 4) bytes += String.fromCharCode(data[i]); // white ink on a transparent canvas: alpha is the grey value
    this.number += 1;
    this.sentAt = performance.now();
    this.root.dataset.sent = this.number;
    this.send("drawing", { pixels: btoa(bytes), number: this.number });
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".draw-pad");
  root.view ??= new DrawPad(root);
  root.view.show(data, setStateValue);
}
