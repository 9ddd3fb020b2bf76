// Images, each beside its predictions by several networks, or above its caption only. `data`: {shape, images: [{pixels (base64, D x H x W), caption,
// bars: for each member a list of [class, probability]}], members: [{name, light, dark, sign}]}.

const percent = (p) => (p >= 0.9995 ? "> 99.9 %" : p >= 0.001 ? `${(100 * p).toFixed(1)} %` : p > 0 ? "< 0.1 %" : "0 %");

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".gallery");
  root.replaceChildren();
  root.classList.toggle("captions-only", !data.members.length);
  for (const image of data.images) {
    const figure = add(root, "figure", "");
    add(figure, "figcaption", "", image.caption);
    const canvas = add(figure, "canvas", "");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", image.caption);
    draw(canvas, image.pixels, data.shape);
    const predictions = data.members.length && add(figure, "div", "predictions");
    data.members.forEach((member, m) => {
      const box = add(predictions, "div", "member");
      box.style.setProperty("--light", member.light);
      box.style.setProperty("--dark", member.dark);
      add(box, "div", "who", `${member.sign} ${member.name}`);
      for (const [name, p] of image.bars[m]) {
        const bar = add(box, "div", "bar");
        bar.style.setProperty("--p", p);
        add(bar, "b", "", name);
        add(bar, "span", "", percent(p));
      }
    });
  }
}
