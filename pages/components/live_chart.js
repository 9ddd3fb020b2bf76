// A Plotly chart that is mounted once and then updated: Plotly.react changes what differs, so that zoom, legend and the
// chart itself stay between ticks. `data`: {key, figure (JSON text), height, revision, plotly, dark, error_text, patient,
// version, updates, panel, status, details, picture}.
// `patient`: draw when the browser is idle, so that the chart that matters most is drawn first.
// `updates`: an address. The charts of one address request their next figures there, first before they are drawn, then as soon
// as they have drawn the last ones, each chart the figure of its `panel`; one of them sends the trigger "over" when the run has
// ended. `version` tells which of two figures is the newer. What the reply has `written` is for coloured_text.js, by the event
// "written".
// `status`: [icon, text], a line above the chart, or null.
// `details`: {frame (JSON text), cells: [{title, lines: {uid: [xs, ys]}}], first}: a second chart beside the first, which
// shows the lines of the cell under the pointer; a click sends the cell's number. A touch screen has no hover: there the
// first touch shows the lines, and a second touch of the same cell sends its number.
// The arrow keys go from cell to cell, Enter is a click. The functions of chart_text.js stand before this file.
// `picture`: {title, caption, name}: the text above and below the downloaded PNG, and its file name.

let plotly; // one copy of the library for all charts of the browser page
const mounts = {}; // by key: how many elements have shown this chart since the browser page was loaded

// An address relative to where Streamlit's own scripts come from, also behind a proxy that adds a path.
function labAddress(path) {
  const own = document.querySelector("script[type=module][src*='static/js/']")?.src ?? document.baseURI;
  return new URL(own.includes("/static/js/") ? `../../${path}` : path, own);
}

function loadPlotly(name) {
  if (window.Plotly) return Promise.resolve(window.Plotly);
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = labAddress(`app/static/${name}`);
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => { plotly = undefined; script.remove(); reject(new Error("not found")); };
    document.head.append(script);
  });
  return plotly;
}

class LiveChart {
  constructor(root) {
    this.root = root;
    this.paper = root.querySelector(".paper");
    this.detail = root.querySelector(".detail");
    this.status = root.querySelector(".status");
    this.errorText = root.querySelector(".error-text");
    this.spoken = root.querySelector(".spoken"); // the cell of a heat map that was chosen, read out
    this.frame = root.querySelector(".frame");
    this.table = root.querySelector(".data-table");
    this.table.addEventListener("toggle", () => this.describe());
    this.painted = 0;
    this.took = 0; // ms, for the last drawing
    this.resizing = new ResizeObserver(() => this.resize());
  }

  show(data) {
    const { updates, version, revision } = this.last ?? {};
    if (updates && updates === data.updates && revision === data.revision && data.version <= version) return; // nothing new
    this.last = data;
    this.next = data; // when figures come faster than they can be drawn, the newest wins
    this.visibility ??= this.watchVisibility();
    if (data.updates) follow(data.updates, this);
    if (this.visible || !this.painted) this.startPainting();
    this.showStatus(data.status);
  }

  showStatus(status) {
    this.status.hidden = !status;
    if (!status) return;
    const [icon, line] = this.status.querySelectorAll("span");
    [icon.textContent, line.textContent] = status;
  }

  follows(address) {
    return this.root.isConnected && this.last.updates === address;
  }

  startPainting() {
    this.painting ??= this.paint().finally(() => { this.painting = undefined; });
  }

  watchVisibility() { // a chart that is scrolled out of view waits: drawing it would delay the visible ones
    const observer = new IntersectionObserver((entries) => {
      this.visible = entries.at(-1).isIntersecting;
      if (this.visible && this.next) this.startPainting();
    }, { rootMargin: "200px" });
    observer.observe(this.root);
    return observer;
  }

