// What the other scripts read from the page: translated words, the CSRF token, whether to move. Keeps no state.

/** The words of `<i data-word="key">` in #words, with {name} filled in from `values`; the key itself if missing. */
export function word(key, values = {}) {
  const found = document.getElementById("words")?.content.querySelector(`[data-word="${key}"]`);
  return fill(found ? found.textContent : key, values);
}

/** `text` with every {name} replaced by values[name]. */
export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** The token that Django wants with each POST: base.html keeps it in hx-headers, forms in a hidden field. */
export function csrfToken() {
  const headers = document.body.getAttribute("hx-headers");
  if (headers) return JSON.parse(headers)["x-csrftoken"];
  return document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
}

/** True where the person asked their system for less motion. */
export function isStill() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** Shows short words at the corner; with `url` they are a link. Errors stay until closed. */
export function toast(text, { url = null, level = "info" } = {}) {
  const box = document.getElementById("toasts");
  if (!box || !text) return;
  const node = document.createElement("div");
  node.className = "toast";
  node.dataset.toast = "";
  node.dataset.level = level;
  const words = document.createElement(url ? "a" : "span");
  if (url) words.href = url;
  words.dataset.toastText = "";
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "button button-small";
  close.dataset.closes = "";
  close.textContent = word("close");
  node.append(words, close);
  box.append(node);
  box.dispatchEvent(new CustomEvent("toast-shown", { bubbles: true, detail: node }));
}
