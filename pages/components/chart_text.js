// What a chart shows in words and as a table, read from the figure itself: for screen readers, and for whoever prefers numbers.

const SHOWN_ROWS = 400; // of a table
const plainText = (text) => String(text ?? "").replace(/<br\s*\/?>/g, ", ").replace(/<[^>]*>/g, "").trim();

const isNumber = (value) => typeof value === "number" && !Number.isNaN(value);

// A value as its axis writes it: the tick's text if it has one, else a number of at most four digits.
function written(value, axis) {
  const tick = axis?.ticktext && axis.tickvals ? [...axis.tickvals].indexOf(value) : -1;
  if (tick >= 0) return plainText(axis.ticktext[tick]);
  return typeof value === "number" ? String(Number(value.toPrecision(4))).replace("-", "−") : plainText(value);
}

// The traces that have numbers to read: visible, and not decoration such as a band, a hatch or the edge of a graph.
function tracesOf(paper) {
  const axisOf = (id) => paper.layout[`${id[0]}axis${id.slice(1)}`] ?? {};
  const title = (axis) => plainText(axis.title?.text ?? (typeof axis.title === "string" ? axis.title : ""));
  return (paper._fullData ?? []).filter((trace) => trace.visible === true && trace.hoverinfo !== "skip").map((trace) => {
    const [xaxis, yaxis] = [axisOf(trace.xaxis ?? "x"), axisOf(trace.yaxis ?? "y")];
    const name = plainText(trace._input?.name) || title(yaxis) || "values";
    const { z, text, hovertext } = trace;
    const error = trace.error_y?.visible ? trace.error_y : trace.error_x?.visible ? trace.error_x : undefined;
    const side = trace.orientation === "h" || trace.error_x?.visible;
    const [keys, values] = side ? [trace.y, trace.x] : [trace.x, trace.y];
    const [keyAxis, axis] = side ? [yaxis, xaxis] : [xaxis, yaxis];
    const points = z ? [] : [...(keys ?? [])].map((key, i) => ({ key, value: values?.[i], i })).filter(({ value }) => isNumber(value) || typeof value === "string");
    return { name, keyAxis, axis, xaxis, yaxis, points, z, x: trace.x, y: trace.y, labels: hovertext ?? text, error, title: z ? name : title(axis), keyTitle: title(keyAxis) };
  }).filter(({ points, z }) => z || points.length);
}

// The cells of a heat map that have a number: [{text, value}].
function cellsOf({ z, x, y, xaxis, yaxis }) {
  return [...z].flatMap((row, r) => [...row].flatMap((value, c) => (isNumber(value)
    ? [{ value, text: `${written(value)} at ${written(x?.[c] ?? c, xaxis)}, ${written(y?.[r] ?? r, yaxis)}` }] : [])));
}

function inOneSentence(trace) {
  const { name, points, axis, keyAxis, z } = trace;
  if (z) {
    const cells = cellsOf(trace).sort((a, b) => a.value - b.value);
    return cells.length ? `${name}: ${cells.length} cells, from ${cells[0].text}, to ${cells.at(-1).text}` : `${name}: no number yet`;
  }
  const at = ({ key, value }) => `${written(value, axis)} at ${written(key, keyAxis)}`;
  if (points.length <= 4) return `${name}: ${points.map(at).join("; ")}`;
  const numbers = points.map(({ value }) => value).filter(isNumber);
  const range = numbers.length ? `, between ${written(Math.min(...numbers), axis)} and ${written(Math.max(...numbers), axis)}` : "";
  return `${name}: ${points.length} points${range}, first ${at(points[0])}, last ${at(points.at(-1))}`;
}

// The chart in words, for its label.
function describeChart(paper) {
  const { title, annotations = [], xaxis } = paper.layout;
  const traces = tracesOf(paper);
  const heading = plainText(title?.text) || plainText(annotations.find(({ showarrow, xref }) => !showarrow && /paper|domain/.test(xref))?.text) || traces[0]?.title;
  const along = plainText(xaxis?.title?.text);
  const shown = traces.slice(0, 8).map(inOneSentence);
  if (traces.length > shown.length) shown.push(`and ${traces.length - shown.length} more`);
  return `Chart${heading ? `: ${heading}` : ""}${along ? ` by ${along}` : ""}. ${shown.join(". ") || "No number yet"}. The data table has all numbers.`;
}

// The numbers as tables: [{head: [text], rows: [[text]]}].
function tablesOf(paper) {
  const traces = tracesOf(paper);
  const maps = traces.filter(({ z }) => z).map(({ name, z, x, y, xaxis, yaxis }) => ({
    head: [name, ...[...(z[0] ?? [])].map((_, c) => written(x?.[c] ?? c, xaxis))],
    rows: [...z].map((row, r) => [written(y?.[r] ?? r, yaxis), ...[...row].map((value) => (isNumber(value) ? written(value) : ""))]),
  }));
  const series = traces.filter(({ z }) => !z);
  if (!series.length) return maps;
  const cell = ({ name, axis, error, labels }, { value, i }) => {
    const spread = error?.array ? ` (${written(value - (error.arrayminus ?? error.array)[i])} to ${written(value + error.array[i])})` : "";
    const label = Array.isArray(labels) ? plainText(labels[i]) : "";
    if (name && label.startsWith(name)) return label.slice(name.length).replace(/^[,:\s]+/, ""); // "student 94.1 % (93.0 to 95.2)"
    return `${written(value, axis)}${spread}${label && ` ${label}`}`;
  };
  const unique = series.every(({ points }) => new Set(points.map(({ key }) => key)).size === points.length);
  const sameAxis = series.every(({ keyTitle }) => keyTitle === series[0].keyTitle);
  if (unique && sameAxis) { // one row a place on the axis, one column a curve
    const keys = [...new Set(series.flatMap(({ points }) => points.map(({ key }) => key)))];
    if (keys.every(isNumber)) keys.sort((a, b) => a - b);
    const columns = series.map((one) => new Map(one.points.map((point) => [point.key, cell(one, point)])));
    const rows = keys.map((key) => [written(key, series[0].keyAxis), ...columns.map((column) => column.get(key) ?? "")]);
    return [...maps, { head: [series[0].keyTitle, ...series.map(({ name }) => name)], rows }];
  }
  const rows = series.flatMap((one) => one.points.map((point) => [one.name, written(point.key, one.keyAxis), cell(one, point)]));
  return [...maps, { head: ["", series[0].keyTitle || "horizontal", series[0].title || "vertical"], rows }];
}

function fillTables(place, paper) {
  place.replaceChildren(...tablesOf(paper).map(({ head, rows }) => {
    const table = document.createElement("table");
    const add = (section, texts, kinds) => {
      const line = section.insertRow();
      texts.forEach((text, i) => {
        const part = line.appendChild(document.createElement(kinds[Math.min(i, kinds.length - 1)]));
        part.textContent = text;
        if (part.tagName === "TH") part.scope = section.tagName === "THEAD" ? "col" : "row";
      });
    };
    add(table.createTHead(), head, ["th"]);
    const body = table.createTBody();
    for (const row of rows.slice(0, SHOWN_ROWS)) add(body, row, ["th", "td"]);
    if (rows.length > SHOWN_ROWS) table.createCaption().textContent = `The first ${SHOWN_ROWS} of ${rows.length} rows.`;
    return table;
  }));
}
