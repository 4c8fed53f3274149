// Sends what a person says of rows, one small request at a time. Nothing is lost when the connection breaks: what is
// not saved yet waits here, is counted on the page, and is tried again. A later word on the same row replaces the
// earlier one; sending twice does no harm, as each request holds the whole opinion.
import { csrfToken } from "./page.js";
import { reviewWord } from "./review_row.js";

const FIRST_WAIT = 1000; // milliseconds; doubles up to LONGEST_WAIT
const LONGEST_WAIT = 15000;

/** @param onRefused called with (row, what was thought before, the server's words) when a review cannot be kept. */
export function makeSaver(root, { onRefused }) {
  const waiting = new Map(); // row → the opinion before, as the server knows it
  const { saveUrl, version } = root.dataset;
  const state = root.querySelector("[data-save-state]");
  let isSending = false;
  let wait = FIRST_WAIT;
  let timer = null;

  function tell(name) {
    state.dataset.state = name === "signed-out" ? "unsaved" : name;
    state.textContent = reviewWord(name, { count: waiting.size });
  }

  function save(row) {
    if (!waiting.has(row)) waiting.set(row, row.kept);
    if (state.dataset.state !== "unsaved") tell("saving");
    else tell("unsaved");
    if (!timer) send();
  }

  /** One request that keeps what is thought of `row` now; with `keepalive` it outlives this page. */
  function put(row, keepalive = false) {
    const { verdict, edited, ...rated } = row.review;
    const body = { row_key: row.key, ...(root.dataset.mode === "guest" ? rated : row.review) };
    if (row.number !== null) body.row = row.number;
    if (version) body.version = Number(version);
    return fetch(saveUrl, {
      method: "PUT", body: JSON.stringify(body), redirect: "manual", keepalive,
      headers: { "content-type": "application/json", accept: "application/json", "x-csrftoken": csrfToken() },
    });
  }

  async function send() {
    if (isSending || !waiting.size) return;
    isSending = true;
    const [[row, before]] = waiting;
    const said = row.review;
    let outcome = "unsaved";
    try {
      const answer = await put(row);
      if (answer.ok) outcome = "saved";
      else if ([401, 403].includes(answer.status) || answer.type === "opaqueredirect") outcome = "signed-out";
      else if (answer.status < 500 && answer.status !== 429) {
        const told = await answer.json().catch(() => null);
        waiting.delete(row);
        onRefused(row, before, told?.error?.message ?? `${answer.status}`);
        outcome = "refused";
      }
    } catch (problem) {
      console.info("Saving waits for the connection.", problem.message);
    }
    isSending = false;
    if (outcome === "saved") {
      row.kept = said;
      // Something else may have been said of it meanwhile: then it stays, to be sent again.
      if (row.review === said) waiting.delete(row);
      else waiting.set(row, said);
    }
    if (outcome === "saved" || outcome === "refused") {
      wait = FIRST_WAIT;
      tell(waiting.size ? "saving" : "saved");
      if (waiting.size) send();
      return;
    }
    tell(outcome);
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = null;
      send();
    }, wait);
    wait = Math.min(wait * 2, LONGEST_WAIT);
  }

  addEventListener("online", () => {
    clearTimeout(timer);
    timer = null;
    wait = FIRST_WAIT;
    send();
  });
  addEventListener("beforeunload", (event) => waiting.size && event.preventDefault());
  // Whoever leaves all the same: the browser still sends what fits into its 64 kB for pages that are gone.
  addEventListener("pagehide", () => {
    for (const row of waiting.keys()) put(row, true).catch((problem) => console.info("Left unsaved.", problem.message));
  });
  return { save, count: () => waiting.size };
}
