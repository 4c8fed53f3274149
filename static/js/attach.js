// Files in a conversation: chosen by the paper-clip, dropped, or pasted. Each is sent by itself, with a bar; the answer
// is the list of all with how far their reading is (minions/_attached.html), which goes on by htmx.
import { csrfToken, toast, word } from "./page.js";

const root = document.querySelector("[data-talk]");
const input = root.querySelector("[data-attach]");
const place = root.querySelector("[data-attached]");
const base = root.querySelector("[data-attach-base]");
const MB = 1024 * 1024;
const limit = Number(root.dataset.limitMb) * MB;
const inMB = (bytes) => (bytes / MB).toFixed(bytes < 10 * MB ? 1 : 0);
let queue = Promise.resolve();

root.querySelector("[data-attaches]").addEventListener("click", () => input.click());
input.addEventListener("change", () => {
  take([...input.files]);
  input.value = "";
});

const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
root.addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  root.classList.add("over");
});
root.addEventListener("dragleave", (event) => root.contains(event.relatedTarget) || root.classList.remove("over"));
root.addEventListener("drop", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  root.classList.remove("over");
  take([...event.dataTransfer.files]);
});
root.querySelector("textarea").addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (!files.length) return;
  event.preventDefault();
  take(files);
});

/** One after the other, so that of two none makes a second knowledge base. */
function take(files) {
  for (const file of files) queue = queue.then(() => send(file));
}

function send(file) {
  if (file.size > limit) {
    toast(word("document-large", { name: file.name, size: inMB(file.size), limit: root.dataset.limitMb }), { level: "error" });
    return Promise.resolve();
  }
  const line = document.createElement("p");
  line.className = "small attaching";
  const bar = document.createElement("progress");
  bar.max = file.size || 1;
  bar.value = 0;
  bar.setAttribute("aria-label", file.name);
  line.append(word("document-sending", { name: file.name }), bar);
  place.append(line);
  const body = new FormData();
  body.append("file", file);
  if (base) body.append("base", base.value);
  const request = new XMLHttpRequest();
  request.upload.addEventListener("progress", (event) => (bar.value = event.loaded));
  return new Promise((done) => {
    request.addEventListener("loadend", () => {
      line.remove();
      if (request.status === 200 || request.status === 422) put(request.responseText);
      else toast(word("document-broken", { name: file.name }), { level: "error" });
      done();
    });
    request.open("POST", root.dataset.attachUrl);
    request.setRequestHeader("x-csrftoken", csrfToken());
    request.send(body);
  });
}

function put(fragment) {
  place.querySelector("#attached")?.remove();
  place.prepend(...new DOMParser().parseFromString(fragment, "text/html").body.childNodes);
  globalThis.htmx.process(place);
  place.scrollIntoView({ block: "nearest" });
}
