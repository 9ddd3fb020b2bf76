// A drawing pad. Strokes are stored as lines and drawn twice: sharp on the screen, and on a small grid whose grey pixels are sent.
// `data`: {grid, thickness, received (number of the last drawing that the server has received)}.

const SEND_INTERVAL = 150; // ms between two messages during a stroke
const KEY_STEP = 1 / 28; // of the pad, for each press of an arrow key; a quarter of it with Shift
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
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("blur", () => this.lift());
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
    this.pen = undefined;
    this.startStroke(this.at(event));
  }

  startStroke(point) {
    this.stroke = { points: [point], thickness: Number(this.slider.value) };
    this.strokes.push(this.stroke);
    this.sentAt = performance.now();
    this.redraw();
  }

  move(event) {
    if (!this.stroke || !event.isPrimary) return;
    const passed = event.getCoalescedEvents?.() ?? [];
    for (const point of passed.length ? passed : [event]) this.stroke.points.push(this.at(point));
    this.redraw();
    this.sendDuringStroke();
  }

  sendDuringStroke() {
    const now = performance.now();
    const answered = this.data.received >= this.number || now - this.sentAt > SEND_TIMEOUT;
    if (answered && now - this.sentAt >= SEND_INTERVAL) this.sendDrawing();
  }

  up(event) {
    if (!this.stroke || !event.isPrimary) return;
    this.stroke = undefined;
    this.sendDrawing();
  }

  // --- the keyboard: arrows move the pen, Space puts it down and lifts it, Backspace takes the last stroke back

  key(event) {
    const move = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || !(move || [" ", "Enter", "Backspace"].includes(event.key))) return;
    event.preventDefault();
    this.pen ??= [0.5, 0.3];
    if (move) {
      const step = event.shiftKey ? KEY_STEP / 4 : KEY_STEP;
      this.pen = this.pen.map((place, axis) => Math.min(0.95, Math.max(0.05, place + step * move[axis])));
      this.stroke?.points.push(this.pen);
      if (this.stroke) this.sendDuringStroke();
    } else if (event.key === "Backspace") {
      this.stroke = undefined;
      this.change(this.strokes.slice(0, -1));
    } else if (this.stroke) this.up({ isPrimary: true });
    else if (!event.repeat) this.startStroke(this.pen);
    this.root.querySelector(".state").textContent = this.stroke ? "Pen down" : "Pen up";
    this.redraw();
  }

  lift() { // the keyboard has gone elsewhere
    if (!this.pen) return;
    if (this.stroke) this.up({ isPrimary: true });
    this.pen = undefined;
    this.root.querySelector(".state").textContent = "";
    this.redraw();
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
    const context = this.drawStrokes(this.canvas);
    if (!this.pen) return;
    const [x, y] = this.pen.map((place) => place * side);
    for (const [colour, width] of [["#000", 6], ["#5ab4ff", 3]]) { // seen on ink and on the empty pad
      Object.assign(context, { strokeStyle: colour, lineWidth: width * devicePixelRatio });
      context.beginPath();
      context.arc(x, y, (Number(this.slider.value) * side) / this.data.grid / 2 + 2 * devicePixelRatio, 0, 2 * Math.PI);
      context.stroke();
    }
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
