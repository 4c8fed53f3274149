// A conversation with a minion. A question is POSTed and its answer read as server-sent events (answers.js reads the
// same): {"stage"}, {"switched"}, {"thought"}, {"thought_dropped"}, {"delta"} …, then {"done"} or {"error"}. After that
// the branch is read again, so that the page shows what was kept. Everything else on a turn is a POST that answers with
// the branch.
import { readEvents, sendOnEnter } from "./answers.js";
import { csrfToken, fill, toast } from "./page.js";
import { makeThoughts } from "./thoughts.js";

const root = document.querySelector("[data-talk]");
const words = root.dataset;
const list = root.querySelector("[data-turns]");
const form = root.querySelector("[data-ask-form]");
const box = form.querySelector("textarea");
const ask = form.querySelector("[data-ask]");
const stop = form.querySelector("[data-stop]");
const says = root.querySelector("[data-says]");
let breaker = null;

class Refused extends Error {}

async function post(url, fields = {}, signal = undefined) {
  const response = await fetch(url, {
    method: "POST",
    body: new URLSearchParams(fields),
    headers: { "x-csrftoken": csrfToken() },
    signal,
  });
  if (response.status === 400) throw new Refused(await response.text());
  if (!response.ok || response.redirected) throw new Refused(fill(words.wordRefused, { status: response.status }));
  return response;
}

// --- Asking ------------------------------------------------------------------------------------------------------
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = box.value.trim();
  if (!text || breaker) return;
  list.querySelector(".turn-empty")?.remove();
  const question = piece("[data-question-template]");
  question.querySelector(".says").textContent = text;
  list.append(question);
  box.value = "";
  stream(words.askUrl, { text }, () => (box.value = text));
});
sendOnEnter(box);
stop.addEventListener("click", () => breaker?.abort());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && breaker && !document.querySelector("dialog[open]")) breaker.abort();
});
addEventListener("pagehide", () => breaker?.abort());

const piece = (name) => root.querySelector(name).content.firstElementChild.cloneNode(true);

/** Writes the answer of `url` at the end of the list as it comes; `undo` gives back what was typed when it is refused. */
async function stream(url, fields, undo = () => {}) {
  const mine = (breaker = new AbortController());
  setBusy(true);
  const turn = piece("[data-answer-template]");
  const text = turn.querySelector("[data-words]");
  const thoughts = makeThoughts(turn.querySelector("[data-thought]"), words.wordThinking);
  const doing = turn.querySelector("[data-doing]");
  list.append(turn);
  turn.scrollIntoView({ block: "nearest" });
  const patience = setTimeout(() => (doing.textContent ||= words.wordLoading), 1500);
  let switched = "";
  try {
    const response = await post(url, fields, mine.signal);
    const isWhole = await readEvents(response.body, (event) => {
      const atEnd = isInView(turn);
      if (event.stage?.status === "began") doing.textContent = doingWords(event.stage.kind);
      else if (event.stage?.kind === "answer") thoughts.end();
      if (event.switched) doing.textContent = switched = fill(words.wordSwitched, event.switched);
      if (event.thought) {
        clearTimeout(patience);
        if (thoughts.add(event.model, event.thought)) {
          doing.textContent = switched;
          says.textContent = words.wordThinks;
        }
      }
      if (event.thought_dropped && thoughts.drop(event.thought_dropped.model)) doing.textContent = words.wordAnswer;
      if (event.delta) {
        clearTimeout(patience);
        if (!text.textContent) {
          thoughts.end();
          doing.textContent = switched;
        }
        text.textContent += event.delta;
      }
      if (atEnd && (event.delta || event.thought)) turn.scrollIntoView({ block: "end" });
      return Boolean(event.done || event.error);
    });
    says.textContent = isWhole ? words.wordAnswered : words.wordBroken;
    if (!isWhole) toast(words.wordBroken, { level: "error" });
  } catch (problem) {
    if (problem.name === "AbortError") says.textContent = words.wordStopped;
    else {
      if (problem instanceof Refused) undo();
      toast(problem instanceof Refused ? problem.message : words.wordBroken, { level: "error" });
    }
  } finally {
    clearTimeout(patience);
    thoughts.end();
    breaker = null;
    setBusy(false);
    await Promise.all([readAgain(), readSide()]);
  }
}

const doingWords = (kind) => ({
  style: words.wordStyle, knowledge: words.wordKnowledge, answer: words.wordAnswer, rewrite: words.wordRewrite,
})[kind] ?? "";

