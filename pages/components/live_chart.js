// A chart is mounted once and then only told of new figures: Plotly.react changes what differs, so that zoom, legend
// and the picture itself stay between ticks. `data`: {key, figure (JSON text), height, revision, plotly, dark, error_text, patient,
// version, news, details}.
// A patient chart waits until the browser has nothing else to do, so that the one that matters is painted first.
// `details`: {frame (JSON text), cells: [{title, lines: {uid: [xs, ys]}}], first}: a second chart beside the first, which
// shows the lines of the cell under the pointer; a click on a cell tells its number. A finger has no pointer to hover with:
// its first touch shows the lines, a second on the same cell tells.
// `picture`: {title, caption, name}, what a picture of it says above and below, and how its file is called.
// With `news`, an address, the chart asks there for its next figure as soon as it has painted the last, and says when the
// run is over; `version` tells which of two figures is the newer.

let plotly; // one copy of the library for all charts of the browser page

// Beside Streamlit's own scripts, wherever a proxy has put them.
function beside(path) {
  const own = document.querySelector("script[type=module][src*='static/js/']")?.src ?? document.baseURI;
  return new URL(own.includes("/static/js/") ? `../../${path}` : path, own);
}

function loadPlotly(name) {
  if (window.Plotly) return Promise.resolve(window.Plotly);
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = beside(`app/static/${name}`);
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
    this.errorText = root.querySelector(".error-text");
    this.painted = 0;
    this.took = 0; // ms, to paint
    root.dataset.mounts = Number(root.dataset.mounts ?? 0) + 1;
    this.resizing = new ResizeObserver(() => this.resize());
  }

  show(data) {
    const { news, version, revision } = this.last ?? {};
    if (news && news === data.news && revision === data.revision && data.version <= version) return; // a tick that brings nothing new
    this.last = data;
    this.next = data; // when figures come faster than they can be painted, the newest wins
    this.seeing ??= this.watch();
    if (this.seen || !this.painted) this.work();
    if (data.news) this.asking ??= this.ask().finally(() => { this.asking = undefined; });
  }

  async ask() {
    for (let news; (news = this.last.news) && this.root.isConnected;) {
      await this.painting;
      await new Promise((go) => setTimeout(go, this.took)); // half of the time is for the page around it
      const answer = await fetch(beside(`${news}?after=${this.last.version}`)).catch(() => undefined);
      if (!answer?.ok) return; // until the page's next tick
      const { version, active, figure } = await answer.json();
      if (news !== this.last.news) continue; // meanwhile the page shows another run
      this.show({ ...this.last, version, figure: JSON.stringify(figure) });
      if (active) continue;
      await new Promise((go) => setTimeout(go, 300)); // after Stop or Pause the page comes by itself, and is not to be held up
      if (news === this.last.news) this.say("over", true);
      return;
    }
  }

  work() {
    this.painting ??= this.paint().finally(() => { this.painting = undefined; });
  }

  watch() { // a chart that is scrolled out of sight waits: painting it would hold up those that are seen
    const observer = new IntersectionObserver((entries) => {
      this.seen = entries.at(-1).isIntersecting;
      if (this.seen && this.next) this.work();
    }, { rootMargin: "200px" });
    observer.observe(this.root);
    return observer;
  }

  async paint() {
    while (this.next && (this.seen || !this.painted)) {
      if (this.next.patient) await new Promise((go) => requestIdleCallback(go, { timeout: 500 }));
      const data = this.next;
      this.next = undefined;
      for (const paper of [this.paper, this.detail]) paper.style.height = `${data.height}px`;
      this.root.classList.toggle("with-detail", Boolean(data.details));
      let Plotly;
      try {
        Plotly = await loadPlotly(data.plotly);
      } catch {
        this.errorText.textContent = data.error_text;
        continue;
      }
      this.errorText.textContent = "";
      this.words = data.picture;
      const began = performance.now();
      const figure = dress(JSON.parse(text_colours(data, this.root)), data, this.root);
      await Plotly.react(this.paper, figure.data, figure.layout, settings(Plotly));
      if (data.details) await this.showDetail(Plotly, data);
      this.resizing.observe(this.root);
      this.took = performance.now() - began;
      this.painted += 1;
      this.root.dataset.painted = this.painted;
      if (this.painted % 1000 === 0) performance.clearMarks("chart-painted");
      performance.mark("chart-painted", { detail: { key: data.key, painted: this.painted } });
    }
  }

  async showDetail(Plotly, data) {
    this.details = data;
    if (!this.listening) {
      this.listening = true;
      this.paper.on("plotly_hover", ({ points: [{ customdata }] }) => {
        if (Number.isInteger(customdata)) { this.cell = customdata; this.paintDetail(Plotly); }
      });
      this.paper.on("plotly_click", ({ points: [{ customdata }], event }) => {
        const again = event.timeStamp - this.clicked < 300; // Plotly tells a touch, and the mouse that a browser makes of it
        if (!Number.isInteger(customdata) || again) return;
        this.clicked = event.timeStamp;
        if (!touch || this.touched === customdata) this.tell(customdata);
        this.touched = this.cell = customdata;
        this.paintDetail(Plotly);
      });
    }
    await this.paintDetail(Plotly);
  }

  async paintDetail(Plotly) {
    const { frame, cells, first } = this.details.details;
    const cell = cells[this.cell ?? first] ?? cells[0];
    const figure = dress(JSON.parse(text_colours({ figure: frame, dark: this.details.dark }, this.root)), this.details, this.root);
    figure.layout.title.text = cell.title;
    for (const trace of figure.data) [trace.x, trace.y] = cell.lines[trace.uid];
    await Plotly.react(this.detail, figure.data, figure.layout, settings(Plotly));
    this.root.dataset.cell = this.cell ?? first;
  }

  save(paper = this.paper) {
    const layout = {
      ...paper.layout,
      paper_bgcolor: getComputedStyle(this.root).getPropertyValue("--st-background-color").trim(), // light text on nothing cannot be read elsewhere
      font: { ...paper.layout.font, family: "sans-serif" }, // the page's own does not get into a picture; words would be wider than was reckoned
    };
    const file = { format: "png", scale: 2, width: paper.clientWidth, height: paper.clientHeight, filename: "distill-lab" };
    if (this.words && paper === this.paper) { // as large as a slide, whatever the screen
      const { title, caption, name } = this.words, { l, r, t, b } = layout.margin;
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
      if (clientWidth && size && (clientWidth !== size.width || clientHeight !== size.height)) window.Plotly.Plots.resize(paper);
    }
  }

  close() {
    this.resizing.disconnect();
    this.seeing?.disconnect();
    for (const paper of [this.paper, this.detail]) window.Plotly?.purge(paper);
  }
}