  async paint() {
    while (this.next && (this.visible || !this.painted)) {
      for (const paper of [this.paper, this.detail]) paper.style.height = `${this.next.height}px`;
      if (!this.painted) await Promise.race([followed.get(this.next.updates)?.answered, wait(200)]);
      if (this.next.patient) await new Promise((resolve) => whenIdle(resolve, { timeout: 500 }));
      const data = this.next;
      this.next = undefined;
      this.root.classList.toggle("with-detail", Boolean(data.details));
      let Plotly;
      try {
        Plotly = await loadPlotly(data.plotly);
      } catch {
        this.errorText.textContent = data.error_text;
        continue;
      }
      this.errorText.textContent = "";
      this.picture = data.picture;
      const began = performance.now();
      const figure = applyTheme(JSON.parse(themeColours(data, this.root)), data, this.root);
      this.paper.style.height = `${figure.layout.height}px`;
      await Plotly.react(this.paper, figure.data, figure.layout, settings(Plotly));
      if (data.details) await this.showDetail(Plotly, data);
      else this.describe();
      this.resizing.observe(this.root);
      this.took = performance.now() - began;
      this.painted += 1;
      this.root.dataset.painted = this.painted;
      if (this.painted % 1000 === 0) performance.clearMarks("chart-painted");
      performance.mark("chart-painted", { detail: { key: data.key, painted: this.painted } });
    }
  }

  describe() { // for a screen reader, and in the table while it is open
    for (const paper of this.details ? [this.paper, this.detail] : [this.paper]) {
      if (!paper.role) paper.setAttribute("role", "figure");
      paper.setAttribute("aria-label", describeChart(paper));
    }
    if (this.table.open) fillTables(this.table.querySelector(".tables"), this.paper);
  }

  key(event, Plotly) { // from cell to cell of the heat map, as the mouse does
    const rows = this.paper.data.find(({ type }) => type === "heatmap")?.customdata;
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [1, 0], ArrowDown: [-1, 0] }[event.key];
    if (!rows || event.ctrlKey || event.metaKey || event.altKey || !(step || event.key === "Enter")) return;
    event.preventDefault();
    const now = this.cell ?? this.details.details.first;
    if (!step) { this.send("clicked", now); return; }
    const [r, c] = [Math.floor(now / rows[0].length), now % rows[0].length].map((place, axis) => place + step[axis]);
    if (rows[r]?.[c] === undefined) return;
    this.cell = rows[r][c];
    this.paintDetail(Plotly);
    this.frameCell(r, c);
  }

  frameCell(row, column) { // where the keyboard is; Plotly shows its hover label to a pointer only
    const { xaxis, yaxis } = this.paper._fullLayout;
    const [left, right] = [-0.5, 0.5].map((side) => xaxis._offset + xaxis.d2p(column + side));
    const [top, bottom] = [0.5, -0.5].map((side) => yaxis._offset + yaxis.d2p(row + side));
    const pixels = { left: this.paper.offsetLeft + left, top: this.paper.offsetTop + top, width: right - left, height: bottom - top };
    for (const [name, value] of Object.entries(pixels)) this.frame.style[name] = `${value}px`;
    this.frame.hidden = false;
  }

  async showDetail(Plotly, data) {
    this.details = data;
    if (!this.hasHandlers) {
      this.hasHandlers = true;
      Object.assign(this.paper, { tabIndex: 0, role: "application" });
      this.paper.setAttribute("aria-roledescription", "heat map: the arrow keys go from cell to cell, Enter opens a cell");
      this.paper.addEventListener("keydown", (event) => this.key(event, Plotly));
      this.paper.addEventListener("blur", () => { this.frame.hidden = true; });
      this.paper.on("plotly_hover", ({ points: [{ customdata }] }) => {
        if (Number.isInteger(customdata)) { this.cell = customdata; this.paintDetail(Plotly); }
      });
      this.paper.on("plotly_click", ({ points: [{ customdata }], event }) => {
        const again = event.timeStamp - this.clicked < 300; // Plotly reports a touch, and the mouse click that browsers add to it
        if (!Number.isInteger(customdata) || again) return;
        this.clicked = event.timeStamp;
        if (!touch || this.touched === customdata) this.send("clicked", customdata);
        this.touched = this.cell = customdata;
        this.paintDetail(Plotly);
      });
    }
    await this.paintDetail(Plotly);
  }

  async paintDetail(Plotly) {
    const { frame, cells, first } = this.details.details;
    const cell = cells[this.cell ?? first] ?? cells[0];
    const figure = applyTheme(JSON.parse(themeColours({ figure: frame, dark: this.details.dark }, this.root)), this.details, this.root);
    figure.layout.title.text = cell.title;
    for (const trace of figure.data) [trace.x, trace.y] = cell.lines[trace.uid];
    await Plotly.react(this.detail, figure.data, figure.layout, settings(Plotly));
    this.root.dataset.cell = this.cell ?? first;
    this.describe();
    if (this.cell !== undefined) {
      const text = this.paper.data.find(({ type }) => type === "heatmap")?.text?.flat()[this.cell];
      const spoken = `${cell.title}: ${plainText(text)}`;
      if (this.spoken.textContent !== spoken) this.spoken.textContent = spoken;
    }
  }

  save(paper = this.paper) {
    const layout = {
      ...paper.layout,
      paper_bgcolor: getComputedStyle(this.root).getPropertyValue("--st-background-color").trim(), // light text on no background cannot be read elsewhere
      font: { ...paper.layout.font, family: "sans-serif" }, // the page's font is not available inside a PNG, and another is wider
    };
    const file = { format: "png", scale: 2, width: paper.clientWidth, height: paper.clientHeight, filename: "distill-lab" };
    if (this.picture && paper === this.paper) { // the size of a slide, whatever the screen
      const { title, caption, name } = this.picture, { l, r, t, b } = layout.margin;
      layout.title = { text: title, x: 0.02, y: 0.96, yanchor: "top", font: { size: 18 } };
      layout.margin = { l: Math.max(24, l + 6), r: r + 14, t: t + 48, b: b + 62 };
      layout.annotations = [{
        text: caption, align: "left", showarrow: false,
        xref: "paper", x: 0, xanchor: "left", yref: "paper", y: 0, yanchor: "top", yshift: -b - 8,
      }];
      Object.assign(file, { width: 960, height: 540, filename: name });
    }
    return window.Plotly.downloadImage({ data: paper.data, layout }, file);
  }

  resize() {
    for (const paper of [this.paper, this.detail]) {
      const { clientWidth, clientHeight, _fullLayout: size } = paper;
      if (clientWidth && size && (clientWidth !== size.width || clientHeight !== size.height)) {
        this.frame.hidden = true;
        window.Plotly.Plots.resize(paper);
      }
    }
  }

  close() {
    this.resizing.disconnect();
    this.visibility?.disconnect();
    for (const paper of [this.paper, this.detail]) window.Plotly?.purge(paper);
  }
}

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const followed = new Map(); // by address: the charts of one run, and the promise of their first answer with its resolver
const RETRY = 2000; // ms after a request that failed

