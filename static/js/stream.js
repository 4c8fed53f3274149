// Side by side (components/compare.html): one question to two or three endpoints, all answers shown as they arrive.
// Earlier questions stay below with their answers.
import { askOne, keepEarlier, sendOnEnter } from "./answers.js";
import { fill } from "./page.js";

function makeCompare(root) {
  const form = root.querySelector("form");
  const prompt = form.querySelector("[name=prompt]");
  const ask = form.querySelector("[data-ask]");
  const stop = form.querySelector("[data-stop]");
  const says = root.querySelector("[data-compare-says]");
  const earlier = root.querySelector("[data-earlier]");
  const answers = root.querySelector("[data-answers]");
  const articles = [...answers.querySelectorAll("[data-stream-url]")];
  let asked = null;
  let breaker = null;

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!breaker && prompt.value.trim()) askBoth(prompt.value.trim());
  });
  sendOnEnter(prompt);
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
    if (asked !== null) keepEarlier(earlier, asked, answers);
    asked = question;
    breaker = new AbortController();
    stop.hidden = false;
    ask.setAttribute("aria-disabled", "true");
    says.textContent = "";
    const how = {
      signal: breaker.signal,
      words: root.dataset,
      says: (done) => fill(root.dataset.wordFigures, { words: done.words, seconds: Number(done.seconds).toFixed(1) }),
    };
    await Promise.all(articles.map((article) => askOne(article, article.dataset.streamUrl, { prompt: question }, how)));
    const wasStopped = breaker.signal.aborted;
    breaker = null;
    stop.hidden = true;
    ask.removeAttribute("aria-disabled");
    says.textContent = wasStopped ? root.dataset.wordStopped : root.dataset.wordDone;
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
