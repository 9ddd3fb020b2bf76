// The same images as points of one scatter plot per teacher. The image nearest to the pointer is displayed and ringed in every plot.
// `data`: {plots: [{name, points (base64, float32 pairs in 0..1), predictions}], labels, classes, colours, sprite, tile, columns}.

const SHAPES = 4; // with 5 colours: 20 distinct markers
const HEIGHT = 400;
const RADIUS = 5;
const LINE = 24; // px between two class names

function floats(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

function drawMarker(context, shape, x, y, r) {
  context.beginPath();
  if (shape === 0) context.arc(x, y, r, 0, 2 * Math.PI);
  else if (shape === 1) context.rect(x - r * 0.9, y - r * 0.9, 1.8 * r, 1.8 * r);
  else if (shape === 2) { context.moveTo(x, y - 1.2 * r); context.lineTo(x + 1.1 * r, y + 0.9 * r); context.lineTo(x - 1.1 * r, y + 0.9 * r); context.closePath(); }
  else { context.moveTo(x, y - 1.3 * r); context.lineTo(x + 1.3 * r, y); context.lineTo(x, y + 1.3 * r); context.lineTo(x - 1.3 * r, y); context.closePath(); }
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

// Moves overlapping class names apart, vertically and by as little as possible; `labels`: [{x, y, half (half of the width)}].
function declutterLabels(labels, width) {
  for (const label of labels) label.x = Math.min(Math.max(label.x, label.half), width - label.half);
  for (let round = 0; round < 50; round += 1) {
    let moved = false;
    labels.forEach((a, i) => labels.slice(i + 1).forEach((b) => {
      const overlap = LINE - Math.abs(a.y - b.y);
      if (overlap < 0.5 || Math.abs(a.x - b.x) >= a.half + b.half) return;
      const [upper, lower] = a.y <= b.y ? [a, b] : [b, a];
      upper.y -= overlap / 2;
      lower.y += overlap / 2;
      moved = true;
    }));
    if (!moved) return;
  }
}

class Cloud {
  constructor(root) {
    this.root = root;
    this.resizing = new ResizeObserver(() => this.paint());
    this.resizing.observe(root);
  }

  show(data) {
    this.data = data;
    this.selected = undefined;
    this.sprite = new Image();
    this.sprite.src = data.sprite;
    const container = this.root.querySelector(".plots");
    container.replaceChildren();
    this.plots = data.plots.map(({ name, points, predictions }) => {
      const figure = document.createElement("figure");
      const title = Object.assign(document.createElement("figcaption"), { textContent: name });
      const canvas = Object.assign(document.createElement("canvas"), { className: "plot", tabIndex: 0 });
      canvas.setAttribute("role", "application");
      canvas.setAttribute("aria-roledescription", "scatter plot");
      canvas.setAttribute("aria-label", `${data.labels.length} images, plotted by the logits of ${name}; the arrow keys select the next image in their direction`);
      figure.append(title, canvas);
      container.append(figure);
      const plot = { canvas, points: floats(points), predictions, name };
      const select = (event) => this.select(this.nearest(plot, event));
      canvas.addEventListener("pointermove", select);
      canvas.addEventListener("pointerdown", select);
      canvas.addEventListener("keydown", (event) => {
        const [axis, step] = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [1, 1], ArrowDown: [1, -1] }[event.key] ?? [];
        if (!step) return;
        event.preventDefault();
        this.select(this.neighbour(plot, axis, step));
      });
      return plot;
    });
    this.setText("Hover over a point, or use the arrow keys in a plot, to see its image.");
    this.paint();
  }

  position(plot, i) {
    const { clientWidth: width } = plot.canvas;
    const side = Math.min(width, HEIGHT) - 40;
    const stretch = Math.min(1.6, (width - 40) / side); // a wide plot is stretched a little: overlap hides more than distortion does
    return [width / 2 + (plot.points[2 * i] - 0.5) * side * stretch, HEIGHT / 2 - (plot.points[2 * i + 1] - 0.5) * side];
  }

  nearest(plot, event) {
    const box = plot.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best;
    let least = 40 ** 2; // px
    for (let i = 0; i < this.data.labels.length; i += 1) {
      const [px, py] = this.position(plot, i);
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  neighbour(plot, axis, step) { // the next point to one side: all points are reached, in the order of one coordinate
    const place = (i) => plot.points[2 * i + axis];
    plot.order ??= [];
    const order = plot.order[axis] ??= this.data.labels.map((_, i) => i).sort((a, b) => place(a) - place(b) || a - b);
    const n = order.length;
    const now = this.selected === undefined ? (step > 0 ? -1 : n) : order.indexOf(this.selected);
    return order[Math.min(n - 1, Math.max(0, now + step))];
  }

  select(i) {
    if (i === undefined || i === this.selected) return;
    this.selected = i;
    const { data } = this;
    const [height, width] = data.tile;
    const canvas = this.root.querySelector(".selected canvas");
    Object.assign(canvas, { width, height });
    canvas.getContext("2d").drawImage(
      this.sprite, (i % data.columns) * width, Math.floor(i / data.columns) * height, width, height, 0, 0, width, height,
    );
    const predictions = this.plots.map((plot) => `${plot.name} predicts ${data.classes[plot.predictions[i]]}`).join(", ");
    this.setText(`True class ${data.classes[data.labels[i]]}; ${predictions}.`);
    this.paint();
  }

  setText(text) { this.root.querySelector(".selected p").textContent = text; }

  paint() {
    if (!this.plots) return;
    const theme = getComputedStyle(this.root);
    const dark = theme.colorScheme.startsWith("dark") ? 1 : 0;
    const textColour = theme.getPropertyValue("--st-text-color").trim() || "#444";
    const background = theme.getPropertyValue("--st-background-color").trim() || "#fff";
    const { labels, classes, colours } = this.data;
    for (const plot of this.plots) {
      const { canvas } = plot;
      const scale = window.devicePixelRatio || 1;
      const width = canvas.clientWidth;
      if (!width) continue;
      canvas.style.height = `${HEIGHT}px`;
      if (canvas.width !== Math.round(width * scale)) Object.assign(canvas, { width: Math.round(width * scale), height: Math.round(HEIGHT * scale) });
      const context = canvas.getContext("2d");
      context.setTransform(scale, 0, 0, scale, 0, 0);
      context.clearRect(0, 0, width, HEIGHT);
      const positions = labels.map((_, i) => this.position(plot, i));
      context.globalAlpha = 0.7;
      labels.forEach((label, i) => {
        context.fillStyle = colours[label % colours.length][dark];
        drawMarker(context, label % SHAPES, ...positions[i], RADIUS);
        context.fill();
      });
      context.globalAlpha = 1;
      labels.forEach((label, i) => { // wrong predictions get a ring
        if (plot.predictions[i] === label) return;
        context.strokeStyle = textColour;
        context.lineWidth = 2;
        drawMarker(context, label % SHAPES, ...positions[i], RADIUS + 2);
        context.stroke();
      });
      context.font = `700 20px ${theme.getPropertyValue("--st-font").trim() || "sans-serif"}`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.lineJoin = "round";
      if (classes.length <= 30) {
        const names = classes.flatMap((name, c) => {
          const ofClass = positions.filter((_, i) => labels[i] === c);
          const half = context.measureText(name).width / 2 + 4;
          return ofClass.length ? [{ name, half, x: median(ofClass.map((s) => s[0])), y: median(ofClass.map((s) => s[1])) }] : [];
        });
        declutterLabels(names, width);
        names.forEach(({ name, x, y }) => {
          context.strokeStyle = background;
          context.lineWidth = 6;
          context.strokeText(name, x, y);
          context.fillStyle = textColour;
          context.fillText(name, x, y);
        });
      }
      if (this.selected !== undefined) {
        context.strokeStyle = textColour;
        context.lineWidth = 4;
        context.beginPath();
        context.arc(...positions[this.selected], 13, 0, 2 * Math.PI);
        context.stroke();
      }
    }
  }
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".cloud");
  root.view ??= new Cloud(root);
  if (root.view.data?.sprite !== data.sprite || JSON.stringify(root.view.data?.plots) !== JSON.stringify(data.plots)) root.view.show(data);
  else root.view.paint();
}
