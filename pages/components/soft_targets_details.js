// What there is beside the bars of soft targets: two toggles, entropy, one class's softmax written out, and the gradient meter.

const DECADES = 6; // of the logarithmic bars, from 0.0001 % to 100 %
const logLength = (p) => Math.min(1, Math.max(0, 1 + Math.log10(Math.max(p, 1e-300)) / DECADES));
const METER = [-6, 1]; // powers of ten

// e to the power of `x` in four digits, also where that is beyond what a number holds.
function power(x) {
  const decimal = x / Math.LN10;
  if (decimal > -3 && decimal < 5) return decimal < 4 ? Math.exp(x).toPrecision(4) : Math.exp(x).toFixed(0);
  const whole = Math.floor(decimal);
  return `${(10 ** (decimal - whole)).toFixed(2)} · 10${[...String(whole)].map((sign) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign] ?? "⁻").join("")}`;
}

const three = (value) => (value === 0 ? "0" : value >= 0.001 && value < 1000 ? value.toPrecision(3) : power(Math.log(value)));
const signed = (value, digits) => value.toFixed(digits).replace("-", "−");

function entropy(shares) { return -shares.reduce((sum, p) => (p > 0 ? sum + p * Math.log(p) : sum), 0); }

// The soft loss's gradient with respect to the student's logits of one image, without T squared: (q - p) / T, its length.
function gradientSize(studentLogits, teacherLogits, temperature) {
  const q = softmax(studentLogits, temperature), p = softmax(teacherLogits, temperature);
  return Math.hypot(...q.map((share, c) => share - p[c])) / temperature;
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
    const [beside, right] = [root.querySelector(".beside"), root.querySelector(".right")];
    const toggles = make("toggles", `<label><input type="checkbox" name="hide">hide the top class</label>
      <label><input type="checkbox" name="log">log scale</label>`, right);
    root.querySelector(".rows").before(toggles);
    root.querySelector(".rows").classList.add("detailed-rows");
    [this.hiding, this.logging] = toggles.querySelectorAll("input");
    for (const toggle of [this.hiding, this.logging]) toggle.addEventListener("change", () => { view.draw(); this.tell(); });
    this.numbers = make("about", "", beside);
    this.meter = make("meter", `<div class="title"></div>
      <div>without T²: ‖q − p‖ / T = <span class="value"></span></div><div class="bar"><div class="fill"></div><div class="mark"></div></div>
      <div>with T²: T · ‖q − p‖ = <span class="value"></span></div><div class="bar whole"><div class="fill"></div><div class="mark"></div></div>
      <div>a line is a factor of 10; mark: at T = 1</div>`, beside);
    this.equations = make("equations", "", right);
    const rows = root.querySelector(".rows");
    const ask = (target, keep) => { // under the pointer for now, by a click until the next click
      const asked = target.closest("[data-class]")?.dataset.class;
      if (asked === undefined) return;
      this.asked = Number(asked);
      if (keep) {
        this.kept = this.kept === this.asked ? null : this.asked;
        this.tell();
      }
      view.draw();
    };
    for (const event of ["pointerover", "focusin"]) rows.addEventListener(event, ({ target }) => ask(target, false));
    rows.addEventListener("click", ({ target }) => ask(target, true));
    rows.addEventListener("pointerleave", () => {
      if (this.kept === null || this.kept === this.asked) return;
      this.asked = this.kept;
      view.draw();
    });
    rows.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      ask(event.target, true);
    });
  }

  tell() {
    this.view.send("details", { hide: this.hiding.checked, log: this.log, asked: this.kept, given: this.view.data.details });
  }

  take(given) { // what the page or a link says; it counts once
    const text = JSON.stringify(given);
    if (text === this.given) return;
    this.given = text;
    [this.hiding.checked, this.logging.checked, this.kept, this.key] = [given.hide, given.log, given.asked, undefined];
  }

  get log() { return this.logging.checked; }

  show({ members, classes, label, details }) {
    this.take(details);
    if (this.kept >= classes.length) this.kept = null;
    for (const name of this.view.root.querySelectorAll(".class")) Object.assign(name, { tabIndex: 0, role: "button" });
    const known = members.every(({ logits }) => logits);
    this.numbers.hidden = this.meter.hidden = this.equations.hidden = !known;
    const key = JSON.stringify([label, members.map(({ logits }) => logits)]);
    if (key !== this.key) this.asked = this.kept ?? label ?? top(members[0].logits ?? [0]);
    this.key = key;
    const table = Object.assign(document.createElement("table"), { className: "numbers" });
    const row = (place, kinds, texts) => {
      const line = place.insertRow();
      return texts.map((text, i) => line.appendChild(Object.assign(document.createElement(kinds[i ? 1 : 0]), { textContent: text })));
    };
    row(table.createTHead(), ["th", "th"], ["", ...members.map(({ name }) => name)]);
    const body = table.createTBody();
    this.told = Object.fromEntries(["entropy, nats", "entropy, bits", "runner-up", "runner-up ÷ top"].map((name) => [
      name, row(body, ["th", "td"], [name, ...members.map(() => "")]).slice(1)]));
    this.numbers.replaceChildren(table);
    this.equations.replaceChildren(...members.map(({ name }) => {
      const line = Object.assign(document.createElement("div"), { className: "equation" });
      const fraction = (above, below) => `<span class="fraction"><span>${above}</span><span>${below}</span></span>`;
      line.innerHTML = `<b class="who"></b> =
        ${fraction('e<sup class="own"></sup>', 'Σ<sub class="sum"></sub> e<sup>zₖ / <span class="t"></span></sup>')} =
        ${fraction('<span class="above"></span>', '<span class="below"></span>')} = <b class="share"></b>`;
      line.name = name;
      line.parts = Object.fromEntries(["who", "own", "sum", "t", "above", "below", "share"].map((part) => [part, line.querySelector(`.${part}`)]));
      return line;
    }));
    const student = members[1]?.name;
    this.meter.querySelector(".title").textContent = `The soft loss pulls at the ${student ? `${student}'s logits` : "logits of a student that knows nothing"}:`;
    this.pair = known ? [members[1]?.logits ?? classes.map(() => 0), members[0].logits] : undefined;
    const at = this.place(this.pair ? gradientSize(...this.pair, 1) : 1);
    for (const mark of this.meter.querySelectorAll(".mark")) mark.style.left = `${100 * at}%`;
  }

  place(value) { return Math.min(1, Math.max(0, (Math.log10(Math.max(value, 1e-300)) - METER[0]) / (METER[1] - METER[0]))); }

  // With the top class of the first member hidden, what remains is made to add up to 1: in place. Returns the hidden class.
  hide(shown) {
    if (!this.hiding.checked || !this.pair) return -1;
    const { members } = this.view.data;
    const hidden = top(members[0].logits);
    members.forEach(({ logits }, m) => { // from the logits, not from the shares: a rest of 1e-20 is a distribution too
      const rest = softmax(logits.map((z, c) => (c === hidden ? -Infinity : z)), this.view.temperature);
      shown[m].splice(0, rest.length, ...rest);
    });
    return hidden;
  }

  draw(shown, hidden) {
    const { root, temperature, data: { members, classes } } = this.view;
    root.querySelector(".rows").classList.toggle("log", this.log);
    if (!this.pair) return;
    shown.forEach((shares, m) => {
      const nats = entropy(shares);
      const order = members[m].logits.map((_, c) => c).filter((c) => c !== hidden).sort((a, b) => members[m].logits[b] - members[m].logits[a]);
      const ratio = Math.exp((members[m].logits[order[1]] - members[m].logits[order[0]]) / temperature);
      this.told["entropy, nats"][m].textContent = three(nats);
      this.told["entropy, bits"][m].textContent = three(nats / Math.LN2);
      this.told["runner-up"][m].textContent = classes[order[1]] ?? "";
      this.told["runner-up ÷ top"][m].textContent = order.length > 1 ? three(ratio) : "";
    });
    for (const name of root.querySelectorAll(".class")) {
      name.classList.toggle("asked", Number(name.dataset.class) === this.asked);
      name.ariaPressed = Number(name.dataset.class) === this.kept;
    }
    [...this.equations.children].forEach((line, m) => this.write(line, members[m].logits, shown[m], hidden));

    const size = gradientSize(...this.pair, temperature);
    [size, size * temperature ** 2].forEach((value, i) => {
      const bar = this.meter.querySelectorAll(".bar")[i];
      bar.style.setProperty("--p", this.place(value).toFixed(5));
      bar.dataset.value = value;
      this.meter.querySelectorAll(".value")[i].textContent = three(value);
    });
  }

  write({ name, parts }, logits, shares, hidden) {
    const { temperature, data: { classes } } = this.view;
    const gone = this.asked === hidden;
    const left = logits.filter((_, c) => c !== hidden).map((z) => z / temperature);
    const most = Math.max(...left);
    const sum = most + Math.log(left.reduce((total, x) => total + Math.exp(x - most), 0)); // its logarithm
    const t = temperature.toFixed(decimals(temperature));
    const set = (part, text) => { if (part.textContent !== text) part.textContent = text; };
    set(parts.who, `${name}, ${classes[this.asked]}`);
    set(parts.own, `${signed(logits[this.asked], 2)} / ${t}`);
    set(parts.t, t);
    set(parts.sum, hidden < 0 ? "k" : `k ≠ ${classes[hidden]}`);
    set(parts.above, gone ? "hidden" : power(logits[this.asked] / temperature));
    set(parts.below, power(sum));
    set(parts.share, gone ? "hidden" : percent(shares[this.asked]));
  }
}

