// One image and what the members think of it, softened at T in the browser: dragging asks no server.
// `data`: {image: {pixels (base64, D x H x W), shape}, members: [{name, logits or null, light, dark}], classes, label or null,
// temperature, low, high, moving, details: {hide, log, asked} or null}. With details, `Details` of soft_targets_details.js adds what there is beside the bars.

function softmax(logits, temperature) {
  const top = Math.max(...logits); // before dividing: the largest exponent is then 0 at every T
  const powers = logits.map((z) => Math.exp((z - top) / temperature));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

const top = (logits) => logits.indexOf(Math.max(...logits));

// Never rounded to what is not so: 100 % and 0 % do not occur.
function percent(p) {
  const value = 100 * p;
  if (value >= 99.95) return "> 99.9 %";
  if (value >= 0.1) return `${value.toFixed(1)} %`;
  if (value >= 0.0001) return `${Number(value.toPrecision(1)).toFixed(Math.ceil(-Math.log10(value) - 1e-9)).replace(/0+$/, "")} %`;
  return "< 0.0001 %";
}

const decimals = (temperature) => (temperature < 0.995 ? 2 : 1);
const rounded = (temperature) => Number(temperature.toFixed(decimals(temperature)));

class SoftTargets {
  constructor(root) {
    this.root = root;
    this.slider = root.querySelector("input");
    this.shown = root.querySelector(".shown");
    this.touched = false;
    for (const event of ["pointerdown", "keydown", "wheel"]) {
      root.addEventListener(event, () => { this.touched = true; }, { capture: true, passive: true });
    }
    this.slider.addEventListener("input", () => this.to(this.at(Number(this.slider.value))));
    this.slider.addEventListener("change", () => this.release());
    this.slider.addEventListener("keydown", (event) => this.key(event));
    this.slider.addEventListener("keyup", () => this.release());
  }

  show(data, send) {
    const given = this.data?.temperature;
    this.data = data;
    this.send = send;
    this.drawImage();
    this.buildRows();
    if (data.details) (this.details ??= new Details(this)).show(data);
    this.to(given === data.temperature ? this.temperature : data.temperature); // a tick of the page does not move the learner's T
    this.released = this.released !== undefined && given === data.temperature ? this.released : this.temperature;
    if (data.moving && !this.touched && !this.frame && !matchMedia("(prefers-reduced-motion: reduce)").matches) this.sweep();
  }

  // --- T: logarithmic on the slider, rounded as it is shown

  at(place) { return rounded(this.data.low * (this.data.high / this.data.low) ** place); }

  place(temperature) { return Math.log(temperature / this.data.low) / Math.log(this.data.high / this.data.low); }

  key(event) {
    const way = { ArrowRight: 1, ArrowUp: 1, PageUp: 10, ArrowLeft: -1, ArrowDown: -1, PageDown: -10 }[event.key];
    if (!way) return;
    event.preventDefault(); // one press is one step of what is shown
    const step = 10 ** -decimals(way < 0 ? this.temperature - 0.01 : this.temperature);
    this.to(rounded(Math.min(this.data.high, Math.max(this.data.low, this.temperature + way * step))));
  }

  release() {
    if (this.temperature === this.released) return;
    this.released = this.temperature;
    this.send("temperature", { value: this.temperature, given: this.data.temperature });
  }

  sweep() { // from 1 to 12 and back in 10 s, until the learner takes over
    const start = performance.now();
    const step = (now) => {
      if (this.touched || !this.data.moving || !this.root.isConnected) { this.frame = undefined; return; }
      this.to(12 ** (0.5 - 0.5 * Math.cos(((now - start) / 10000) * 2 * Math.PI)));
      this.frame = requestAnimationFrame(step);
    };
    this.frame = requestAnimationFrame(step);
  }

  to(temperature) {
    this.temperature = rounded(temperature);
    const text = `T = ${this.temperature.toFixed(decimals(this.temperature))}`;
    if (this.shown.textContent !== text) this.shown.textContent = text;
    this.slider.setAttribute("aria-valuetext", text);
    this.slider.value = this.place(this.temperature);
    this.draw();
  }

  draw() {
    const { members, classes } = this.data;
    const shown = members.map(({ logits }) => (logits ? softmax(logits, this.temperature) : classes.map(() => 0)));
    const hidden = this.details?.hide(shown) ?? -1;
    shown.forEach((shares, m) => {
      shares.forEach((p, c) => {
        const { bar, label } = this.cells[m][c];
        const length = this.details?.log ? logLength(p) : p;
        bar.style.setProperty("--p", (c === hidden ? 0 : length).toFixed(5));
        label.textContent = !members[m].logits ? "" : c === hidden ? "hidden" : percent(p);
      });
    });
    this.details?.draw(shown, hidden);
  }

  // --- what changes only with the data

  drawImage() {
    const { pixels, shape: [depth, height, width] } = this.data.image;
    if (pixels === this.drawn) return;
    this.drawn = pixels;
    const bytes = Uint8Array.from(atob(pixels), (letter) => letter.charCodeAt(0));
    const canvas = this.root.querySelector("canvas");
    Object.assign(canvas, { width, height });
    const name = this.data.classes[this.data.label];
    this.root.querySelector(".seen").textContent = name === undefined ? "what networks see" : "";
    canvas.setAttribute("aria-label", name === undefined ? "the image as the networks see it" : `image of class ${name}`);
    const picture = new ImageData(width, height);
    for (let i = 0; i < height * width; i += 1) {
      for (let d = 0; d < 3; d += 1) picture.data[4 * i + d] = bytes[Math.min(d, depth - 1) * height * width + i];
      picture.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
  }

  buildRows() {
    const { members, classes, label } = this.data;
    const built = JSON.stringify([members.map(({ name, light, dark }) => [name, light, dark]), classes, label]);
    if (built !== this.built) this.build(members, classes, label);
    this.built = built;
    this.predictions.forEach((cell, m) => {
      const { name, logits } = members[m];
      const verdict = (label === null || this.data.details) && logits ? `${name}: ${classes[top(logits)]}` : name;
      if (cell.textContent !== verdict) cell.textContent = verdict;
    });
  }

  build(members, classes, label) {
    const rows = this.root.querySelector(".rows");
    const mirrored = members.length === 2;
    rows.replaceChildren();
    rows.classList.toggle("mirrored", mirrored);
    rows.classList.toggle("three", members.length === 3);
    rows.classList.toggle("unlabelled", label === null);
    const add = (kind, text = "") => {
      const cell = document.createElement("div");
      cell.className = kind;
      cell.textContent = text;
      rows.append(cell);
      return cell;
    };
    this.predictions = mirrored ? [add("member left")] : [];
    add("");
    this.predictions.push(...members.slice(mirrored ? 1 : 0).map(() => add("member")));

    this.cells = members.map(() => []);
    const bar = (m, c, side) => {
      const cell = add(`bar ${side} ${c === label ? "true" : ""}`);
      cell.dataset.class = c;
      cell.style.setProperty("--light", members[m].light);
      cell.style.setProperty("--dark", members[m].dark);
      const [fill, written] = ["fill", "percent"].map((className) => Object.assign(document.createElement("div"), { className }));
      cell.append(fill, written);
      this.cells[m][c] = { bar: cell, label: written };
    };
    classes.forEach((name, c) => {
      if (mirrored) bar(0, c, "left");
      const title = add(`class ${c === label ? "true" : ""}`, name);
      title.dataset.class = c;
      if (c === label) title.prepend(Object.assign(document.createElement("span"), { className: "diamond", title: "true class" }));
      for (let m = mirrored ? 1 : 0; m < members.length; m += 1) bar(m, c, "");
    });
    if (label === null) return;
    const key = add("key", "true class");
    key.prepend(Object.assign(document.createElement("span"), { className: "diamond" }));
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".soft-targets");
  root.view ??= new SoftTargets(root);
  root.view.show(data, setStateValue);
}