function follow(address, chart) {
  const known = followed.get(address);
  if (known) { known.charts.add(chart); return; }
  const run = { charts: new Set([chart]) };
  run.answered = new Promise((resolve) => { run.answer = resolve; });
  followed.set(address, run);
  requestUpdates(address, run).finally(() => followed.delete(address));
}

const pause = (charts) => charts.reduce((sum, chart) => sum + (chart.visible ? chart.took : 0), 0); // half of the time is for the rest of the page

// One request after another for all charts that follow this address, until none does or the run has ended or is gone. The charts are
// first drawn when the first request is answered, with the points that the race has by then, or after 200 ms without an answer.
async function requestUpdates(address, { charts, answer }) {
  await wait(0); // the other charts of the page come in the same moment
  for (let shown; (shown = [...charts].filter((chart) => chart.follows(address))).length; await wait(pause(shown))) {
    const version = Math.min(...shown.map((chart) => chart.last.version));
    const reply = await fetch(labAddress(`${address}?panels=${shown.map((chart) => chart.last.panel)}&after=${version}`)).catch(() => undefined);
    if (!reply?.ok && reply?.status !== 404) { answer(); await wait(RETRY); continue; }
    const update = reply.ok ? await reply.json() : { active: false };
    if (update.written) document.dispatchEvent(new CustomEvent("written", { detail: { address, written: update.written } }));
    shown = shown.filter((chart) => chart.follows(address)); // meanwhile the page may show another run
    for (const chart of shown) {
      if (update.active && chart.last.status) chart.last.status = update.status; // the page itself shows the end, with the conclusion
      if (update.version > chart.last.version) {
        chart.show({ ...chart.last, version: update.version, figure: JSON.stringify(update.figures[chart.last.panel]) });
      } else chart.showStatus(chart.last.status);
    }
    answer();
    await Promise.all(shown.map((chart) => chart.painting));
    if (update.active) continue;
    await wait(300); // after Stop or Pause the page reruns by itself: do not delay that
    shown.find((chart) => chart.follows(address))?.send("over", true);
    return;
  }
}

// Safari has no requestIdleCallback.
const whenIdle = (callback, options) => (window.requestIdleCallback ?? ((call) => setTimeout(call, 50)))(callback, options);
const touch = matchMedia("(pointer: coarse)").matches;
const isDark = (element) => getComputedStyle(element).colorScheme.startsWith("dark");

