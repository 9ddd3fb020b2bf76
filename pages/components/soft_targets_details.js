// Details of the soft-target bars: two options, a table of numbers, one class's softmax written out, and the gradient meter.

const DECADES = 6; // range of the logarithmic bars, from 0.0001 % to 100 %
const logLength = (p) => Math.min(1, Math.max(0, 1 + Math.log10(Math.max(p, 1e-300)) / DECADES));
const METER = [-6, 1]; // range of the gradient meter, as powers of ten

// exp(x) in four digits, also where exp(x) overflows or underflows.
function power(x) {
  const decimal = x / Math.LN10;
  if (decimal > -3 && decimal < 5) return decimal < 4 ? Math.exp(x).toPrecision(4) : Math.exp(x).toFixed(0);
  const whole = Math.floor(decimal);
  return `${(10 ** (decimal - whole)).toFixed(2)} · 10${[...String(whole)].map((sign) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign] ?? "⁻").join("")}`;
}

// The rows of the table: name, and explanation under the pointer.
const NUMBERS = {
  "entropy, nats": "Spread of the distribution: 0 if one class has all probability, ln C if all C classes have the same.",
  "entropy, bits": "The same in bits: 1 nat is 1.44 bits.",
  "2nd class": "The class with the second largest probability.",
  "2nd / top probability": "Probability of the second class divided by that of the top class.",
};

const three = (value) => (value === 0 ? "0" : value >= 0.001 && value < 1000 ? value.toPrecision(3) : power(Math.log(value)));
const signed = (value, digits) => value.toFixed(digits).replace("-", "−");

function entropy(probabilities) { return -probabilities.reduce((sum, p) => (p > 0 ? sum + p * Math.log(p) : sum), 0); }

// Length of the soft loss's gradient with respect to the student's logits of one image, without T squared: |q - p| / T.
function gradientSize(studentLogits, teacherLogits, temperature) {
  const q = softmax(studentLogits, temperature), p = softmax(teacherLogits, temperature);
  return Math.hypot(...q.map((value, c) => value - p[c])) / temperature;
}

