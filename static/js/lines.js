// The charts of components/lines.html: fetched once they can be seen, read again now and then while their training
// runs, with still axes, read out by pointer and arrow keys, told in words, taken away as PNG.
import { curvePng, download } from "./curve_export.js";
import { drawLines, formatted, scaleFor } from "./lines_draw.js";
import { fill } from "./page.js";

const AGAIN_MS = 5000;

function makeLines(figure) {
  const plot = figure.querySelector(".plot");
  const svg = plot.querySelector("svg");
  const out = plot.querySelector("output");
  const caption = figure.querySelector("figcaption");
  const { unit, by = "step", url, name } = figure.dataset;
  const view = { lines: [], scale: null, pick: null, waiting: plot.dataset.wordWaiting };
  let drawn = null;
  let readAt = 0;

  const formatX = (value) => (by === "time" ? clock(value) : formatted(value));

  function draw() {
    const { width, height } = plot.getBoundingClientRect();
    if (!width || !view.scale) return;
    drawn = drawLines(svg, { width, height, formatX, formatY: (value) => formatted(value, unit), ...view });
    out.hidden = view.pick === null;
    if (view.pick === null) return;
    const parts = view.lines.map((line) => {
      const near = line.points.findLast(([x]) => x <= view.pick) ?? line.points[0];
      return near && `${line.name || name} ${formatted(near[1], unit)}`;
    });
    out.textContent = `${plot.dataset.wordBy} ${formatX(view.pick)}: ${parts.filter(Boolean).join(", ")}`;
    out.style.insetInlineStart = `${Math.max(120, Math.min(width - 120, drawn.x(view.pick)))}px`;
  }

  function describe() {
    caption.textContent = view.lines.filter(({ points }) => points.length).map((line) => fill(plot.dataset.wordSum, {
      name: line.name || name, a: formatted(line.points[0][1], unit), b: formatted(line.points.at(-1)[1], unit),
      x: `${plot.dataset.wordBy} ${formatX(line.points.at(-1)[0])}`,
    })).join(" ") || view.waiting;
    svg.setAttribute("aria-label", caption.textContent);
  }

  async function load() {
    readAt = performance.now();
    const address = new URL(url, location.href);
    address.searchParams.set("columns", Math.max(50, Math.round(plot.getBoundingClientRect().width)));
    const answer = await fetch(address, { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(`the numbers came with code ${answer.status}`);
    view.lines = linesOf(await answer.json(), JSON.parse(figure.dataset.series || "{}"));
    view.scale = scaleFor(view.lines, view.scale);
    describe();
    draw();
  }
  const reload = () => load().catch((problem) => {
    console.warn("A chart waits:", problem.message);
    view.scale ??= scaleFor([]);
    draw();
  });

  const read = (value) => {
    if (!view.scale || !view.lines.length) return;
    view.pick = value === null ? null : Math.max(view.scale.x0, Math.min(view.scale.x1, by === "time" ? value : Math.round(value)));
    draw();
  };
  plot.addEventListener("pointermove", (event) => drawn && read(drawn.at(event.clientX - plot.getBoundingClientRect().left)));
  plot.addEventListener("pointerleave", () => read(null));
  plot.addEventListener("blur", () => read(null));
  plot.addEventListener("keydown", (event) => {
    if (!view.scale) return;
    const { x0, x1 } = view.scale;
    const at = view.pick ?? x1;
    const leap = Math.max(1, (x1 - x0) / 50);
    const to = { ArrowLeft: at - leap, ArrowRight: at + leap, Home: x0, End: x1, Escape: null }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    read(to);
  });
  figure.querySelector("[data-lines-saves]")?.addEventListener("click", () => curvePng(svg, plot).then((image) => download(image, `${name}.png`)));

  // A chart in a closed fold has no width: it is fetched when the fold opens.
  new ResizeObserver(() => {
    if (!plot.getBoundingClientRect().width) return;
    if (readAt) draw();
    else reload();
  }).observe(plot);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  if (figure.hasAttribute("data-grows")) {
    const onPoints = () => {
      if (!figure.isConnected) document.body.removeEventListener("job-points", onPoints);
      else if (plot.getBoundingClientRect().width && performance.now() - readAt > AGAIN_MS) reload();
    };
    document.body.addEventListener("job-points", onPoints);
  }
}

/** Lines of either answer: curves of one job by series ({series}), or of several jobs ({lines}). */
function linesOf(data, names) {
  if (data.lines) {
    return data.lines.map((line) => ({ name: line.is_main || data.is_plain ? line.name : "", isMain: line.is_main || data.is_plain, style: `line-${line.place % 8}`, points: line.x.map((x, i) => [x, line.y[i]]) }));
  }
  return Object.entries(names).filter(([series]) => data.series[series]).map(([series, name], place) => {
    let step = 0;
    const { steps, values } = data.series[series];
    return { name, isMain: false, style: `line-${place}`, points: steps.map((difference, i) => [(step += difference), values[i]]) };
  });
}

/** Seconds as people say them: 45 s, 12 min, 3.5 h. */
function clock(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function makeAll() {
  for (const figure of document.querySelectorAll("[data-lines]:not([data-lines-made])")) {
    figure.setAttribute("data-lines-made", "");
    makeLines(figure);
  }
}
makeAll();
document.addEventListener("htmx:load", makeAll);
