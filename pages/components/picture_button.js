// Downloads the chart with the key `data.chart` as a PNG, made in the browser.
export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button");
  button.textContent = data.label;
  button.onclick = () => document.querySelector(`.st-key-${CSS.escape(data.chart)} .live-chart`)?.chart.save();
}
