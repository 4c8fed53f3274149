// Side by side (components/compare.html): one question to two endpoints, both answers shown as they arrive. Each
// endpoint answers POST "prompt" with Server-Sent Events: {"delta": "…"}, then {"done": true, "words", "seconds"},
// or {"error": "…"}. Earlier questions stay below with their answers.
import { csrfToken, fill } from "./page.js";

function makeCompare(root) {
  const form = root.querySelector("form");
  const prompt = form.querySelector("[name=prompt]");
  const ask = form.querySelector("[data-ask]");
  const stop = form.querySelector("[data-stop]");
  const says = root.querySelector("[data-compare-says]");
  const earlier = root.querySelector("[data-earlier]");
  const articles = [...root.querySelectorAll("[data-answers] [data-stream-url]")];
  let asked = null;
  let breaker = null;

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!breaker && prompt.value.trim()) askBoth(prompt.value.trim());
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  stop.addEventListener("click", () => breaker?.abort());
  // Suggested questions stand beside the box, as links that work without this script too.
  root.parentElement.addEventListener("click", (event) => {
    const suggestion = event.target.closest("[data-asks]");
    if (!suggestion) return;
    event.preventDefault();
    prompt.value = suggestion.dataset.asks;
    prompt.scrollIntoView({ block: "center" });
    form.requestSubmit();
  });
  addEventListener("pagehide", () => breaker?.abort());

  async function askBoth(question) {
    keepEarlier();
    asked = question;
    breaker = new AbortController();
    stop.hidden = false;
    ask.setAttribute("aria-disabled", "true");
    says.textContent = "";
    await Promise.all(articles.map((article) => answer(article, question, breaker.signal)));
    const wasStopped = breaker.signal.aborted;
    breaker = null;
    stop.hidden = true;
    ask.removeAttribute("aria-disabled");
    says.textContent = wasStopped ? root.dataset.wordStopped : root.dataset.wordDone;
  }

  async function answer(article, question, signal) {
    const text = article.querySelector(".text");
    const foot = article.querySelector("footer");
    text.textContent = "";
    text.classList.remove("error");
    foot.textContent = "";
    article.setAttribute("aria-busy", "true");
    const patience = setTimeout(() => (foot.textContent = root.dataset.wordLoading), 1500);
    try {
      const response = await fetch(article.dataset.streamUrl, {
        method: "POST",
        body: new URLSearchParams({ prompt: question }),
        headers: { "x-csrftoken": csrfToken(), accept: "text/event-stream" },
        signal,
      });
      if (!response.ok) throw new Refused(response.status);
      const isWhole = await readEvents(response.body, (event) => {
        if (event.delta) {
          clearTimeout(patience);
          if (!text.textContent) foot.textContent = "";
          text.textContent += event.delta;
        }
        if (event.error) fault(text, event.error);
        if (event.done) foot.textContent = fill(root.dataset.wordFigures, { words: event.words, seconds: Number(event.seconds).toFixed(1) });
        return Boolean(event.done || event.error);
      });
      if (!isWhole) foot.textContent = root.dataset.wordBroken;
    } catch (problem) {
      if (problem.name === "AbortError") foot.textContent = root.dataset.wordStopped;
      else if (problem instanceof Refused) fault(text, fill(root.dataset.wordRefused, { status: problem.message }));
      else foot.textContent = root.dataset.wordBroken;
    } finally {
      clearTimeout(patience);
      article.removeAttribute("aria-busy");
    }
  }

  function keepEarlier() {
    if (asked === null) return;
    const section = document.createElement("section");
    const title = document.createElement("p");
    title.className = "asked";
    title.textContent = `“${asked}”`;
    const answers = root.querySelector("[data-answers]").cloneNode(true);
    answers.removeAttribute("data-answers");
    for (const article of answers.children) article.removeAttribute("data-stream-url");
    section.append(title, answers);
    earlier.prepend(section);
  }
}

class Refused extends Error {}

function fault(text, words) {
  text.classList.add("error");
  text.textContent += (text.textContent ? "\n\n" : "") + words;
}

/** Calls `take` with each event of the stream; ends when it returns true. False: the stream ended without that. */
async function readEvents(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return false;
    rest += value.replaceAll("\r\n", "\n");
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("\n");
      if (data && take(JSON.parse(data))) {
        await reader.cancel();
        return true;
      }
    }
  }
}

function makeAll() {
  for (const root of document.querySelectorAll("[data-compare]:not([data-compare-made])")) {
    root.setAttribute("data-compare-made", "");
    makeCompare(root);
  }
}
makeAll();
document.addEventListener("htmx:load", makeAll);
