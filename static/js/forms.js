// Forms that are sent once, files with a progress bar, drop zones, half-filled forms that save themselves,
// and the browser's time zone for a new account.
import { csrfToken, toast, word } from "./page.js";
import { largeFile, sendInPieces } from "./upload.js";

// --- A double click never posts twice ---------------------------------------------------------------------------
/** Marks the form as under way; the pressed button, which may stand outside the form, shows it. */
function setBusy(form, button) {
  form.setAttribute("data-sent", "");
  button?.setAttribute("aria-busy", "true");
  button?.setAttribute("aria-disabled", "true");
}

function free(form) {
  form.removeAttribute("data-sent");
  for (const each of form.elements) {
    if (each.localName !== "button" || !each.hasAttribute("aria-busy")) continue;
    each.removeAttribute("aria-busy");
    each.removeAttribute("aria-disabled");
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method === "dialog" || form.method === "get" || form.matches("[data-compare] form, [data-playground] form, [data-talk] form")) return;
  if (form.hasAttribute("data-sent")) {
    event.preventDefault();
    event.stopImmediatePropagation();
    return;
  }
  setBusy(form, event.submitter);
  if (form.hasAttribute("data-upload")) {
    event.preventDefault();
    const file = largeFile(form);
    if (file) sendInPieces(form, file, () => free(form));
    else send(form, event.submitter);
  } else if (form.hasAttribute("data-downloads")) {
    setTimeout(() => free(form), 2000); // the answer is a file; the page stays
  }
}, { capture: true });

document.addEventListener("htmx:afterRequest", (event) => {
  const form = event.target.closest?.("form");
  if (form) free(form);
});
addEventListener("pageshow", (event) => {
  if (event.persisted) document.querySelectorAll("form[data-sent]").forEach(free);
});

// --- Sending a file, with a bar that fills ------------------------------------------------------------------------
const MB = 1024 * 1024;
const inMB = (bytes) => (bytes / MB).toFixed(bytes < 10 * MB ? 1 : 0);

/** Posts the form by XMLHttpRequest, the only way that tells how far it is; then goes where the server sends us. */
function send(form, submitter) {
  const limit = Number(form.dataset.limitMb || 100) * MB;
  const size = [...form.querySelectorAll('input[type="file"]')].flatMap((input) => [...input.files]).reduce((sum, file) => sum + file.size, 0);
  if (size > limit) {
    say(form, word("upload-large", { size: inMB(size), limit: inMB(limit) }), true);
    free(form);
    return;
  }
  const request = new XMLHttpRequest();
  const bar = form.querySelector("[data-upload-bar]");
  request.upload.addEventListener("progress", (event) => {
    if (!event.lengthComputable || !size) return;
    if (bar) {
      bar.hidden = false;
      bar.max = event.total;
      bar.value = event.loaded;
    }
    const isWhole = event.loaded >= event.total;
    say(form, isWhole ? word("upload-checking") : word("uploading", { done: inMB(event.loaded), total: inMB(event.total) }));
  });
  request.addEventListener("load", () => arrive(form, request));
  request.addEventListener("error", () => {
    say(form, word("upload-broken"), true);
    if (bar) bar.hidden = true;
    free(form);
  });
  request.open("POST", form.action);
  request.setRequestHeader("x-csrftoken", csrfToken());
  request.send(new FormData(form, submitter));
}

/** A redirect is followed; the same address again means that the form came back with its faults, so they are shown. */
function arrive(form, request) {
  const page = new DOMParser().parseFromString(request.responseText, "text/html");
  const isHere = new URL(request.responseURL).pathname === new URL(form.action).pathname;
  if (request.status < 400 && !isHere) {
    keepToasts(page);
    location.assign(request.responseURL);
    return;
  }
  const main = page.querySelector("main");
  if (!main || request.status >= 500 || request.status === 413) {
    say(form, word("upload-refused", { status: request.status }), true);
    free(form);
    return;
  }
  const here = document.getElementById("main");
  here.replaceChildren(...main.childNodes);
  globalThis.htmx?.process(here);
  here.dispatchEvent(new CustomEvent("htmx:load", { bubbles: true, detail: { elt: here } }));
  for (const kept of page.querySelectorAll("[data-toast]")) {
    toast(kept.querySelector("[data-toast-text]").textContent, { level: kept.dataset.level });
  }
  here.focus({ preventScroll: true });
  const fault = here.querySelector('[aria-invalid="true"], .form-errors, .error');
  if (fault) fault.scrollIntoView({ block: "center" });
  else scrollTo(0, 0);
}