/** Whether the end of the turn is in view, or nearly: whoever has scrolled away reads on where they are. */
const isInView = (turn) => turn.getBoundingClientRect().bottom < innerHeight + 100;

function setBusy(isBusy) {
  stop.hidden = !isBusy;
  ask.setAttribute("aria-disabled", String(isBusy));
  says.textContent = "";
}

/** Puts a fragment of ours in place of what `node` holds; scripts in it would not run. */
function put(node, fragment) {
  node.replaceChildren(...new DOMParser().parseFromString(fragment, "text/html").body.childNodes);
  // Times become relative, as in every part of a page that is read again.
  node.dispatchEvent(new CustomEvent("htmx:load", { bubbles: true, detail: { elt: node } }));
}

/** The list beside the conversation; a first question has given this one its name, which the heading takes too. */
async function readSide() {
  const response = await fetch(words.sideUrl, { headers: { accept: "text/html" } });
  if (!response.ok) return;
  const side = document.querySelector("[data-side]");
  put(side, await response.text());
  const title = side.querySelector("[aria-current] [data-title]")?.textContent;
  const heading = document.querySelector("[data-heading]");
  if (!title || title === heading.textContent) return;
  document.title = document.title.replace(heading.textContent, title);
  heading.textContent = title;
}

/** The branch as the server has it. An answer that was just stopped may still be written down: it is asked for again.
 * Whoever reads the newest thoughts goes on reading. */
async function readAgain(tries = 5, isReading = false) {
  const response = await fetch(words.turnsUrl, { headers: { accept: "text/html" } });
  if (!response.ok) return;
  const last = list.lastElementChild;
  const isOpen = isReading || Boolean(last?.querySelector(".thought[open]"));
  const atEnd = last && isInView(last);
  put(list, await response.text());
  for (const fold of list.lastElementChild?.querySelectorAll(".thought") ?? []) fold.open = isOpen;
  if (atEnd) list.lastElementChild?.scrollIntoView({ block: "nearest" });
  if (list.querySelector("[data-unfinished]") && tries) setTimeout(() => breaker || readAgain(tries - 1, isOpen), 400);
}

// --- What is done with a turn -------------------------------------------------------------------------------------
list.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  const turn = event.target.closest(".turn");
  const cite = event.target.closest("a.cite");
  if (cite) {
    const passages = turn.querySelector(".passages");
    if (passages) passages.open = true;
  }
  if (!button || breaker || button.disabled) return;
  const { again, shows, rates, picks, traces } = button.dataset;
  if (again) {
    dropFrom(turn);
    stream(again, {});
  } else if (shows) await change(shows);
  else if (rates) await change(rates, { kind: button.dataset.kind });
  else if (picks) await change(picks, { over: button.dataset.over });
  else if (traces) await showTrace(turn, button, traces);
  else if ("edits" in button.dataset) openEdit(turn, true);
  else if ("cancel" in button.dataset) openEdit(turn, false);
});

list.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { change: changes, better } = event.target.dataset;
  const text = event.target.querySelector("textarea").value;
  if (changes) {
    const turn = event.target.closest(".turn");
    const question = piece("[data-question-template]");
    question.querySelector(".says").textContent = text;
    dropFrom(turn);
    list.append(question);
    stream(changes, { text });
  } else if (better) await change(better, { text });
});

/** Takes the turn and what follows it from the page: another branch begins there. */
function dropFrom(turn) {
  while (turn.nextElementSibling) turn.nextElementSibling.remove();
  turn.remove();
}

async function change(url, fields = {}) {
  try {
    put(list, await (await post(url, fields)).text());
  } catch (problem) {
    toast(problem instanceof Refused ? problem.message : words.wordBroken, { level: "error" });
  }
}

async function showTrace(turn, button, url) {
  const panel = turn.querySelector("[data-trace]");
  if (panel.hidden && !panel.firstElementChild) {
    const response = await fetch(url, { headers: { accept: "text/html" } });
    if (!response.ok) return;
    put(panel, await response.text());
  }
  panel.hidden = !panel.hidden;
  button.setAttribute("aria-expanded", String(!panel.hidden));
}

function openEdit(turn, isOpen) {
  const edit = turn.querySelector(".turn-edit");
  edit.hidden = !isOpen;
  if (isOpen) edit.querySelector("textarea").focus();
}

if (list.querySelector("[data-unfinished]")) setTimeout(() => readAgain(60), 1000);
list.lastElementChild?.scrollIntoView({ block: "nearest" });
