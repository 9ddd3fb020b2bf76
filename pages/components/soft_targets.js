// One image and the softmax outputs of up to three networks at temperature T. Dragging T needs no server.
// `data`: {image: {pixels (base64, D x H x W), shape} or null,
// shown: indices of the classes that have a bar, or null for all, members: [{name, logits or null, light, dark}], classes, label or null,
// temperature, low, high, moving, details: {hide_top, log_scale, formula_class} or null}.
// With details, the class `Details` of soft_targets_details.js adds the options, the numbers and the gradient meter.

function softmax(logits, temperature) {
  const largest = Math.max(...logits); // subtracted before dividing: the largest exponent is then 0 at every T
  const powers = logits.map((z) => Math.exp((z - largest) / temperature));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

const argmax = (logits) => logits.indexOf(Math.max(...logits));

// Rounding must not produce 100 % or 0 %, which a softmax never reaches.
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
    this.pause = root.querySelector(".pause");
    this.touched = false;
    for (const event of ["pointerdown", "keydown", "wheel"]) {
      root.addEventListener(event, ({ target }) => { if (target !== this.pause) this.stop(); }, { capture: true, passive: true });
    }
    this.pause.addEventListener("click", () => (this.frame ? this.stop() : this.animate()));
    this.slider.addEventListener("input", () => this.setTemperature(this.temperatureAt(Number(this.slider.value))));
    this.slider.addEventListener("change", () => this.release());
    this.slider.addEventListener("keydown", (event) => this.key(event));
    this.slider.addEventListener("keyup", () => this.release());
  }

  show(data, send) {
    const previous = this.data?.temperature;
    this.data = data;
    this.send = send;
    this.drawImage();
    this.buildRows();
    if (data.details) (this.details ??= new Details(this)).show(data);
    const unchanged = previous === data.temperature; // a rerun of the page must not move the learner's T
    this.setTemperature(unchanged ? this.temperature : data.temperature);
    this.released = this.released !== undefined && unchanged ? this.released : this.temperature;
    this.pause.hidden = !data.moving;
    this.pause.textContent = this.frame ? "Pause" : "Play";
    if (data.moving && !this.touched && !this.frame && !matchMedia("(prefers-reduced-motion: reduce)").matches) this.animate();
  }

  // --- T: logarithmic on the slider, rounded to the digits that are displayed

  temperatureAt(position) { return rounded(this.data.low * (this.data.high / this.data.low) ** position); }

  positionOf(temperature) { return Math.log(temperature / this.data.low) / Math.log(this.data.high / this.data.low); }

  key(event) {
    const steps = { ArrowRight: 1, ArrowUp: 1, PageUp: 10, ArrowLeft: -1, ArrowDown: -1, PageDown: -10 }[event.key];
    if (!steps) return;
    event.preventDefault(); // one key press changes the last displayed digit by one
    const step = 10 ** -decimals(steps < 0 ? this.temperature - 0.01 : this.temperature);
    this.setTemperature(rounded(Math.min(this.data.high, Math.max(this.data.low, this.temperature + steps * step))));
  }

  release() {
    if (this.temperature === this.released) return;
    this.released = this.temperature;
    this.send("temperature", { value: this.temperature, page_value: this.data.temperature });
  }

  stop() { // the learner has taken over
    this.touched = true;
    cancelAnimationFrame(this.frame);
    this.frame = undefined;
    this.pause.textContent = "Play";
  }

  animate() { // from 1 to 12 and back in 10 s, until the learner touches the component or presses Pause
    const start = performance.now();
    this.pause.textContent = "Pause";
    const step = (now) => {
      if (!this.data.moving || !this.root.isConnected) { this.frame = undefined; return; }
      this.setTemperature(12 ** (0.5 - 0.5 * Math.cos(((now - start) / 10000) * 2 * Math.PI)));
      this.frame = requestAnimationFrame(step);
    };
    this.frame = requestAnimationFrame(step);
  }

  setTemperature(temperature) {
    this.temperature = rounded(temperature);
    const text = `T = ${this.temperature.toFixed(decimals(this.temperature))}`;
    if (this.shown.textContent !== text) this.shown.textContent = text;
    this.slider.setAttribute("aria-valuetext", text);
    this.slider.value = this.positionOf(this.temperature);
    this.draw();
  }

  draw() {
    const { members, classes } = this.data;
    const probabilities = members.map(({ logits }) => (logits ? softmax(logits, this.temperature) : classes.map(() => 0)));
    const hidden = this.details?.hideTop(probabilities) ?? -1;
    probabilities.forEach((row, m) => {
      row.forEach((p, c) => {
        if (!this.cells[m][c]) return; // a class without a bar counts in the softmax only
        const { bar, label } = this.cells[m][c];
        const length = this.details?.logScale ? logLength(p) : p;
        bar.style.setProperty("--p", (c === hidden ? 0 : length).toFixed(5));
        label.textContent = !members[m].logits ? "" : c === hidden ? "hidden" : percent(p);
      });
    });
    this.details?.draw(probabilities, hidden);
  }

  // --- parts that change only with the data

  drawImage() {
    this.root.querySelector(".aside").hidden = !this.data.image && !this.data.moving;
    if (!this.data.image) return;
    const { pixels, shape: [depth, height, width] } = this.data.image;
    if (pixels === this.drawn) return;
    this.drawn = pixels;
    const bytes = Uint8Array.from(atob(pixels), (letter) => letter.charCodeAt(0));
    const canvas = this.root.querySelector("canvas");
    Object.assign(canvas, { width, height });
    const name = this.data.classes[this.data.label];
    this.root.querySelector(".image-note").textContent = name === undefined ? "network input" : "";
    canvas.setAttribute("aria-label", name === undefined ? "the image that the networks get as input" : `image of class ${name}`);
    const picture = new ImageData(width, height);
    for (let i = 0; i < height * width; i += 1) {
      for (let d = 0; d < 3; d += 1) picture.data[4 * i + d] = bytes[Math.min(d, depth - 1) * height * width + i];
      picture.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
  }

  buildRows() {
    const { members, classes, label, shown } = this.data;
    const built = JSON.stringify([members.map(({ name, light, dark }) => [name, light, dark]), classes, label, shown]);
    if (built !== this.built) this.build(members, classes, label);
    this.built = built;
    this.predictions.forEach((cell, m) => {
      const { name, logits } = members[m];
      const prediction = (label === null || this.data.details) && logits ? `${name}: ${classes[argmax(logits)]}` : name;
      if (cell.textContent !== prediction) cell.textContent = prediction;
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
      const [fill, text] = ["fill", "percent"].map((className) => Object.assign(document.createElement("div"), { className }));
      cell.append(fill, text);
      this.cells[m][c] = { bar: cell, label: text };
    };
    (this.data.shown ?? classes.map((_, c) => c)).forEach((c) => {
      const name = classes[c];
      if (mirrored) bar(0, c, "left");
      const title = add(`class ${c === label ? "true" : ""}`, name);
      title.dataset.class = c;
      if (c === label) title.prepend(Object.assign(document.createElement("span"), { className: "diamond", title: "true class" }));
      for (let m = mirrored ? 1 : 0; m < members.length; m += 1) bar(m, c, "");
    });
    if (label === null) return;
    const key = add("key", this.data.details ? "true class; above the bars: the predicted class" : "true class");
    key.prepend(Object.assign(document.createElement("span"), { className: "diamond" }));
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".soft-targets");
  root.view ??= new SoftTargets(root);
  root.view.show(data, setStateValue);
}
