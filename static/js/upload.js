// Large files go in pieces (tus) and may stop and go on: after a lost connection by themselves, after a reload once the
// same file is chosen again. forms.js calls `sendInPieces` for a <form data-upload> whose drop zone (datasets_app/
// _drop.html) has a [data-pieces] element: data-url of the uploads, data-script of the client, data-from in bytes,
// data-then (the page of an import, with NO_ID in it), and optionally data-dataset, data-name, data-resume.
import { csrfToken, toast, word } from "./page.js";

const MB = 1024 * 1024;
const NO_ID = "00000000-0000-0000-0000-000000000000";
const PIECE = 8 * MB;
// After the last wait it begins with the last one again, for as long as the page is open.
const WAITS = [0, 1000, 2000, 5000, ...Array(2000).fill(10000)];

const inMB = (bytes) => (bytes / MB).toFixed(bytes < 10 * MB ? 1 : 0);

/** The file that the form would send in pieces, or null where it is small enough to be sent at once. */
export function largeFile(form) {
  const pieces = form.querySelector("[data-pieces]");
  const file = form.querySelector('input[type="file"]')?.files[0];
  return pieces && file && (file.size > Number(pieces.dataset.from) || pieces.dataset.resume) ? file : null;
}

/** Sends `file` and goes to the page that shows its check. `free` makes the form usable again. */
export async function sendInPieces(form, file, free) {
  const pieces = form.querySelector("[data-pieces]");
  const view = new View(pieces);
  const { limitMb } = form.dataset;
  if (limitMb && file.size > Number(limitMb) * MB) {
    view.fail(word("upload-large", { size: inMB(file.size), limit: limitMb }));
    return free();
  }
  const told = pieces.dataset;
  if (told.resume && (file.size !== Number(told.length) || file.name !== told.fileName)) {
    view.fail(word("upload-other", { name: told.fileName, size: inMB(Number(told.length)) }));
    return free();
  }
  await import(told.script); // sets window.tus
  const name = form.querySelector("[name=name]")?.value || told.name || "";
  const metadata = { filename: file.name, name, dataset: told.dataset, next: told.next };
  for (const key of Object.keys(metadata)) if (!metadata[key]) delete metadata[key];
  const rate = new Rate();

  const upload = new globalThis.tus.Upload(file, {
    endpoint: told.url,
    uploadUrl: told.resume || null,
    chunkSize: PIECE,
    retryDelays: WAITS,
    headers: { "x-csrftoken": csrfToken() },
    metadata,
    removeFingerprintOnSuccess: true,
    // The same file for another purpose is another upload.
    fingerprint: async (each) =>
      ["apex", each.name, each.size, each.lastModified, told.dataset || "", told.next || ""].join("-"),
    onShouldRetry: (problem) => {
      const status = problem.originalResponse?.getStatus() ?? 0;
      const goesOn = [0, 409, 423, 429].includes(status) || (status >= 500 && status !== 507);
      if (goesOn) view.say("paused", word("upload-paused"));
      return goesOn;
    },
    onProgress: (sent, total) => {
      rate.note(sent);
      view.show(sent, total, rate.left(total - sent));
    },
    onError: (problem) => {
      over();
      view.fail(reason(problem));
      free();
    },
    onSuccess: () => {
      over();
      view.say("checking", word("upload-checking"));
      const id = upload.url.replace(/\/$/, "").split("/").pop();
      location.assign(told.then.replace(NO_ID, id));
    },
  });

  const goOn = () => {
    rate.begin();
    view.say("sending", word("upload-going"));
    upload.start();
  };
  const hurry = () => {
    if (view.state === "paused") upload.abort().then(goOn);
  };
  const over = () => removeEventListener("online", hurry);
  addEventListener("online", hurry);
  view.onPause = () => upload.abort().then(() => view.say("stopped", word("upload-stopped")));
  view.onGoOn = goOn;
  view.onCancel = async () => {
    over();
    try {
      await upload.abort(Boolean(upload.url));
    } catch (problem) {
      toast(word("upload-not-cancelled"), { level: "error" });
      console.info("The server was not told.", problem.message);
    }
    view.clear();
    free();
  };

  if (!told.resume) {
    const [earlier] = await upload.findPreviousUploads();
    if (earlier) upload.resumeFromPreviousUpload(earlier);
  }
  goOn();
}

/** What the server said, if it said anything; else what happened. */
function reason(problem) {
  const answer = problem.originalResponse;
  const status = answer?.getStatus();
  if (status === 401 || status === 403) return word("upload-signed-out");
  try {
    return JSON.parse(answer.getBody()).error.message;
  } catch {
    return word("upload-stuck", { status: status ?? 0 });
  }
}

/** How fast it goes, smoothed over the last seconds. */
class Rate {
  begin() {
    this.marks = [];
  }

  note(sent) {
    const now = performance.now();
    this.marks.push([now, sent]);
    while (this.marks.length > 2 && this.marks[0][0] < now - 8000) this.marks.shift();
  }

  /** Words for the time that `bytes` more will take; "" while nobody can know. */
  left(bytes) {
    const [[from, first], [to, last]] = [this.marks[0], this.marks.at(-1)];
    if (to - from < 1000 || last <= first) return "";
    const seconds = (bytes / (last - first)) * ((to - from) / 1000);
    if (seconds < 60) return word("left-seconds", { count: Math.max(1, Math.round(seconds)) });
    return word("left-minutes", { count: Math.round(seconds / 60) });
  }
}

/** The bar, its figures, its words and its buttons. */
class View {
  constructor(pieces) {
    this.bar = pieces.closest("form").querySelector("[data-upload-bar]");
    this.says = pieces.closest("form").querySelector("[data-upload-says]");
    this.figures = pieces.querySelector("[data-upload-figures]");
    this.buttons = pieces.querySelector("[data-upload-buttons]");
    this.pause = pieces.querySelector("[data-upload-pause]");
    this.pieces = pieces;
    this.state = "";
    this.pause.onclick = () => (this.state === "stopped" ? this.onGoOn() : this.onPause());
    pieces.querySelector("[data-upload-cancel]").onclick = () => this.onCancel();
  }

  /** `state`: sending, paused (it waits for the connection), stopped (by the person) or checking. */
  say(state, words, isFault = false) {
    this.state = state;
    this.pieces.hidden = false;
    this.pieces.dataset.state = state;
    this.buttons.hidden = !["sending", "paused", "stopped"].includes(state);
    this.pause.textContent = state === "stopped" ? word("upload-go-on") : word("upload-pause");
    this.says.hidden = false;
    this.says.classList.toggle("error", isFault);
    if (this.says.textContent !== words) this.says.textContent = words;
  }

  show(sent, total, left) {
    if (this.state === "paused") this.say("sending", word("upload-going"));
    this.bar.hidden = false;
    this.bar.max = total;
    this.bar.value = sent;
    const figures = { done: inMB(sent), total: inMB(total), left };
    this.figures.textContent = left ? word("uploading-left", figures) : word("uploading", figures);
  }

  fail(words) {
    this.say("failed", words, true);
    // Choosing the same file once more must count as a choice.
    for (const input of this.pieces.closest("form").querySelectorAll('input[type="file"]')) input.value = "";
  }

  clear() {
    this.pieces.hidden = true;
    this.bar.hidden = true;
    this.says.hidden = true;
    this.figures.textContent = "";
  }
}
