// The review queue: one example at a time, keyboard first. What a person says is shown at once and sent in the
// background (review_saving.js); the next examples are read ahead. The shapes are those of the API:
// docs/curation.md.
import { drawOpinion } from "./review_opinion.js";
import { drawRow, editedFrom, reviewWord } from "./review_row.js";
import { makeSaver } from "./review_saving.js";
import { toast } from "./page.js";

const root = document.querySelector("[data-review]");
const part = (name) => root.querySelector(`[data-review-${name}]`);
const { mode, rowsUrl, version } = root.dataset;
const isGuest = mode === "guest";
const AHEAD = 6; // read more when fewer examples than this are left
const LONGEST_WAIT = 15000; // milliseconds

const rows = []; // as the server gave them; `review` is what is thought of each now
const past = []; // [{row, before}] for undo
let at = 0;
let nextPlace = 0; // where to read on; null at the end
let isLoading = false;
let progress = { total: 0, seen: 0, stars: 0, rejected: 0 };
let isEditing = false;
let showsOriginal = false;

const saver = makeSaver(root, { onRefused: refuse });
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const current = () => rows[at];

// --- Reading ahead ---------------------------------------------------------------------------------------------
async function load(wait = 1000) {
  if (isLoading || nextPlace === null || rows.length - at > AHEAD) return;
  isLoading = true;
  const asked = new URLSearchParams(isGuest ? "" : location.search);
  asked.set("after", String(nextPlace));
  if (version) asked.set("version", version);
  try {
    const answer = await fetch(`${rowsUrl}?${asked}`, { headers: { accept: "application/json" } });
    if (!answer.ok) {
      const told = await answer.json().catch(() => null);
      if (answer.status < 500 && answer.status !== 429) return stop(told?.error?.message ?? `${answer.status}`);
      throw new Error(`code ${answer.status}`);
    }
    take(await answer.json());
  } catch (problem) {
    console.info("The next examples wait for the connection.", problem.message);
    part("progress").textContent = reviewWord("load-broken");
    setTimeout(() => load(Math.min(wait * 2, LONGEST_WAIT)), wait);
  } finally {
    isLoading = false;
  }
}

function take(answer) {
  const known = new Set(rows.map((row) => `${row.number} ${row.key}`));
  const isFirst = !rows.length;
  for (const row of answer.rows) row.kept = row.review; // what the server knows
  rows.push(...answer.rows.filter((row) => !known.has(`${row.number} ${row.key}`)));
  nextPlace = answer.next;
  if (!saver.count()) progress = answer.progress;
  keepTyped();
  drawProgress(answer.looked_at);
  if (isFirst || at >= rows.length - answer.rows.length) draw();
  setTimeout(load); // goes on where a filter found little, or the queue is short
}

function stop(message) {
  nextPlace = null;
  toast(message, { level: "error" });
}

// --- What is shown -----------------------------------------------------------------------------------------------
function draw() {
  const row = current();
  const isDone = !row && nextPlace === null;
  part("done").hidden = !isDone;
  root.querySelector(".review-two").hidden = isDone;
  if (isDone) return;
  if (!row) return void (part("place").textContent = reviewWord("loading"));
  const place = mode === "offered" ? reviewWord("place-offered", { source: row.source })
    : reviewWord("place", { number: (isGuest ? progressNumber() : row.number + 1).toLocaleString(), total: progress.total.toLocaleString() });
  part("place").textContent = place;
  root.classList.toggle("is-editing", isEditing);
  drawRow(part("body"), row, { isGuest, isEditing, showsOriginal, keepEdit, leaveEdit, turnOriginal });
  drawOpinion(root, row.review, removeTag);
}

const progressNumber = () => Math.min(progress.total, at + 1 + skipped());
/** How many rows a guest had seen before this page: they are not shown again. */
const skipped = () => Math.max(0, progress.seen - rows.filter((row) => row.review.is_seen).length);

function drawProgress(looked = null) {
  const { total, seen, stars, rejected } = progress;
  const isLooking = looked !== null && nextPlace !== null && rows.length - at <= 0;
  const figures = Object.fromEntries(Object.entries({ total, seen, stars, rejected, looked: looked ?? 0 })
    .map(([name, value]) => [name, value.toLocaleString()]));
  const words = isLooking ? "looking" : isGuest ? "progress-guest" : "progress";
  part("progress").textContent = reviewWord(words, figures);
  part("meter").value = total ? seen / total : 0;
}

const say = (text) => (part("says").textContent = text);

// --- What a person says ------------------------------------------------------------------------------------------
/** An edit under way is kept before anything else is done; false while one of its texts is empty. */
const isSettled = () => !isEditing || keepEdit();

/** Changes what is thought of the current row, shows it and sends it. */
function think(change, { isUndo = false, row = current() } = {}) {
  if (!row) return;
  const before = row.review;
  const after = { ...before, is_seen: true, ...change };
  if (same(before, after)) return;
  row.review = after;
  if (!isUndo) past.push({ row, before });
  count(before, -1);
  count(after, 1);
  saver.save(row);
  drawProgress();
  if (row === current()) {
    if (!same(before.edited, after.edited)) draw();
    else drawOpinion(root, after, removeTag);
  }
}

