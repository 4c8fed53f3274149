// Draws the plots of “What the model sees” with Plotly, which is fetched only once there is something to draw. Each
// figure[data-plot] holds its numbers as JSON; its table says the same, so the page is whole without this script.
import { download } from "./curve_export.js";

const COLOURS = { ink: "--ink-2", faint: "--ink-3", line: "--line", paper: "--surface", bar: "--accent", mark: "--worse" };
let loading = null;

/** Resolves with Plotly, fetched once from `url`. */
function plotly(url) {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = () => resolve(globalThis.Plotly);
    script.onerror = () => reject(new Error(`${url} cannot be loaded`));
    document.head.append(script);
  });
  return loading;
}

/** The theme's colours as they are now; Plotly knows no custom properties. */
function colours() {
  const probe = document.createElement("span");
  document.body.append(probe);
  const found = {};
  for (const [name, property] of Object.entries(COLOURS)) {
    probe.style.color = `var(${property})`;
    found[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return found;
}

// Counts are whole; money and hours are not, and may be small.
const areWhole = (values) => values.every(Number.isInteger);
const written = (value) => value.toLocaleString(undefined, Number.isInteger(value) ? {} : { maximumSignificantDigits: 4 });

function trace(draw, colour) {
  const common = { type: "bar", marker: { color: colour.bar, opacity: 0.85 }, hovertemplate: "%{customdata}: %{value:,}<extra></extra>", customdata: draw.labels };
  if (draw.kind === "bars") return { ...common, orientation: "h", y: draw.labels, x: draw.y, text: draw.y.map(written), textposition: "outside", cliponaxis: false, hovertemplate: "%{y}: %{x:,}<extra></extra>" };
  if (draw.kind === "columns") return { ...common, x: draw.labels, y: draw.y };
  return { ...common, x: draw.x, y: draw.y, width: draw.width * 0.94 };
}

function layout(draw, colour) {
  const font = { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour.faint };
  const axis = { gridcolor: colour.line, zerolinecolor: colour.line, linecolor: colour.line, automargin: true, fixedrange: true };
  const title = (text) => ({ text, font: { ...font, color: colour.ink }, standoff: 10 });
  const found = {
    font, paper_bgcolor: colour.paper, plot_bgcolor: colour.paper, bargap: 0.25, showlegend: false, dragmode: false,
    margin: { l: 8, r: 24, t: 22, b: 8 }, hoverlabel: { font },
    xaxis: { ...axis, title: title(draw.x_title), showgrid: false },
    yaxis: { ...axis, title: title(draw.y_title), rangemode: "tozero", tickformat: areWhole(draw.y) ? ",d" : ",.3~r" },
  };
  if (draw.kind === "bars") {
    found.xaxis = { ...axis, rangemode: "tozero", showticklabels: false, showgrid: false, zeroline: false, range: [0, (Math.max(...draw.y) || 1) * 1.18] };
    found.yaxis = { ...axis, autorange: "reversed", type: "category", ticks: "", showgrid: false, tickfont: { ...font, color: colour.ink } };
  }
  if (draw.kind === "columns") found.xaxis.type = "category";
  const end = draw.kind === "histogram" ? draw.x.at(-1) + draw.width / 2 : 0;
  // A limit far beyond the longest example would squeeze the bars; the words say that nothing is cut.
  if (draw.line && draw.line.at <= 1.25 * end) {
    found.shapes = [{ type: "line", x0: draw.line.at, x1: draw.line.at, yref: "paper", y0: 0, y1: 1, line: { color: colour.mark, width: 2, dash: "dash" } }];
    found.annotations = [{ x: draw.line.at, yref: "paper", y: 1, yanchor: "bottom", xanchor: draw.line.at > end / 2 ? "right" : "left", text: draw.line.label, showarrow: false, font: { ...font, color: colour.mark } }];
    found.xaxis.range = [0, Math.max(end, draw.line.at * 1.02)];
  }
  return found;
}

async function drawAll() {
  const section = document.querySelector("[data-plotly]");
  const figures = document.querySelectorAll("[data-plot]");
  if (!section || !figures.length) return;
  const Plotly = await plotly(section.dataset.plotly);
  const colour = colours();
  for (const figure of figures) {
    const draw = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    const place = figure.querySelector(".drawing");
    await Plotly.react(place, [trace(draw, colour)], layout(draw, colour), { displayModeBar: false, responsive: true });
    place.dataset.drawn = "";
  }
}

/** The table of a figure as CSV. */
function csv(figure) {
  const quoted = (cell) => `"${cell.textContent.replaceAll('"', '""')}"`;
  return [...figure.querySelectorAll("tr")].map((row) => [...row.cells].map(quoted).join(",")).join("\n") + "\n";
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-plot-saves]");
  if (!button) return;
  const figure = button.closest("[data-plot]");
  const kind = button.dataset.plotSaves;
  if (kind === "csv") download(new Blob([csv(figure)], { type: "text/csv" }), `${figure.dataset.plot}.csv`);
  if (kind === "png" && globalThis.Plotly) {
    const place = figure.querySelector(".drawing");
    const { width, height } = place.getBoundingClientRect();
    const url = await globalThis.Plotly.toImage(place, { format: "png", width, height, scale: 2 });
    const bytes = Uint8Array.from(atob(url.split(",")[1]), (character) => character.charCodeAt(0));
    download(new Blob([bytes], { type: "image/png" }), `${figure.dataset.plot}.png`);
  }
});

const redraw = () => drawAll().catch((problem) => console.warn("The plots wait:", problem.message));
document.addEventListener("htmx:load", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
redraw();
