// Ten chips of 10 % for each image. `data`: {shape, images (base64, D x H x W), classes, given: {image: percentages}}.
// A click on a class places a chip, a click on its minus takes one back. When the tenth is placed, the trigger "label" sends
// {image, shares}; the next image without a label follows.
const CHIPS = 10;

class SoftLabel {
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.chips = data.images.map((_, image) => data.given[image]?.map((share) => share / CHIPS) ?? data.classes.map(() => 0));
    this.sent = new Set(Object.keys(data.given).map(Number));
    this.image = this.nextOpen(0);
    this.build();
    this.show();
  }

  nextOpen(from) {
    const order = this.chips.map((_, n) => (from + n) % this.chips.length);
    return order.find((image) => !this.sent.has(image)) ?? Math.min(from, this.chips.length - 1);
  }

  build() {
    this.root.replaceChildren();
    this.thumbs = add(this.root, "div", "thumbs");
    this.data.images.forEach((pixels, image) => {
      const thumb = add(this.thumbs, "button", "thumb");
      thumb.type = "button";
      draw(add(thumb, "canvas", ""), pixels, this.data.shape);
      thumb.onclick = () => { this.image = image; this.show(); };
    });
    const work = add(this.root, "div", "work");
    const left = add(work, "div", "left");
    this.canvas = add(left, "canvas", "picture");
    this.canvas.setAttribute("role", "img");
    this.left = add(left, "p", "left-over");
    this.left.setAttribute("aria-live", "polite");
    this.rows = add(work, "div", "rows");
    this.parts = this.data.classes.map((name, c) => {
      const row = add(this.rows, "div", "row");
      const minus = add(row, "button", "minus", "−");
      const plus = add(row, "button", "plus");
      plus.type = minus.type = "button";
      const label = add(plus, "b", "", name), bar = add(plus, "span", "bar"), share = add(plus, "span", "share");
      minus.setAttribute("aria-label", `${name}: take 10 % back`);
      plus.onclick = () => this.place(c, 1);
      minus.onclick = () => this.place(c, -1);
      return { minus, plus, label, bar, share, name };
    });
  }

  place(c, by) {
    const chips = this.chips[this.image];
    const used = chips.reduce((sum, n) => sum + n, 0);
    if ((by > 0 && used === CHIPS) || (by < 0 && chips[c] === 0)) return;
    chips[c] += by;
    if (used + by === CHIPS) {
      const image = this.image;
      this.send({ image, shares: chips.map((n) => n * CHIPS) });
      this.sent.add(image);
      const next = this.nextOpen(image + 1);
      if (!this.sent.has(next)) setTimeout(() => { if (this.image === image) { this.image = next; this.show(); } }, 500);
    }
    this.show();
  }

  show() {
    const chips = this.chips[this.image], left = CHIPS - chips.reduce((sum, n) => sum + n, 0);
    const all = this.data.images.length;
    draw(this.canvas, this.data.images[this.image], this.data.shape);
    this.canvas.setAttribute("aria-label", `image ${this.image + 1} of ${all}`);
    this.left.textContent = left ? `${left * CHIPS} % left to place` : this.sent.size === all ? "All done. Thank you!" : "Done";
    this.root.dataset.done = this.sent.size;
    [...this.thumbs.children].forEach((thumb, image) => {
      thumb.classList.toggle("sent", this.sent.has(image));
      thumb.setAttribute("aria-current", image === this.image);
      thumb.setAttribute("aria-label", `image ${image + 1}${this.sent.has(image) ? ", done" : ""}`);
    });
    this.parts.forEach((part, c) => {
      part.bar.style.setProperty("--p", chips[c] / CHIPS);
      part.share.textContent = chips[c] ? `${chips[c] * CHIPS} %` : "";
      part.plus.setAttribute("aria-label", `${part.name}: ${chips[c] * CHIPS} %, add 10 %`);
      part.plus.disabled = left === 0;
      part.minus.disabled = chips[c] === 0;
    });
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".soft-label");
  const name = data.images.join();
  if (root.name !== name) Object.assign(root, { name, label: new SoftLabel(root, data) });
  root.label.send = (label) => setTriggerValue("label", label);
}
