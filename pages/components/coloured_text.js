// Texts of several networks. `data`: {prompt, most, unit, epoch, updates, texts: [{name, light, dark, tokens: [[token, number or null]]}]}.
// `epoch`: a number for the line above them, or null.
// `updates`: an address. Where live_chart.js gets new texts from there, {epoch, and the text of some of the names}, they are shown.

function show(root, { prompt, most, unit, epoch, texts }) {
  root.replaceChildren();
  if (epoch !== null) add(root, "p", "epoch", epoch ? `After epoch ${epoch}` : "Before the training");
  for (const { name, light, dark, tokens } of texts) {
    const figure = add(root, "figure", "");
    figure.style.setProperty("--light", light);
    figure.style.setProperty("--dark", dark);
    add(figure, "figcaption", "", name);
    const text = add(figure, "p", "text");
    add(text, "b", "prompt", prompt);
    for (const [token, value] of tokens) {
      const part = add(text, "span", "", token);
      if (value === null) continue;
      part.style.setProperty("--share", `${Math.round(100 * Math.min(1, value / most))}%`);
      part.title = `${value.toFixed(2)} ${unit}`;
    }
  }
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".coloured-text");
  show(root, data);
  document.removeEventListener("written", root.update); // of the last tick
  const update = ({ detail: { address, written } }) => {
    if (!data.updates || address !== data.updates) return;
    const texts = data.texts.map((one) => (one.name in written ? { ...one, tokens: [[written[one.name], null]] } : one));
    show(root, { ...data, epoch: written.epoch, texts });
  };
  root.update = update;
  document.addEventListener("written", update);
  return () => document.removeEventListener("written", update);
}
