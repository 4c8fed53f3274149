// Draws lines into an SVG: pure, the same view draws the same picture. Each line carries its name at its end, the
// lines that count are thick, and no axis begins anywhere but at a whole tick.
import { thin, tidy } from "./curve_draw.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const APART = 17; // pixels between two names

/**
 * @param svg where to draw; emptied first
 * @param view width and height in pixels; lines [{name, points: [[x, y]…] sorted, isMain, style (class of its colour)}];
 *   scale {x0, x1, y0, y1} of the axes; formatX, formatY; pick (x being read or null); waiting (words without points)
 * @returns {x, at}: from a value to its pixel and back
 */
export function drawLines(svg, view) {
  const { width, height, scale, formatX, formatY } = view;
  const el = (name, attributes, text) => {
    const node = document.createElementNS(NAMESPACE, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    svg.append(node);
    return node;
  };
  svg.replaceChildren();
  const drawn = view.lines.filter(({ points }) => points.length);
  const named = drawn.filter(({ name }) => name);
  const room = Math.min(width * 0.36, Math.max(0, ...named.map(({ name }) => name.length)) * 7.2 + 12);
  const box = { x0: 58, x1: width - (named.length ? room : 10), y0: 12, y1: height - 28 };
  const x = (value) => box.x0 + ((value - scale.x0) / (scale.x1 - scale.x0 || 1)) * (box.x1 - box.x0);
  const y = (value) => box.y1 - ((value - scale.y0) / (scale.y1 - scale.y0 || 1)) * (box.y1 - box.y0);
  if (!drawn.length) {
    el("text", { class: "empty-words", x: width / 2, y: height / 2, "text-anchor": "middle" }, view.waiting);
    return { x, at: () => scale.x0 };
  }
  for (const value of marks(scale.y0, scale.y1, height < 220 ? 3 : 5)) {
    el("line", { class: "grid", x1: box.x0, x2: box.x1, y1: y(value), y2: y(value) });
    el("text", { x: box.x0 - 8, y: y(value) + 4, "text-anchor": "end" }, formatY(value));
  }
  const across = marks(scale.x0, scale.x1, width < 520 ? 3 : 6).filter((value) => x(value) < box.x1 - 40 || value === scale.x1);
  for (const value of across) {
    const anchor = value === scale.x0 ? "start" : value === scale.x1 ? "end" : "middle";
    el("text", { x: x(value), y: height - 6, "text-anchor": anchor }, formatX(value));
  }
  for (const line of [...drawn].sort((a, b) => Boolean(a.isMain) - Boolean(b.isMain))) {
    const points = thin(line.points, box.x1 - box.x0);
    const path = points.map(([px, py], i) => `${i ? "L" : "M"}${x(px).toFixed(1)} ${y(py).toFixed(1)}`).join("");
    const kind = `line ${line.isMain ? "line-main" : "line-side"} ${line.style}`;
    if (points.length > 1) el("path", { class: kind, d: path });
    if (points.length === 1 || (line.isMain && points.length < 40)) {
      for (const [px, py] of points) el("circle", { class: `line-dot ${line.style}`, cx: x(px), cy: y(py), r: 3 });
    }
  }
  const most = Math.max(4, Math.floor((width - box.x1 - 12) / 7.2));
  for (const { line, at } of placed(named, y, box)) {
    const [px] = line.points.at(-1);
    const shown = line.name.length > most ? `${line.name.slice(0, most - 1)}…` : line.name;
    const text = el("text", { class: `line-name label-bg ${line.style}`, x: Math.min(box.x1, x(px)) + 8, y: at + 4 }, shown);
    if (shown !== line.name) text.append(Object.assign(document.createElementNS(NAMESPACE, "title"), { textContent: line.name }));
  }
  if (view.pick !== null) el("line", { class: "now", x1: x(view.pick), x2: x(view.pick), y1: box.y0, y2: box.y1 });
  return { x, at: (px) => scale.x0 + ((px - box.x0) / (box.x1 - box.x0)) * (scale.x1 - scale.x0) };
}

/** Names at the ends of their lines, moved up and down so that none covers another. */
function placed(lines, y, box) {
  const found = lines.map((line) => ({ line, at: y(line.points.at(-1)[1]) })).sort((a, b) => a.at - b.at);
  for (let i = 1; i < found.length; i += 1) found[i].at = Math.max(found[i].at, found[i - 1].at + APART);
  const over = found.length ? found.at(-1).at - (box.y1 - 2) : 0;
  if (over > 0) {
    found.at(-1).at -= over;
    for (let i = found.length - 2; i >= 0; i -= 1) found[i].at = Math.min(found[i].at, found[i + 1].at - APART);
  }
  return found;
}

/** The axes for these lines: whole ticks around all values, from 0 where that costs little. Only ever wider than `old`. */
export function scaleFor(lines, old = null) {
  const points = lines.flatMap((line) => line.points);
  if (!points.length) return old ?? { x0: 0, x1: 1, y0: 0, y1: 1 };
  let [low, high, left, right] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const [px, py] of points) {
    low = Math.min(low, py);
    high = Math.max(high, py);
    left = Math.min(left, px);
    right = Math.max(right, px);
  }
  if (low >= 0 && low < high * 0.6) low = 0;
  if (high === low) [low, high] = low === 0 ? [0, 1] : [Math.min(0, low), Math.max(0, high)];
  const size = tickSize(high - low, 5);
  const found = { x0: left < right * 0.1 ? 0 : left, x1: right, y0: Math.floor(low / size + 1e-9) * size, y1: Math.ceil(high / size - 1e-9) * size };
  if (!old) return found;
  return { x0: Math.min(old.x0, found.x0), x1: Math.max(old.x1, found.x1), y0: Math.min(old.y0, found.y0), y1: Math.max(old.y1, found.y1) };
}

function tickSize(span, wanted) {
  const raw = span / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw * 0.999);
}

/** Multiples of a round number from `low` to `high`. */
function marks(low, high, wanted) {
  if (!(high > low)) return [low];
  const size = tickSize(high - low, wanted);
  const found = [];
  for (let n = Math.ceil(low / size - 1e-6); n * size <= high + size * 1e-6; n += 1) found.push(Number((n * size).toPrecision(10)));
  return found;
}

const UNITS = { bytes: (value) => `${tidy(Number((value / 1e9).toPrecision(3)))} GB`, percent: (value) => `${tidy(Number((value * 100).toPrecision(3)))} %` };

/** A number for people: short, with its unit. */
export function formatted(value, unit) {
  if (UNITS[unit]) return UNITS[unit](value);
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1).replace("e", " e");
  return Math.abs(value) >= 10000 ? value.toLocaleString(document.documentElement.lang, { maximumFractionDigits: 0 }) : String(Number(value.toPrecision(4)));
}
