// One answer in one column (<article> with .text and footer), as it arrives: stream.js and playground.js use it. An
// endpoint answers a POST with Server-Sent Events: {"lineage": […]} where it tells it, {"delta": "…"} …, then
// {"done": true, …} with figures, or {"error": "…"}. `words` are the data-word-… of the page's root.
import { csrfToken, fill } from "./page.js";

class Refused extends Error {}

/** Asks `url` and writes into `article` what comes. `says(done)` makes the figures; `tellLineage(list)` may show it. */
export async function askOne(article, url, fields, { signal, words, says, tellLineage }) {
  const text = article.querySelector(".text");
  const foot = article.querySelector("footer");
  text.textContent = "";
  text.classList.remove("error");
  foot.textContent = "";
  article.setAttribute("aria-busy", "true");
  const patience = setTimeout(() => (foot.textContent = words.wordLoading), 1500);
  try {
    const response = await fetch(url, {
      method: "POST",
      body: new URLSearchParams(fields),
      headers: { "x-csrftoken": csrfToken(), accept: "text/event-stream" },
      signal,
    });
    // 400 comes with plain words on what to change.
    if (response.status === 400) throw new Refused(await response.text());
    if (!response.ok || response.redirected) throw new Refused(fill(words.wordRefused, { status: response.status }));
    const isWhole = await readEvents(response.body, (event) => {
      if (event.lineage) tellLineage?.(event.lineage);
      if (event.delta) {
        clearTimeout(patience);
        if (!text.textContent) foot.textContent = "";
        text.textContent += event.delta;
      }
      if (event.error) {
        foot.textContent = "";
        fault(text, event.error);
      }
      if (event.done) foot.textContent = says(event);
      return Boolean(event.done || event.error);
    });
    if (!isWhole) foot.textContent = words.wordBroken;
  } catch (problem) {
    if (problem.name === "AbortError") foot.textContent = words.wordStopped;
    else if (problem instanceof Refused) fault(text, problem.message);
    else foot.textContent = words.wordBroken;
  } finally {
    clearTimeout(patience);
    article.removeAttribute("aria-busy");
  }
}

/** Enter sends the form of this box; with Shift it is a new line. */
export function sendOnEnter(box) {
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    box.form.requestSubmit();
  });
}

/** Puts question and answers as they stand on top of `earlier`; the copies do nothing any more. */
export function keepEarlier(earlier, question, answers) {
  const section = document.createElement("section");
  const title = document.createElement("p");
  title.className = "asked";
  title.textContent = `“${question}”`;
  const kept = answers.cloneNode(true);
  kept.removeAttribute("data-answers");
  for (const article of kept.children) article.removeAttribute("data-stream-url");
  section.append(title, kept);
  earlier.prepend(section);
  return kept;
}

function fault(text, words) {
  text.classList.add("error");
  text.textContent += (text.textContent ? "\n\n" : "") + words;
}

/** Calls `take` with each event of the stream; ends when it returns true. False: the stream ended without that. */
export async function readEvents(body, take) {
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