class Details {
  constructor(view) {
    this.view = view;
    const { root } = view;
    root.classList.add("detailed");
    const make = (kind, html, place) => {
      const part = Object.assign(document.createElement("div"), { className: kind, innerHTML: html });
      place.append(part);
      return part;
    };
    const [aside, main] = [root.querySelector(".aside"), root.querySelector(".main")];
    const toggles = make("toggles", `<label title="Leaves out the most probable class and rescales the others to 100 %."><input type="checkbox" name="hide">hide the most probable class</label>
      <label title="Each thin line is a factor of 10; bars start at 0.0001 %."><input type="checkbox" name="log">logarithmic scale</label>`, main);
    root.querySelector(".rows").before(toggles);
    root.querySelector(".rows").classList.add("detailed-rows");
    [this.hiding, this.logging] = toggles.querySelectorAll("input");
    for (const toggle of [this.hiding, this.logging]) toggle.addEventListener("change", () => { view.draw(); this.send(); });
    this.numbers = make("about", "", aside);
    this.meter = make("meter", `<details><summary class="title"></summary>
      <div>without T²: ‖q − p‖ / T = <span class="value"></span></div><div class="bar"><div class="fill"></div><div class="mark"></div></div>
      <div>with T²: T · ‖q − p‖ = <span class="value"></span></div><div class="bar whole"><div class="fill"></div><div class="mark"></div></div>
      <div class="legend">q: softmax(z / T) of the student, p: of the teacher; ‖q − p‖: length of their difference.
        Logarithmic scale: each thin line is a factor of 10. Thick mark: at T = 1.</div></details>`, aside);
    this.equations = make("equations", "", main);
    const rows = root.querySelector(".rows");
    const select = (target, pin) => { // hovering selects a class for now, a click until the next click
      const index = target.closest("[data-class]")?.dataset.class;
      if (index === undefined) return;
      this.selected = Number(index);
      if (pin) {
        this.pinned = this.pinned === this.selected ? null : this.selected;
        this.send();
      }
      view.draw();
    };
    for (const event of ["pointerover", "focusin"]) rows.addEventListener(event, ({ target }) => select(target, false));
    rows.addEventListener("click", ({ target }) => select(target, true));
    rows.addEventListener("pointerleave", () => {
      if (this.pinned === null || this.pinned === this.selected) return;
      this.selected = this.pinned;
      view.draw();
    });
    rows.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      select(event.target, true);
    });
  }

  send() {
    const options = { hide_top: this.hiding.checked, log_scale: this.logScale, formula_class: this.pinned };
    this.view.send("details", { ...options, page_value: this.view.data.details });
  }

  take(options) { // the page's options replace the learner's only when the page changes them
    const text = JSON.stringify(options);
    if (text === this.pageOptions) return;
    this.pageOptions = text;
    [this.hiding.checked, this.logging.checked, this.pinned, this.key] = [options.hide_top, options.log_scale, options.formula_class, undefined];
  }

  get logScale() { return this.logging.checked; }

  show({ members, classes, label, details }) {
    this.take(details);
    if (this.pinned >= classes.length) this.pinned = null;
    for (const name of this.view.root.querySelectorAll(".class")) Object.assign(name, { tabIndex: 0, role: "button" });
    const known = members.every(({ logits }) => logits);
    this.numbers.hidden = this.meter.hidden = this.equations.hidden = !known;
    const key = JSON.stringify([label, members.map(({ logits }) => logits)]);
    if (key !== this.key) this.selected = this.pinned ?? label ?? argmax(members[0].logits ?? [0]);
    this.key = key;
    const table = Object.assign(document.createElement("table"), { className: "numbers" });
    const row = (section, kinds, texts, title = "") => {
      const line = Object.assign(section.insertRow(), { title });
      return texts.map((text, i) => line.appendChild(Object.assign(document.createElement(kinds[i ? 1 : 0]), { textContent: text })));
    };
    row(table.createTHead(), ["th", "th"], ["", ...members.map(({ name }) => name)]);
    const body = table.createTBody();
    this.values = Object.fromEntries(Object.entries(NUMBERS).map(([name, title]) => [
      name, row(body, ["th", "td"], [name, ...members.map(() => "")], title).slice(1)]));
    this.numbers.replaceChildren(table);
    this.equations.replaceChildren(...members.map(({ name }) => {
      const line = Object.assign(document.createElement("div"), { className: "equation" });
      const fraction = (above, below) => `<span class="fraction"><span>${above}</span><span>${below}</span></span>`;
      line.innerHTML = `<b class="name"></b> =
        ${fraction('e<sup class="exponent"></sup>', 'Σ<sub class="sum"></sub> e<sup>zₖ / <span class="t"></span></sup>')} =
        ${fraction('<span class="above"></span>', '<span class="below"></span>')} = <b class="probability"></b>`;
      line.name = name;
      line.parts = Object.fromEntries(["name", "exponent", "sum", "t", "above", "below", "probability"].map((part) => [part, line.querySelector(`.${part}`)]));
      return line;
    }));
    const student = members[1]?.name;
    this.meter.querySelector(".title").textContent = `Gradient of the soft loss with respect to the ${student ? `${student}'s logits` : "logits of a student with equal logits"}`;
    this.pair = known ? [members[1]?.logits ?? classes.map(() => 0), members[0].logits] : undefined;
    const at = this.position(this.pair ? gradientSize(...this.pair, 1) : 1);
    for (const mark of this.meter.querySelectorAll(".mark")) mark.style.left = `${100 * at}%`;
  }

  position(value) { return Math.min(1, Math.max(0, (Math.log10(Math.max(value, 1e-300)) - METER[0]) / (METER[1] - METER[0]))); }

  // If the first member's top class is hidden, replaces `probabilities` by those of the other classes, rescaled to a sum of 1.
  // Returns the hidden class, or -1.
  hideTop(probabilities) {
    if (!this.hiding.checked || !this.pair) return -1;
    const { members } = this.view.data;
    const hidden = argmax(members[0].logits);
    members.forEach(({ logits }, m) => { // from the logits: dividing probabilities of 1e-20 by their sum would lose digits
      const rest = softmax(logits.map((z, c) => (c === hidden ? -Infinity : z)), this.view.temperature);
      probabilities[m].splice(0, rest.length, ...rest);
    });
    return hidden;
  }

  draw(probabilities, hidden) {
    const { root, temperature, data: { members, classes } } = this.view;
    root.querySelector(".rows").classList.toggle("log", this.logScale);
    if (!this.pair) return;
    probabilities.forEach((row, m) => {
      const nats = entropy(row);
      const order = members[m].logits.map((_, c) => c).filter((c) => c !== hidden).sort((a, b) => members[m].logits[b] - members[m].logits[a]);
      const ratio = Math.exp((members[m].logits[order[1]] - members[m].logits[order[0]]) / temperature);
      this.values["entropy, nats"][m].textContent = three(nats);
      this.values["entropy, bits"][m].textContent = three(nats / Math.LN2);
      this.values["2nd class"][m].textContent = classes[order[1]] ?? "";
      this.values["2nd / top probability"][m].textContent = order.length > 1 ? three(ratio) : "";
    });
    for (const name of root.querySelectorAll(".class")) {
      name.classList.toggle("selected", Number(name.dataset.class) === this.selected);
      name.ariaPressed = Number(name.dataset.class) === this.pinned;
    }
    [...this.equations.children].forEach((line, m) => this.writeFormula(line, members[m].logits, probabilities[m], hidden));

    const size = gradientSize(...this.pair, temperature);
    [size, size * temperature ** 2].forEach((value, i) => {
      const bar = this.meter.querySelectorAll(".bar")[i];
      bar.style.setProperty("--p", this.position(value).toFixed(5));
      bar.dataset.value = value;
      this.meter.querySelectorAll(".value")[i].textContent = three(value);
    });
  }

  writeFormula({ name, parts }, logits, probabilities, hidden) {
    const { temperature, data: { classes } } = this.view;
    const isHidden = this.selected === hidden;
    const scaled = logits.filter((_, c) => c !== hidden).map((z) => z / temperature);
    const largest = Math.max(...scaled);
    const logSum = largest + Math.log(scaled.reduce((total, x) => total + Math.exp(x - largest), 0));
    const t = temperature.toFixed(decimals(temperature));
    const set = (part, text) => { if (part.textContent !== text) part.textContent = text; };
    set(parts.name, `${name}, ${classes[this.selected]}`);
    set(parts.exponent, `${signed(logits[this.selected], 2)} / ${t}`);
    set(parts.t, t);
    set(parts.sum, hidden < 0 ? "k" : `k ≠ ${classes[hidden]}`);
    set(parts.above, isHidden ? "hidden" : power(logits[this.selected] / temperature));
    set(parts.below, power(logSum));
    set(parts.probability, isHidden ? "hidden" : percent(probabilities[this.selected]));
  }
}
