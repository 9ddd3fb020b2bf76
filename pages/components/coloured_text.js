// Texts of several networks. `data`: {prompt, most, unit, texts: [{name, light, dark, tokens: [[token, number or null]]}]}.

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".coloured-text");
  root.replaceChildren();
  for (const { name, light, dark, tokens } of data.texts) {
    const figure = add(root, "figure", "");
    figure.style.setProperty("--light", light);
    figure.style.setProperty("--dark", dark);
    add(figure, "figcaption", "", name);
    const text = add(figure, "p", "text");
    add(text, "b", "prompt", data.prompt);
    for (const [token, value] of tokens) {
      const part = add(text, "span", "", token);
      if (value === null) continue;
      part.style.setProperty("--share", `${Math.round(100 * Math.min(1, value / data.most))}%`);
      part.title = `${value.toFixed(2)} ${data.unit}`;
    }
  }
}
