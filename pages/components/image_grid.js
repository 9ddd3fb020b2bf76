// A grid of small images on one canvas. `data`: {pixels (base64, N x D x H x W), shape [D, H, W], ids, captions, chosen}.

const COLUMNS = 6, GAP = 4;

class ImageGrid {
  constructor(root) {
    this.canvas = root.querySelector("canvas");
    this.caption = root.querySelector(".caption");
    this.canvas.addEventListener("pointermove", (event) => this.highlight(this.imageAt(event)));
    this.canvas.addEventListener("pointerleave", () => this.highlight(undefined));
    this.canvas.addEventListener("click", (event) => this.pick(this.imageAt(event)));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("blur", () => this.highlight(undefined));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  show(data, send) {
    if (data.pixels !== this.data?.pixels) this.sprites = this.cut(data);
    this.data = data;
    this.send = send;
    this.canvas.replaceChildren(...data.captions.map((caption, n) => { // what a screen reader finds in the canvas
      const option = Object.assign(document.createElement("span"), { id: `option-${n}`, role: "option", textContent: caption });
      option.setAttribute("aria-label", caption || `image ${n + 1}`);
      return option;
    }));
    this.chosen = data.ids.indexOf(data.chosen);
    this.highlight(undefined);
  }

  cut({ pixels, shape: [depth, height, width], ids }) {
    const bytes = Uint8Array.from(atob(pixels), (letter) => letter.charCodeAt(0));
    const area = height * width;
    return ids.map((_, n) => {
      const sprite = Object.assign(document.createElement("canvas"), { width, height });
      const picture = new ImageData(width, height);
      for (let i = 0; i < area; i += 1) {
        for (let d = 0; d < 3; d += 1) picture.data[4 * i + d] = bytes[(n * depth + Math.min(d, depth - 1)) * area + i];
        picture.data[4 * i + 3] = 255;
      }
      sprite.getContext("2d").putImageData(picture, 0, 0);
      return sprite;
    });
  }

  corner(n) { return [(n % COLUMNS) * (this.side + GAP), Math.floor(n / COLUMNS) * (this.side + GAP)]; }

  draw() {
    const wide = this.canvas.clientWidth;
    if (!this.data || !wide) return;
    this.side = (wide - GAP * (COLUMNS - 1)) / COLUMNS;
    const tall = Math.ceil(Math.max(1, this.sprites.length) / COLUMNS) * (this.side + GAP) - GAP;
    const scale = devicePixelRatio;
    this.canvas.style.height = `${tall}px`;
    Object.assign(this.canvas, { width: Math.round(wide * scale), height: Math.round(tall * scale) });
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.imageSmoothingEnabled = false;
    const style = getComputedStyle(this.canvas);
    this.sprites.forEach((sprite, n) => pen.drawImage(sprite, ...this.corner(n), this.side, this.side));
    const frame = (n, colour, line) => {
      if (n === undefined || n < 0) return;
      const [x, y] = this.corner(n);
      pen.strokeStyle = colour;
      pen.lineWidth = line;
      pen.strokeRect(x + line / 2, y + line / 2, this.side - line, this.side - line);
    };
    frame(this.chosen, style.getPropertyValue("--st-background-color"), 7); // an edge in the background colour, so that the frame is visible on any image
    frame(this.chosen, style.getPropertyValue("--st-link-color"), 4);
    frame(this.highlighted, style.getPropertyValue("--st-text-color"), 2);
  }

  imageAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const cell = this.side + GAP;
    const n = Math.floor((event.clientY - box.top) / cell) * COLUMNS + Math.min(COLUMNS - 1, Math.floor((event.clientX - box.left) / cell));
    return n >= 0 && n < this.data.ids.length ? n : undefined;
  }

  highlight(n) {
    this.highlighted = n;
    this.caption.textContent = this.data.captions[n ?? this.chosen] ?? "";
    const active = n ?? this.chosen;
    this.canvas.setAttribute("aria-label", `${this.data.ids.length} images; the arrow keys move, Enter chooses`);
    if (active >= 0) this.canvas.setAttribute("aria-activedescendant", `option-${active}`);
    else this.canvas.removeAttribute("aria-activedescendant");
    [...this.canvas.children].forEach((option, i) => option.setAttribute("aria-selected", i === this.chosen));
    this.draw();
  }

  pick(n) {
    if (n === undefined) return;
    this.chosen = n; // before the page has rerun
    this.highlight(n);
    this.send("picked", this.data.ids[n]);
  }

  key(event) {
    const far = this.data.ids.length;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: COLUMNS, ArrowUp: -COLUMNS, Home: -far, End: far }[event.key];
    if (event.key === "Enter" || event.key === " ") this.pick(this.highlighted ?? this.chosen);
    else if (step) this.highlight(Math.min(this.data.ids.length - 1, Math.max(0, (this.highlighted ?? Math.max(0, this.chosen)) + step)));
    else return;
    event.preventDefault();
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".image-grid");
  root.view ??= new ImageGrid(root);
  root.view.show(data, setTriggerValue);
}
