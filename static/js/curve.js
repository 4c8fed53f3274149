// The loss curve of components/curve.html: takes its history from data-points-url, grows with "job-points", keeps its
// axes still, reads out by pointer and arrow keys, smooths, turns logarithmic, and can be taken away as PNG or CSV.
import { drawCurve } from "./curve_draw.js";
import { curveCsv, curvePng, download } from "./curve_export.js";
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
  const view = { steps: 0, top: 0, isSmooth: false, isLog: false, isLive: figure.hasAttribute("data-grows"), pick: null, shown: 0 };
  let scale = null;
  let growing = 0;

  const sorted = (map) => [...map].sort((a, b) => a[0] - b[0]);
  const lastStep = () => Math.max(0, ...train.keys(), ...held.keys());

  function draw() {
    const { width, height } = plot.getBoundingClientRect();
    if (!width) return;
    scale = drawCurve(svg, { width, height, train: sorted(train), held: sorted(held), words, ...view });
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
      if (Number.isFinite(loss)) train.set(step, loss);
      if (Number.isFinite(unseen)) held.set(step, unseen);
    }
    view.steps = Math.max(view.steps, lastStep());
    // The top is set by the first points and only ever rises, in whole ticks, so that the axis stands still.
    const highest = Math.max(0, ...train.values(), ...held.values());
    if (highest > view.top) view.top = highest <= 1 ? Math.ceil(highest * 1.05 * 10) / 10 : Math.ceil(highest * 1.05 * 2) / 2;
    describe();
  }

  async function load() {
    const columns = Math.max(50, Math.round(plot.getBoundingClientRect().width));
    const answer = await fetch(`${figure.dataset.pointsUrl}?series=loss,eval_loss&columns=${columns}`, { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(`the points came with code ${answer.status}`);
    const data = await answer.json();
    view.steps = data.steps ?? 0;
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
    view.pick = step === null || !train.size && !held.size ? null : Math.max(0, Math.min(lastStep(), Math.round(step)));
    draw();
  };
  plot.addEventListener("pointermove", (event) => scale && read(scale.stepAt(event.clientX - plot.getBoundingClientRect().left)));
  plot.addEventListener("pointerleave", () => read(null));
  plot.addEventListener("blur", () => read(null));
  plot.addEventListener("keydown", (event) => {
    const at = view.pick ?? lastStep();
    const leap = Math.max(1, Math.round(view.steps / 10));
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, PageDown: at - leap, PageUp: at + leap, Home: 0, End: lastStep(), Escape: null }[event.key];
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
    if (button?.dataset.curveSaves === "csv") download(curveCsv(sorted(train), sorted(held)), `${figure.dataset.name}.csv`);
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