// A figure is drawn in the colours of a light page; on a dark page each is replaced by its counterpart.
function themeColours(data, root) {
  if (!isDark(root)) return data.figure;
  return Object.entries(data.dark).reduce((text, [light, dark]) => text.replaceAll(`"${light}"`, `"${dark}"`), data.figure);
}

// Colours of text and grid from the page's theme, and a transparent background.
function applyTheme(figure, data, root) {
  const theme = getComputedStyle(root);
  const textColour = theme.getPropertyValue("--st-text-color").trim() || "#444444";
  const page = theme.getPropertyValue("--st-background-color").trim() || "#ffffff";
  const grid = isDark(root) ? "#3c4048" : "#d9dce1";
  const layout = figure.layout;
  Object.assign(layout, { autosize: true, height: data.height, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" });
  delete layout.width;
  layout.uirevision = `revision ${data.revision}`; // must not be empty, or Plotly loses zoom and legend
  layout.font = { size: 16, family: theme.getPropertyValue("--st-font").trim() || "sans-serif", ...layout.font, color: textColour };
  layout.hoverlabel = { bgcolor: page, bordercolor: textColour, ...layout.hoverlabel };
  layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: textColour, activecolor: textColour, ...layout.modebar };
  if (root.clientWidth < 560 && layout.yaxis?.categoryarray) { // no room for the names of rows beside them: above
    layout.height = 1.6 * data.height;
    const above = { xref: "paper", x: 0, xanchor: "left", yanchor: "bottom", yshift: 6, showarrow: false };
    const names = layout.yaxis.categoryarray.map((name) => ({ ...above, y: name, text: name }));
    layout.annotations = [...(layout.annotations ?? []), ...names];
    layout.yaxis = { ...layout.yaxis, showticklabels: false };
  }
  if (touch) { // a drag scrolls the page; the buttons are always visible, above the chart
    layout.dragmode = false;
    layout.margin = { ...layout.margin, t: Math.max(34, layout.margin?.t ?? 0) };
  }
  for (const name of Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name))) {
    layout[name] = { gridcolor: grid, zerolinecolor: grid, linecolor: grid, spikecolor: textColour, spikethickness: -2, ...layout[name] };
  }
  return figure;
}

let sharedSettings;

function settings(Plotly) { // the same object each time: for different settings Plotly redraws everything and loses the zoom
  sharedSettings ??= {
    displaylogo: false,
    displayModeBar: "hover",
    responsive: false, // the ResizeObserver also sees columns and tabs
    modeBarButtons: [[...(touch ? [] : ["zoomOut2d", "resetScale2d"]), {
      name: "picture",
      title: "Download as PNG",
      icon: Plotly.Icons.camera,
      click: (paper) => paper.closest(".live-chart").chart.save(paper),
    }]],
  };
  return sharedSettings;
}

let rehearsed = false;

// Plotly's first drawing in a browser page takes 150 ms longer than later ones: an invisible chart is drawn while the browser is idle.
async function rehearse(Plotly) {
  if (rehearsed || document.querySelector(".js-plotly-plot")) return; // a chart was drawn already
  rehearsed = true;
  const paper = document.createElement("div");
  Object.assign(paper, { ariaHidden: "true", style: "position: fixed; visibility: hidden; width: 600px; height: 300px" });
  document.body.append(paper);
  const line = { x: [0, 1, 2], y: [0, 1, 0], name: "line", mode: "lines" };
  const layout = { width: 600, height: 300, showlegend: true, title: { text: "title" }, xaxis: { title: { text: "x" } }, annotations: [{ text: "text", x: 1, y: 1 }] };
  await Plotly.newPlot(paper, [line, { ...line, fill: "tonexty" }], layout, settings(Plotly)).catch(() => {});
  Plotly.purge(paper);
  paper.remove();
}

export default function ({ data, parentElement, setTriggerValue }) {
  if (!data.figure) { // only get ready for the first chart
    loadPlotly(data.plotly).then((Plotly) => whenIdle(() => rehearse(Plotly), { timeout: 2000 })).catch(() => {});
    return;
  }
  const root = parentElement.querySelector(".live-chart");
  if (!root.chart) {
    root.chart = new LiveChart(root);
    root.dataset.mounts = mounts[data.key] = (mounts[data.key] ?? 0) + 1;
  }
  root.chart.send = setTriggerValue;
  root.chart.show(data);
  // Streamlit also cleans up after a tick that the next one replaced: close only a chart that has left the page.
  return () => setTimeout(() => { if (!root.isConnected) root.chart.close(); });
}
