// The loss curve of components/curve.html: takes its history from data-points-url, grows with "job-points", keeps its
// axes still, reads out by pointer and arrow keys, zooms by dragging, buttons and + and -, smooths, turns logarithmic,
// and can be taken away as PNG. A long history comes thinned to the columns that there are; zooming asks for the range.
import { drawCurve } from "./curve_draw.js";
import { curvePng, download } from "./curve_export.js";
import { fill, isStill } from "./page.js";

const GROW_MS = 180;

function makeCurve(figure) {
  const plot = figure.querySelector(".plot");
  const svg = plot.querySelector("svg");
  const out = plot.querySelector("output");
  const caption = figure.querySelector("figcaption");
  const words = plot.dataset;
  // Points by step: a later word about a step replaces the earlier one.
  const train = new Map();
  const held = new Map();
  const view = { steps: 0, first: 0, top: 0, dragged: null, isSmooth: false, isLog: false, isLive: figure.hasAttribute("data-grows"), pick: null, shown: 0 };
  const zoom = { range: null, loaded: null, lastRead: null, from: null };
  let scale = null;
  let growing = 0;

  const sorted = (map) => [...map].sort((a, b) => a[0] - b[0]);
  const lastStep = () => Math.max(0, sorted(train).at(-1)?.[0] ?? 0, sorted(held).at(-1)?.[0] ?? 0);

  function draw() {
    const { width, height } = plot.getBoundingClientRect();
    if (!width) return;
    const axes = zoom.range ? { first: zoom.range[0], steps: zoom.range[1] } : {};
    scale = drawCurve(svg, { width, height, train: sorted(train), held: sorted(held), words, ...view, ...axes });
    out.hidden = view.pick === null;
    if (view.pick !== null) {
      const near = sorted(train).findLast(([step]) => step <= view.pick);
      const check = sorted(held).findLast(([step]) => step <= view.pick);
      const parts = [near && `${words.wordPractice} ${near[1].toFixed(3)}`, check && `${words.wordUnseen} ${check[1].toFixed(3)}`];
      out.textContent = `${words.wordStep} ${view.pick}: ${parts.filter(Boolean).join(", ")}`;
      out.style.insetInlineStart = `${Math.max(120, Math.min(width - 120, scale.x(view.pick)))}px`;
    }
  }

  function describe() {
    const say = (points, text) => points.length < 1 ? "" : fill(text, {
      a: points[0][1].toFixed(2), b: points.at(-1)[1].toFixed(2), step: points.at(-1)[0], steps: view.steps,
    });
    const told = [say(sorted(held), words.wordSumHeld), say(sorted(train), words.wordSumTrain)].filter(Boolean).join(" ");
    caption.textContent = told || words.wordWaiting;
    svg.setAttribute("aria-label", caption.textContent);
  }

  /** Lets the newest stretch grow in, in place of jumping; the axes stay where they are. */
  function grow() {
    cancelAnimationFrame(growing);
    const from = view.shown;
    const to = lastStep();
    if (isStill() || to - from > view.steps / 4) {
      view.shown = to;
      draw();
      return;
    }
    const start = performance.now();
    const frame = (now) => {
      const part = Math.min(1, (now - start) / GROW_MS);
      view.shown = from + (to - from) * part;
      draw();
      if (part < 1) growing = requestAnimationFrame(frame);
    };
    growing = requestAnimationFrame(frame);
  }

  function add(points) {
    for (const [step, loss, unseen] of points) {
      if (zoom.range && (step < zoom.range[0] || step > zoom.range[1])) continue;
      if (Number.isFinite(loss)) train.set(step, loss);
      if (Number.isFinite(unseen)) held.set(step, unseen);
    }
    view.steps = Math.max(view.steps, lastStep());
    // The top is set by the first points and only ever rises, in whole ticks, so that the axis stands still.
    const highest = [...train.values(), ...held.values()].reduce((a, b) => Math.max(a, b), 0);
    if (highest > view.top) view.top = highest <= 1 ? Math.ceil(highest * 1.05 * 10) / 10 : Math.ceil(highest * 1.05 * 2) / 2;
    describe();
  }

  async function load() {
    const address = new URL(figure.dataset.pointsUrl, location.href);
    address.searchParams.set("series", "loss,eval_loss");
    address.searchParams.set("columns", Math.max(50, Math.round(plot.getBoundingClientRect().width)));
    const asked = zoom.range;
    if (asked) [["first", asked[0]], ["last", asked[1]]].forEach(([key, step]) => address.searchParams.set(key, step));
    const answer = await fetch(address, { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(`the points came with code ${answer.status}`);
    const data = await answer.json();
    if (asked !== zoom.range) return; // a later question is under way
    view.steps = Math.max(view.steps, data.steps ?? 0);
    if (asked !== zoom.loaded) {
      train.clear();
      held.clear();
      view.top = 0;
      zoom.loaded = asked;
    }
    add([...pairs(data.series.loss).map(([step, loss]) => [step, loss, null]), ...pairs(data.series.eval_loss).map(([step, loss]) => [step, null, loss])]);
    view.shown = lastStep();
    draw();
  }
  const reload = () => load().catch((problem) => {
    console.warn("The curve waits:", problem.message);
    describe();
    draw();
  });

  const read = (step) => {
    const [low, high] = zoom.range ?? [0, lastStep()];
    view.pick = step === null || !train.size && !held.size ? null : Math.max(low, Math.min(high, Math.round(step)));
    zoom.lastRead = view.pick ?? zoom.lastRead;
    draw();
  };

  /** Shows the steps from `first` to `last`, or all of them. */
  function zoomTo(range) {
    const whole = [0, view.steps];
    const [low, high] = range ? [Math.max(0, Math.round(range[0])), Math.min(view.steps, Math.round(range[1]))] : whole;
    if (high - low < 5 && range) return;
    zoom.range = high - low >= view.steps ? null : [low, high];
    view.pick = null;
    figure.querySelector("[data-curve-zoom=out]").hidden = !zoom.range;
    reload();
  }
  const zoomBy = (factor) => {
    const [low, high] = zoom.range ?? [0, view.steps];
    const middle = Math.max(low, Math.min(high, zoom.lastRead ?? (low + high) / 2));
    zoomTo([middle - (middle - low) * factor, middle + (high - middle) * factor]);
  };
  const stepUnder = (event) => scale.stepAt(event.clientX - plot.getBoundingClientRect().left);
  plot.addEventListener("pointerdown", (event) => {
    if (scale && event.pointerType === "mouse" && event.button === 0) zoom.from = stepUnder(event);
  });
  addEventListener("pointerup", (event) => {
    if (zoom.from === null) return;
    const range = [zoom.from, stepUnder(event)].sort((a, b) => a - b);
    const isDrag = Math.abs(scale.x(range[1]) - scale.x(range[0])) > 8;
    zoom.from = view.dragged = null;
    if (isDrag) zoomTo(range);
    else draw();
  });
  plot.addEventListener("pointermove", (event) => {
    if (!scale) return;
    view.dragged = zoom.from === null ? null : [zoom.from, stepUnder(event)];
    read(stepUnder(event));
  });
  plot.addEventListener("pointerleave", () => read(null));
  plot.addEventListener("blur", () => read(null));
  plot.addEventListener("keydown", (event) => {
    if ("+-".includes(event.key)) return zoomBy(event.key === "+" ? 0.5 : 2);
    if (event.key === "Escape" && view.pick === null && zoom.range) return zoomTo(null);
    const [low, high] = zoom.range ?? [0, lastStep()];
    const at = view.pick ?? high;
    const leap = Math.max(1, Math.round((high - low) / 10));
    const one = Math.max(1, Math.round((high - low) / 1000));
    const to = { ArrowLeft: at - one, ArrowRight: at + one, PageDown: at - leap, PageUp: at + leap, Home: low, End: high, Escape: null }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    read(to);
  });
  figure.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    const turned = button?.dataset.curveToggle;
    if (turned) {
      const key = turned === "log" ? "isLog" : "isSmooth";
      view[key] = !view[key];
      button.setAttribute("aria-pressed", String(view[key]));
      draw();
    }
    if (button?.dataset.curveZoom === "in") zoomBy(0.5);
    if (button?.dataset.curveZoom === "out") zoomTo(null);
    if (button?.dataset.curveSaves === "png") curvePng(svg, plot).then((image) => download(image, `${figure.dataset.name}.png`));
  });

  new ResizeObserver(draw).observe(plot);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  if (view.isLive) {
    const onPoints = (event) => {
      if (!figure.isConnected) return stop();
      // A page that was opened while the job waited learns only now how long the axis is.
      view.steps = Math.max(view.steps, event.detail.total_steps ?? 0);
      add(event.detail.points);
      grow();
    };
    const onAgain = () => (figure.isConnected ? reload() : stop());
    const stop = () => {
      document.body.removeEventListener("job-points", onPoints);
      document.body.removeEventListener("live-again", onAgain);
    };
    document.body.addEventListener("job-points", onPoints);
    document.body.addEventListener("live-again", onAgain);
  }
  reload();
}

/** [[step, value]…] of a curve as it is sent: the first step, then differences. */
function pairs(curve) {
  let step = 0;
  return (curve?.steps ?? []).map((difference, place) => [(step += difference), curve.values[place]]);
}

function makeAll() {
  for (const figure of document.querySelectorAll("[data-curve]:not([data-curve-made])")) {
    figure.setAttribute("data-curve-made", "");
    makeCurve(figure);
  }
}
makeAll();
document.addEventListener("htmx:load", makeAll);
