// The same images as points of one map or two; the nearest to the pointer is shown, and ringed on each map. No server is asked.
// `data`: {maps: [{name, places (base64, float32 pairs in 0..1), predictions}], labels, classes, text_colours, sprite, tile, columns}.

const SHAPES = 4; // with 5 text_colours: 20 classes look different
const HEIGHT = 400;
const RADIUS = 5;
const LINE = 24; // px from one name to the next

function floats(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

function mark(pen, shape, x, y, r) {
  pen.beginPath();
  if (shape === 0) pen.arc(x, y, r, 0, 2 * Math.PI);
  else if (shape === 1) pen.rect(x - r * 0.9, y - r * 0.9, 1.8 * r, 1.8 * r);
  else if (shape === 2) { pen.moveTo(x, y - 1.2 * r); pen.lineTo(x + 1.1 * r, y + 0.9 * r); pen.lineTo(x - 1.1 * r, y + 0.9 * r); pen.closePath(); }
  else { pen.moveTo(x, y - 1.3 * r); pen.lineTo(x + 1.3 * r, y); pen.lineTo(x, y + 1.3 * r); pen.lineTo(x - 1.3 * r, y); pen.closePath(); }
}

const middle = (values) => values.sort((a, b) => a - b)[values.length >> 1];

// Names that cover each other are moved apart, up and down, by as little as it takes.
function apart(names, wide) {
  for (const name of names) name.x = Math.min(Math.max(name.x, name.half), wide - name.half);
  for (let round = 0; round < 50; round += 1) {
    let moved = false;
    names.forEach((a, i) => names.slice(i + 1).forEach((b) => {
      const over = LINE - Math.abs(a.y - b.y);
      if (over < 0.5 || Math.abs(a.x - b.x) >= a.half + b.half) return;
      const [upper, lower] = a.y <= b.y ? [a, b] : [b, a];
      upper.y -= over / 2;
      lower.y += over / 2;
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
    this.chosen = undefined;
    this.sprite = new Image();
    this.sprite.src = data.sprite;
    const maps = this.root.querySelector(".maps");
    maps.replaceChildren();
    this.maps = data.maps.map(({ name, places, predictions }) => {
      const figure = document.createElement("figure");
      const title = Object.assign(document.createElement("figcaption"), { textContent: name });
      const canvas = Object.assign(document.createElement("canvas"), { className: "map", tabIndex: 0 });
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${data.labels.length} images as ${name} sees them; arrow keys go from one to the next`);
      figure.append(title, canvas);
      maps.append(figure);
      const map = { canvas, places: floats(places), predictions, name };
      const at = (event) => this.choose(this.nearest(map, event));
      canvas.addEventListener("pointermove", at);
      canvas.addEventListener("pointerdown", at);
      canvas.addEventListener("keydown", (event) => {
        const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!way) return;
        event.preventDefault();
        const n = data.labels.length;
        this.choose(((this.chosen ?? -1) + way + n) % n);
      });
      return map;
    });
    this.tell("Point at a mark to see its image.");
    this.paint();
  }

  spot(map, i) {
    const { clientWidth: w } = map.canvas;
    const side = Math.min(w, HEIGHT) - 40;
    const wide = Math.min(1.6, (w - 40) / side); // a wide map may stretch a little: distances matter less than seeing
    return [w / 2 + (map.places[2 * i] - 0.5) * side * wide, HEIGHT / 2 - (map.places[2 * i + 1] - 0.5) * side];
  }

  nearest(map, event) {
    const box = map.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best;
    let least = 40 ** 2; // px
    for (let i = 0; i < this.data.labels.length; i += 1) {
      const [px, py] = this.spot(map, i);
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  choose(i) {
    if (i === undefined || i === this.chosen) return;
    this.chosen = i;
    const { data } = this;
    const [height, width] = data.tile;
    const canvas = this.root.querySelector(".shown canvas");
    Object.assign(canvas, { width, height });
    canvas.getContext("2d").drawImage(
      this.sprite, (i % data.columns) * width, Math.floor(i / data.columns) * height, width, height, 0, 0, width, height,
    );
    const says = this.maps.map((map) => `${map.name} says ${data.classes[map.predictions[i]]}`).join(", ");
    this.tell(`This is ${data.classes[data.labels[i]]}; ${says}.`);
    this.paint();
  }

  tell(text) { this.root.querySelector(".shown p").textContent = text; }

  paint() {
    if (!this.maps) return;
    const theme = getComputedStyle(this.root);
    const dark = theme.colorScheme.startsWith("dark") ? 1 : 0;
    const ink = theme.getPropertyValue("--st-text-color").trim() || "#444";
    const page = theme.getPropertyValue("--st-background-color").trim() || "#fff";
    const { labels, classes, text_colours } = this.data;
    for (const map of this.maps) {
      const { canvas } = map;
      const scale = window.devicePixelRatio || 1;
      const w = canvas.clientWidth;
      if (!w) continue;
      canvas.style.height = `${HEIGHT}px`;
      if (canvas.width !== Math.round(w * scale)) Object.assign(canvas, { width: Math.round(w * scale), height: Math.round(HEIGHT * scale) });
      const pen = canvas.getContext("2d");
      pen.setTransform(scale, 0, 0, scale, 0, 0);
      pen.clearRect(0, 0, w, HEIGHT);
      const spots = labels.map((_, i) => this.spot(map, i));
      pen.globalAlpha = 0.7;
      labels.forEach((label, i) => {
        pen.fillStyle = text_colours[label % text_colours.length][dark];
        mark(pen, label % SHAPES, ...spots[i], RADIUS);
        pen.fill();
      });
      pen.globalAlpha = 1;
      labels.forEach((label, i) => { // wrong ones are ringed
        if (map.predictions[i] === label) return;
        pen.strokeStyle = ink;
        pen.lineWidth = 2;
        mark(pen, label % SHAPES, ...spots[i], RADIUS + 2);
        pen.stroke();
      });
      pen.font = `700 20px ${theme.getPropertyValue("--st-font").trim() || "sans-serif"}`;
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.lineJoin = "round";
      if (classes.length <= 30) {
        const names = classes.flatMap((name, c) => {
          const own = spots.filter((_, i) => labels[i] === c);
          const half = pen.measureText(name).width / 2 + 4;
          return own.length ? [{ name, half, x: middle(own.map((s) => s[0])), y: middle(own.map((s) => s[1])) }] : [];
        });
        apart(names, w);
        names.forEach(({ name, x, y }) => {
          pen.strokeStyle = page;
          pen.lineWidth = 6;
          pen.strokeText(name, x, y);
          pen.fillStyle = ink;
          pen.fillText(name, x, y);
        });
      }
      if (this.chosen !== undefined) {
        pen.strokeStyle = ink;
        pen.lineWidth = 4;
        pen.beginPath();
        pen.arc(...spots[this.chosen], 13, 0, 2 * Math.PI);
        pen.stroke();
      }
    }
  }
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".cloud");
  root.view ??= new Cloud(root);
  if (root.view.data?.sprite !== data.sprite || JSON.stringify(root.view.data?.maps) !== JSON.stringify(data.maps)) root.view.show(data);
  else root.view.paint();
}
