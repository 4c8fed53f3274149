// The playground (gateway/playground.html): one question to up to four models, each in its column. Columns are made
// from #column; the address keeps which models were chosen, so that it can be kept as a bookmark.
import { askOne, keepEarlier, sendOnEnter } from "./answers.js";
import { fill } from "./page.js";

const root = document.querySelector("[data-playground]");
const form = root.querySelector("form");
const prompt = form.elements.prompt;
const ask = form.querySelector("[data-ask]");
const stop = form.querySelector("[data-stop]");
const add = root.querySelector("[data-add]");
const clear = root.querySelector("[data-clear]");
const says = root.querySelector("[data-says]");
const answers = root.querySelector("[data-answers]");
const earlier = root.querySelector("[data-earlier]");
const words = root.dataset;
let made = 0;
let asked = null;
let breaker = null;

const columns = () => [...answers.children];
const modelOf = (column) => column.querySelector("select").value;

// --- Columns ---------------------------------------------------------------------------------------------------
function addColumn(name) {
  const column = document.getElementById("column").content.firstElementChild.cloneNode(true);
  const select = column.querySelector("select");
  made += 1;
  select.id = `model-${made}`;
  column.querySelector("label").htmlFor = select.id;
  const text = column.querySelector(".text");
  text.id = `answer-${made}`;
  column.querySelector("[data-copies]").dataset.copies = text.id;
  if (name) select.value = name;
  answers.append(column);
  return column;
}

/** What follows from how many columns there are, and which models they have. */
function settle() {
  add.hidden = columns().length >= Number(words.most);
  for (const [at, column] of columns().entries()) {
    column.querySelector("[data-remove]").hidden = columns().length === 1;
    column.setAttribute("aria-label", fill(words.wordColumn, { number: at + 1 }));
  }
  const address = new URL(location.href);
  address.searchParams.delete("model");
  for (const column of columns()) address.searchParams.append("model", modelOf(column));
  history.replaceState(null, "", address);
  if (!columns().some((column) => modelOf(column) === shown())) show(modelOf(columns()[0]));
}

add.addEventListener("click", () => {
  const taken = new Set(columns().map(modelOf));
  const column = addColumn(null);
  const select = column.querySelector("select");
  const free = [...select.options].find((option) => !taken.has(option.value));
  if (free) select.value = free.value;
  settle();
  select.focus();
});

answers.addEventListener("click", (event) => {
  const column = event.target.closest("article");
  if (event.target.closest("[data-remove]") && !breaker) {
    column.remove();
    settle();
    (add.hidden ? prompt : add).focus();
  }
  if (event.target.closest("[data-code]")) {
    show(modelOf(column));
    document.getElementById("program").scrollIntoView({ block: "start" });
    document.querySelector("#program-code [role=tab][aria-selected=true]").focus({ preventScroll: true });
  }
});
answers.addEventListener("change", (event) => {
  const column = event.target.closest("article");
  empty(column);
  show(modelOf(column));
  settle();
});

function empty(column) {
  column.querySelector(".text").textContent = "";
  column.querySelector(".text").classList.remove("error");
  column.querySelector("footer").textContent = "";
  column.querySelector("[data-lineage]").textContent = "";
  column.querySelector("[data-copies]").hidden = true;
}

// --- Code for the model in view ----------------------------------------------------------------------------------
const codes = document.querySelectorAll("#program-code [data-call-model]");
const shown = () => codes[0]?.textContent;

function show(name) {
  for (const code of codes) code.textContent = name;
  document.getElementById("program-model").textContent = name;
}

// --- Asking --------------------------------------------------------------------------------------------------------
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!breaker && prompt.value.trim()) askAll(prompt.value.trim());
});
sendOnEnter(prompt);
stop.addEventListener("click", () => breaker?.abort());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && breaker && !document.querySelector("dialog[open]")) breaker.abort();
});
addEventListener("pagehide", () => breaker?.abort());
clear.addEventListener("click", () => {
  breaker?.abort();
  earlier.replaceChildren();
  columns().forEach(empty);
  asked = null;
  clear.hidden = true;
  prompt.value = "";
  prompt.focus();
});

async function askAll(question) {
  if (asked !== null) keep();
  asked = question;
  const mine = (breaker = new AbortController());
  setBusy(true);
  says.textContent = "";
  const { temperature, max_tokens, seed, instruction } = Object.fromEntries(new FormData(form));
  await Promise.all(columns().map((column) => {
    const fields = { prompt: question, model: modelOf(column), temperature, max_tokens, seed, instruction };
    empty(column);
    return askOne(column, words.answerUrl, fields, {
      signal: mine.signal,
      words,
      says: figures,
      tellLineage: (lineage) => tellLineage(column, lineage),
    }).then(() => (column.querySelector("[data-copies]").hidden = asked === null || !column.querySelector(".text").textContent));
  }));
  breaker = null;
  setBusy(false);
  if (asked === null) columns().forEach(empty); // cleared meanwhile
  says.textContent = mine.signal.aborted ? words.wordStopped : words.wordDone;
}

function setBusy(isBusy) {
  stop.hidden = !isBusy;
  clear.hidden = false;
  ask.setAttribute("aria-disabled", String(isBusy));
  for (const control of answers.querySelectorAll("select, [data-remove]")) control.disabled = isBusy;
  add.disabled = isBusy;
}

function figures(done) {
  const parts = [fill(words.wordWords, { words: done.words })];
  if (done.tokens) parts.push(fill(words.wordTokens, { tokens: done.tokens }));
  if (done.tokens_per_second) parts.push(fill(words.wordSpeed, { speed: done.tokens_per_second.toFixed(1) }));
  if (done.first_seconds !== null) parts.push(fill(words.wordFirst, { seconds: done.first_seconds.toFixed(2) }));
  if (done.finish_reason === "length") parts.push(words.wordCut);
  return parts.join(" · ");
}

function tellLineage(column, lineage) {
  const nodes = lineage.flatMap(({ word, name, url }, at) => {
    const link = document.createElement("a");
    link.href = url;
    link.textContent = name;
    return [`${at ? ", " : ""}${word} `, link];
  });
  column.querySelector("[data-lineage]").replaceChildren(...nodes);
}

/** The answers before go below, each with its model's name as text. */
function keep() {
  const names = columns().map((column) => column.querySelector("select").selectedOptions[0]?.textContent ?? "");
  const kept = keepEarlier(earlier, asked, answers);
  for (const [at, column] of [...kept.children].entries()) {
    const title = document.createElement("h3");
    title.textContent = names[at];
    column.querySelector("header").replaceChildren(title);
    column.querySelector(".text").removeAttribute("id");
    column.removeAttribute("aria-busy");
  }
}

for (const name of JSON.parse(document.getElementById("columns").textContent)) addColumn(name);
settle();
show(modelOf(columns()[0]));
