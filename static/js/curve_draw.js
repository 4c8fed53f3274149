// Draws a loss curve into an SVG. Pure: the same view draws the same picture. Lines are thin and labelled directly;
// practice is grey, unseen examples are in the accent, because that line is the one that counts.

const NAMESPACE = "http://www.w3.org/2000/svg";
let count = 0;

/**
 * @param svg where to draw; emptied first
 * @param view width and height in pixels; train and held as sorted [[step, loss]…]; steps (end of the axis); top (its
 *   height, in loss); first (where the axis begins); shown (draw up to this step, may be between two); isSmooth, isLog, isLive; pick (step being read
 *   or null); words (dataset with wordPractice, wordUnseen, wordStep, wordWaiting)
 * @returns {x, stepAt}: from step to pixel and back
 */
export function drawCurve(svg, view) {
  const { width, height, steps, top, words } = view;
  const first = view.first ?? 0;
  const el = (name, attributes, text) => {
    const node = document.createElementNS(NAMESPACE, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    svg.append(node);
    return node;
  };
  svg.replaceChildren();
  const box = { x0: 40, x1: width - 10, y0: 14, y1: height - 28 };
  const all = [...view.train, ...view.held].map(([, loss]) => loss).filter((loss) => loss > 0);
  const ceiling = top || 1;
  const floor = view.isLog && all.length ? logFloor(Math.min(...all)) : 0;
  const x = (step) => box.x0 + ((step - first) / (steps - first || 1)) * (box.x1 - box.x0);
  const y = (loss) => {
    const part = view.isLog
      ? (Math.log(Math.max(loss, floor)) - Math.log(floor)) / (Math.log(ceiling) - Math.log(floor) || 1)
      : loss / ceiling;
    return box.y1 - part * (box.y1 - box.y0);
  };

  for (const loss of view.isLog && all.length ? logTicks(floor, ceiling) : ticks(ceiling, 5)) {
    el("line", { class: "grid", x1: box.x0, x2: box.x1, y1: y(loss), y2: y(loss) });
    el("text", { x: box.x0 - 8, y: y(loss) + 4, "text-anchor": "end" }, tidy(loss));
  }
  if (!all.length) {
    el("text", { class: "empty-words", x: (box.x0 + box.x1) / 2, y: height / 2, "text-anchor": "middle" }, words.wordWaiting);
    return { x, stepAt: () => first };
  }
  const wide = 16 + String(steps).length * 8;
  for (const step of ticksBetween(first, steps, width < 520 ? 3 : 8)) {
    if (step !== first && step !== steps && (x(steps) - x(step) < wide || x(step) - x(first) < wide)) continue;
    el("text", { x: x(step), y: height - 6, "text-anchor": step === steps ? "end" : step === first ? "start" : "middle" }, step === first ? `${words.wordStep} ${step}` : String(step));
  }

  const shown = view.shown ?? steps;
  const train = thin(until(view.isSmooth ? smooth(view.train) : view.train, shown), box.x1 - box.x0);
  const held = until(view.held, shown);
  const path = (points) => points.map(([s, l], i) => `${i ? "L" : "M"}${x(s).toFixed(1)} ${y(l).toFixed(1)}`).join("");
  if (held.length > 1) {
    const fade = `fade-${(count += 1)}`;
    const gradient = el("linearGradient", { id: fade, x2: 0, y2: 1 });
    gradient.append(document.createElementNS(NAMESPACE, "stop"), document.createElementNS(NAMESPACE, "stop"));
    gradient.lastChild.setAttribute("offset", "1");
    el("path", { class: "held-fill", fill: `url(#${fade})`, d: `${path(held)}L${x(held.at(-1)[0]).toFixed(1)} ${box.y1}L${x(held[0][0]).toFixed(1)} ${box.y1}Z` });
  }
  if (train.length) el("path", { class: "train", d: path(train) });
  if (held.length) el("path", { class: "held", d: path(held) });
  const isUnderWay = view.isLive && shown < steps;
  if (isUnderWay) el("line", { class: "now", x1: x(shown), x2: x(shown), y1: box.y0, y2: box.y1 });
  const checks = view.held.filter(([step]) => step <= shown);
  if (checks.length < (box.x1 - box.x0) / 14) {
    for (const [step, loss] of checks.slice(0, -1)) el("circle", { class: "dot", cx: x(step), cy: y(loss), r: 3.5 });
  }
  drawLabels(el, { x, y, box, train, check: checks.at(-1), isUnderWay, words });
  if (view.dragged) {
    const [from, to] = view.dragged.map((step) => Math.max(box.x0, Math.min(box.x1, x(step)))).sort((a, b) => a - b);
    el("rect", { class: "zoomed", x: from, y: box.y0, width: to - from, height: box.y1 - box.y0 });
  }
  if (view.pick !== null) el("line", { class: "now", x1: x(view.pick), x2: x(view.pick), y1: box.y0, y2: box.y1 });
  return { x, stepAt: (px) => first + ((px - box.x0) / (box.x1 - box.x0)) * (steps - first) };
}

/** The newest value of each line stands at its end, the two never over each other. */
function drawLabels(el, { x, y, box, train, check, isUnderWay, words }) {
  const side = (px) => (px > box.x1 - 92 ? "end" : "start");
  let heldY = null;
  if (check) {
    const [step, loss] = check;
    if (isUnderWay) el("circle", { class: "halo", cx: x(step), cy: y(loss), r: 10 });
    el("circle", { class: "dot dot-last", cx: x(step), cy: y(loss), r: 5 });
    heldY = Math.max(box.y0 + 4, y(loss) - 16);
    el("text", { class: "label-held label-bg", x: x(step), y: heldY, "text-anchor": side(x(step)) }, `${words.wordUnseen} ${loss.toFixed(2)}`);
  }
  if (!train.length) return;
  const [step, loss] = train.at(-1);
  const anchor = side(x(step));
  let labelY = y(loss) + (anchor === "start" ? 5 : 24);
  if (heldY !== null && Math.abs(labelY - heldY) < 18) labelY = heldY + (y(loss) > y(check[1]) ? 34 : -18);
  labelY = Math.min(box.y1 - 6, Math.max(box.y0 + 4, labelY));
  el("text", { class: "label-train label-bg", x: x(step) + (anchor === "start" ? 10 : 0), y: labelY, "text-anchor": anchor }, `${words.wordPractice} ${loss.toFixed(2)}`);
}

/** Points up to `step`, the last one placed between its neighbours, so that the line can grow smoothly. */
export function until(points, step) {
  const past = points.filter(([s]) => s <= step);
  const next = points.find(([s]) => s > step);
  const last = past.at(-1);
  if (!next || !last || last[0] === step) return past;
  const part = (step - last[0]) / (next[0] - last[0]);
  return [...past, [step, last[1] + (next[1] - last[1]) * part]];
}

/** Exponential moving average with weight 0.8, corrected at the start; the points keep their steps. */
export function smooth(points) {
  let sum = 0;
  let weight = 0;
  return points.map(([step, loss]) => {
    sum = 0.8 * sum + 0.2 * loss;
    weight = 0.8 * weight + 0.2;
    return [step, sum / weight];
  });
}

/** At most two points a pixel, the lowest and the highest of its share, so that no spike is lost. */
export function thin(points, pixels) {
  if (points.length <= pixels * 2) return points;
  const size = Math.ceil(points.length / pixels);
  const kept = [];
  for (let at = 0; at < points.length; at += size) {
    const share = points.slice(at, at + size);
    const low = share.reduce((a, b) => (b[1] < a[1] ? b : a));
    const high = share.reduce((a, b) => (b[1] > a[1] ? b : a));
    kept.push(...(low[0] < high[0] ? [low, high] : low === high ? [low] : [high, low]));
  }
  if (kept.at(-1) !== points.at(-1)) kept.push(points.at(-1));
  return kept;
}

/** 0 and the multiples of 1, 2 or 5 times a power of ten that give about `wanted` ticks up to `end`. */
export function ticks(end, wanted) {
  if (!(end > 0)) return [0];
  const raw = end / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const size = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw * 0.999);
  const found = [];
  for (let n = 0; n * size <= end * 1.0001; n += 1) found.push(Number((n * size).toPrecision(6)));
  return found;
}

/** Both ends, and the multiples of a round number between them. */
function ticksBetween(first, last, wanted) {
  const size = ticks(last - first, wanted)[1] ?? 1;
  const found = [first];
  for (let n = Math.floor(first / size) + 1; n * size < last; n += 1) found.push(n * size);
  return last > first ? [...found, last] : found;
}

function logFloor(lowest) {
  const power = 10 ** Math.floor(Math.log10(lowest));
  return [5, 2, 1].map((n) => n * power).find((n) => n <= lowest * 1.0001);
}

function logTicks(floor, ceiling) {
  const found = [];
  for (let power = 10 ** Math.floor(Math.log10(floor)); power <= ceiling; power *= 10) {
    for (const n of [1, 2, 5]) if (n * power >= floor * 0.999 && n * power <= ceiling * 1.001) found.push(Number((n * power).toPrecision(3)));
  }
  return found;
}

export function tidy(value) {
  return value >= 10 ? String(value) : String(Number(value.toFixed(3)));
}
