// Four ways to compress a network, each a slider under the curve of the accuracy over its whole range.
// `data`: {curves: {axis: [{value, accuracy, bytes, flops}]}, values: {axis: value}, titles: {axis: text}}. A point that is not measured
// yet has its value alone.

const NS = "http://www.w3.org/2000/svg", WIDTH = 320, HEIGHT = 130, LEFT = 40, BOTTOM = 8, TOP = 12;
const UNITS = { prune: "% of the weights are 0", neurons: "% of the units removed", rank: "% of the full rank", bits: "bits a weight" };

function bytesInWords(bytes) {
  return bytes >= 1e6 ? `${(bytes / 1e6).toPrecision(3)} MB` : `${(bytes / 1e3).toPrecision(3)} kB`;
}

function add(parent, name, attributes, text) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

class Panel {
  constructor(root, axis, title, points, value, released) {
    Object.assign(this, { axis, points });
    const part = document.createElement("section");
    part.innerHTML = '<h3></h3><svg role="img"></svg><label><input type="range" min="0" step="1"></label><p class="now" aria-live="polite"></p>';
    part.querySelector("h3").textContent = title;
    root.append(part);
    this.svg = part.querySelector("svg");
    this.svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.svg.setAttribute("aria-label", `${title}: accuracy over the whole range`);
    this.now = part.querySelector(".now");
    this.slider = part.querySelector("input");
    this.slider.max = points.length - 1;
    this.slider.setAttribute("aria-label", title);
    this.slider.value = Math.max(0, points.findIndex((point) => point.value === value));
    this.slider.addEventListener("input", () => this.draw());
    this.slider.addEventListener("change", released);
    this.build();
    this.update(points);
  }

  get point() { return this.points[Number(this.slider.value)]; }

  x(index) { return LEFT + ((WIDTH - LEFT - 10) * index) / Math.max(1, this.points.length - 1); }

  y(accuracy) { return TOP + (HEIGHT - TOP - BOTTOM) * (1 - accuracy); }

  build() {
    for (const share of [0, 0.5, 1]) {
      add(this.svg, "line", { x1: LEFT, x2: WIDTH - 10, y1: this.y(share), y2: this.y(share), class: "grid" });
      add(this.svg, "text", { x: LEFT - 6, y: this.y(share) + 5, "text-anchor": "end" }, `${100 * share}`);
    }
    this.curve = add(this.svg, "path", { class: "curve" });
    this.cursor = add(this.svg, "line", { y1: TOP, y2: HEIGHT - BOTTOM, class: "cursor" });
    this.dot = add(this.svg, "circle", { r: 6, class: "dot" });
  }

  update(points) {
    this.points = points;
    const measured = points.flatMap((point, i) => (point.accuracy === undefined ? [] : [`${this.x(i)} ${this.y(point.accuracy)}`]));
    this.curve.setAttribute("d", measured.length ? `M${measured.join("L")}` : "");
    this.draw();
  }

  draw() {
    const index = Number(this.slider.value), { value, accuracy, bytes } = this.point;
    for (const end of ["x1", "x2"]) this.cursor.setAttribute(end, this.x(index));
    const text = `${value} ${UNITS[this.axis]}`, known = accuracy !== undefined;
    this.dot.setAttribute("visibility", known ? "visible" : "hidden");
    if (known) {
      this.dot.setAttribute("cx", this.x(index));
      this.dot.setAttribute("cy", this.y(accuracy));
    }
    const now = `${text}: ${known ? `${(100 * accuracy).toFixed(2)} %, ${bytesInWords(bytes)}` : "being measured"}`;
    if (this.now.textContent !== now) this.now.textContent = now; // a screen reader reads what is set, also if it is the same
    this.slider.setAttribute("aria-valuetext", text);
  }
}

class Sliders {
  constructor(root) { this.root = root; }

  show(data, send) {
    const curves = Object.entries(data.curves).filter(([, points]) => points.length);
    const shown = JSON.stringify([data.values, data.titles, curves.map(([axis, points]) => [axis, points.map((point) => point.value)])]);
    if (shown === this.shown) { // new points, or a rerun of the page, must not move the learner's sliders
      curves.forEach(([, points], number) => this.panels[number].update(points));
      return;
    }
    this.shown = shown;
    this.root.replaceChildren();
    const released = () => send("chosen", { values: { ...data.values, ...this.values() }, page_values: data.values });
    this.panels = curves.map(([axis, points]) => new Panel(this.root, axis, data.titles[axis], points, data.values[axis], released));
  }

  values() { return Object.fromEntries(this.panels.map((panel) => [panel.axis, panel.point.value])); }
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".compress-sliders");
  root.view ??= new Sliders(root);
  root.view.show(data, setStateValue);
}