const touch = matchMedia("(pointer: coarse)").matches;
const isDark = (element) => getComputedStyle(element).colorScheme.startsWith("dark");

// The figure's own colours are for a light page; each has its counterpart for a dark one.
function text_colours(data, root) {
  if (!isDark(root)) return data.figure;
  return Object.entries(data.dark).reduce((text, [light, dark]) => text.replaceAll(`"${light}"`, `"${dark}"`), data.figure);
}

// What the page's theme decides: colours of text and grid, no paper of its own.
function dress(figure, data, root) {
  const theme = getComputedStyle(root);
  const ink = theme.getPropertyValue("--st-text-color").trim() || "#444444";
  const page = theme.getPropertyValue("--st-background-color").trim() || "#ffffff";
  const grid = isDark(root) ? "#3c4048" : "#d9dce1";
  const layout = figure.layout;
  Object.assign(layout, { autosize: true, height: data.height, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" });
  delete layout.width;
  layout.uirevision = `revision ${data.revision}`; // must not be empty, or Plotly forgets zoom and legend
  layout.font = { size: 16, family: theme.getPropertyValue("--st-font").trim() || "sans-serif", ...layout.font, color: ink };
  layout.hoverlabel = { bgcolor: page, bordercolor: ink, ...layout.hoverlabel };
  layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: ink, activecolor: ink, ...layout.modebar };
  if (touch) { // a finger scrolls the page, and what it can press is always there: above the picture
    layout.dragmode = false;
    layout.margin = { ...layout.margin, t: Math.max(34, layout.margin?.t ?? 0) };
  }
  for (const name of Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name))) {
    layout[name] = { gridcolor: grid, zerolinecolor: grid, linecolor: grid, spikecolor: ink, spikethickness: -2, ...layout[name] };
  }
  return figure;
}

let kept;

function settings(Plotly) { // the same object each time: for settings that differ, Plotly draws all anew and forgets the zoom
  kept ??= {
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
  return kept;
}

export default function ({ data, parentElement, setTriggerValue }) {
  if (!data.figure) { // only to have the library at hand when the first chart comes
    loadPlotly(data.plotly).catch(() => {});
    return;
  }
  const root = parentElement.querySelector(".live-chart");
  root.chart ??= new LiveChart(root);
  root.chart.tell = (cell) => setTriggerValue("clicked", cell);
  root.chart.say = setTriggerValue;
  root.chart.show(data);
  // Streamlit also cleans up after a tick that the next one overtook: only a chart that left the page is closed.
  return () => setTimeout(() => { if (!root.isConnected) root.chart.close(); });
}