/** The page that the request followed has used up Django's messages; the page we go to shows them again. */
function keepToasts(page) {
  const kept = [...page.querySelectorAll("[data-toast]")].map((node) => ({
    text: node.querySelector("[data-toast-text]").textContent,
    level: node.dataset.level,
  }));
  if (kept.length) sessionStorage.setItem("toasts", JSON.stringify(kept));
}

function say(form, text, isFault = false) {
  // Choosing the same file once more must count as a choice.
  if (isFault) for (const input of form.querySelectorAll("input[data-sends]")) input.value = "";
  const place = form.querySelector("[data-upload-says]");
  if (!place) {
    if (isFault) toast(text, { level: "error" });
    return;
  }
  place.hidden = false;
  place.textContent = text;
  place.classList.toggle("error", isFault);
}

// --- Drop zones: a file dropped is a file chosen --------------------------------------------------------------------
document.addEventListener("dragover", (event) => {
  const zone = event.target.closest?.(".drop");
  if (!zone) return;
  event.preventDefault();
  zone.classList.add("over");
});
document.addEventListener("dragleave", (event) => event.target.closest?.(".drop")?.classList.remove("over"));
document.addEventListener("drop", (event) => {
  const zone = event.target.closest?.(".drop");
  if (!zone) return;
  event.preventDefault();
  zone.classList.remove("over");
  const input = zone.querySelector('input[type="file"]');
  input.files = event.dataTransfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
});
document.addEventListener("change", (event) => {
  if (event.target.type !== "file") return;
  const name = event.target.closest("form, .drop")?.querySelector("[data-file-name]");
  if (name) name.textContent = [...event.target.files].map((file) => `${file.name} (${inMB(file.size)} MB)`).join(", ");
  // A form that has nothing else to say is sent as soon as its file is chosen.
  if (event.target.hasAttribute("data-sends") && event.target.files.length) event.target.form.requestSubmit();
});

// --- A form whose answer is known already is sent by itself; its button is for browsers without scripts ------------
document.querySelector("form[data-submits-itself]")?.requestSubmit();

// --- Half-filled forms save themselves ----------------------------------------------------------------------------
// <form data-autosave="URL">: posts its fields (not its files) to URL, or to its action, soon after each change.
// A redirect or an answer without a page counts as saved; a page means that the form came back with something missing.
// [data-autosave-says] shows how it went.
const timers = new WeakMap();

document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (!form?.hasAttribute("data-autosave")) return;
  clearTimeout(timers.get(form));
  timers.set(form, setTimeout(() => save(form), 700));
});

async function save(form, wait = 2000) {
  const says = document.querySelector("[data-autosave-says]");
  const tell = (text) => says && (says.textContent = text);
  const body = new FormData(form);
  for (const [name, value] of [...body]) if (value instanceof File) body.delete(name);
  tell(word("saving"));
  let isKept = false;
  try {
    const answer = await fetch(form.dataset.autosave || form.action, {
      method: "POST", body, redirect: "manual", headers: { "x-csrftoken": csrfToken(), "x-autosave": "1" },
    });
    const isPage = answer.headers.get("content-type")?.startsWith("text/html");
    isKept = answer.type === "opaqueredirect" || (answer.ok && !isPage);
    if (isPage && answer.status < 500) return tell(word("unfinished"));
  } catch (problem) {
    console.info("Saving waits for the connection.", problem.message);
  }
  if (isKept) return tell(word("saved"));
  tell(word("unsaved"));
  timers.set(form, setTimeout(() => save(form, Math.min(wait * 2, 60000)), wait));
}

// --- The browser knows the time zone, the person should not have to say it ------------------------------------------
for (const input of document.querySelectorAll("input[data-browser-time-zone]")) {
  if (!input.value) input.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
}