function count(review, by) {
  progress = {
    ...progress,
    seen: progress.seen + (review.is_seen ? by : 0),
    stars: progress.stars + (review.verdict === "star" ? by : 0),
    rejected: progress.rejected + (review.verdict === "reject" ? by : 0),
  };
}

function judge(verdict) {
  if (!isSettled()) return;
  const isOn = current()?.review.verdict === verdict;
  think({ verdict: isOn ? "" : verdict });
  say(reviewWord(isOn ? "cleared" : verdict === "star" ? "is-starred" : "is-rejected"));
  if (!isOn && part("goes-on").checked) step(1);
}

function rate(rating) {
  const isOn = current()?.review.rating === rating;
  think({ rating: isOn || !rating ? null : rating });
  say(isOn || !rating ? reviewWord("cleared") : reviewWord("is-rated", { rating }));
}

function step(by) {
  if (!isSettled()) return;
  keepFields();
  if (by > 0 && !current()) return;
  if (by < 0 && at === 0) return say(reviewWord("first"));
  if (by > 0) {
    const row = current();
    if (!row.review.is_seen) think({ is_seen: true });
  }
  isEditing = false;
  showsOriginal = false;
  at += by;
  draw();
  drawProgress();
  const row = current();
  if (row) say(part("place").textContent);
  else if (nextPlace === null) part("done").focus();
  const top = part("row").getBoundingClientRect().top;
  if (top < 0 || top > innerHeight / 2) part("row").scrollIntoView();
  load();
}

function undo() {
  const last = past.pop();
  if (!last) return say(reviewWord("nothing-to-undo"));
  at = rows.indexOf(last.row);
  isEditing = false;
  think(last.before.is_seen ? last.before : { ...last.before, is_seen: false }, { isUndo: true, row: last.row });
  draw();
  say(reviewWord("undone"));
}

/** The server would not take it: the row goes back to what it was, and why is said. */
function refuse(row, before, message) {
  count(row.review, -1);
  count(before, 1);
  row.review = before;
  toast(reviewWord("refused", { message }), { level: "error" });
  draw();
  drawProgress();
}

// --- Editing -----------------------------------------------------------------------------------------------------
function edit() {
  if (!current() || isGuest || isEditing) return;
  isEditing = true;
  showsOriginal = false;
  draw();
  const fields = part("body").querySelectorAll("textarea");
  fields[fields.length - 1]?.focus();
}

function keepEdit() {
  const row = current();
  const edited = editedFrom(part("body"), row);
  if (edited === undefined) {
    toast(reviewWord("empty-edit"), { level: "error" });
    return false;
  }
  isEditing = false;
  think({ edited: same(edited, row.row) ? null : edited });
  draw();
  part("row").focus();
  say(reviewWord("is-edited"));
  return true;
}

function leaveEdit() {
  isEditing = false;
  draw();
  part("row").focus();
}

function turnOriginal() {
  showsOriginal = !showsOriginal;
  draw();
}

// --- Tags and note -----------------------------------------------------------------------------------------------
function addTag() {
  const field = part("tag");
  const tag = field.value.trim().replace(/\s+/g, " ");
  const row = current();
  if (!row) return; // it stays there until the row comes
  field.value = "";
  if (tag && !row.review.tags.includes(tag)) think({ tags: [...row.review.tags, tag] });
}

const removeTag = (tag) => think({ tags: current().review.tags.filter((each) => each !== tag) });

/** What stands in the fields belongs to the row that is shown, so it is kept before another is. */
function keepFields() {
  if (!current()) return;
  addTag();
  const note = part("note").value.trim();
  if (note !== current().review.note) think({ note });
  part("note").value = "";
}

/** What was typed while its row was on the way is of that row now; a field that has the focus keeps it meanwhile. */
function keepTyped() {
  const note = part("note").value.trim();
  if (current() && note && document.activeElement !== part("note")) think({ note });
  if (document.activeElement !== part("tag")) addTag();
}

part("note").addEventListener("change", () => current() && think({ note: part("note").value.trim() }));
part("tag").addEventListener("change", addTag);
part("tag").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  addTag();
});

// --- Keys and buttons --------------------------------------------------------------------------------------------
const ACTS = {
  star: () => !isGuest && judge("star"),
  reject: () => !isGuest && judge("reject"),
  edit,
  rate: (rating) => rate(rating),
  next: () => step(1),
  previous: () => step(-1),
  undo,
  tag: () => part("tag").focus(),
  note: () => part("note").focus(),
  help: () => document.getElementById("review-help").showModal(),
};
const KEYS = { s: "star", r: "reject", e: "edit", t: "tag", n: "note", j: "next", k: "previous", u: "undo", "?": "help", ArrowRight: "next", ArrowLeft: "previous" };

root.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button) ACTS[button.dataset.act](Number(button.dataset.rating));
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]")) return;
  const isTyping = event.target.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
  if (isTyping) {
    if (event.key === "Escape" && root.contains(event.target) && !event.target.closest("[data-review-body]")) part("row").focus();
    return;
  }
  const rating = /^[0-5]$/.test(event.key) ? Number(event.key) : null;
  const act = rating === null ? KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key] : "rate";
  // Arrow keys belong to tabs and radio buttons where these have the focus.
  if (!act || (isEditing && act !== "help") || (event.key.startsWith("Arrow") && event.target.closest("[role=tab], input"))) return;
  event.preventDefault();
  ACTS[act](rating);
});

draw();
load();
