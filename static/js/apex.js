// Small things that every page has: theme, dialogs, tabs, copying, toasts, the bell, relative times.
import "./menu.js";
import { toast, word } from "./page.js";

const root = document.documentElement;

// --- Theme ---------------------------------------------------------------------------------------------------
function turnTheme() {
  const isDark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch (problem) {
    console.info("The theme lasts for this page only: this browser keeps nothing.", problem.message);
  }
}

// --- Clicks, by what the button says it does -----------------------------------------------------------------
document.addEventListener("click", (event) => {
  if (event.target instanceof HTMLDialogElement && isOutside(event, event.target)) event.target.close();
  const button = event.target.closest("button, [data-opens]");
  if (!button) return;
  if (button.hasAttribute("data-theme-toggle")) turnTheme();
  if (button.role === "tab") showTab(button);
  if (button.dataset.opens) document.getElementById(button.dataset.opens)?.showModal();
  if (button.hasAttribute("data-closes")) close(button);
  if (button.hasAttribute("data-copies")) copy(button);
  if (button.hasAttribute("data-bell-opens")) turnBell();
});

function close(button) {
  const toastNode = button.closest("[data-toast]");
  if (toastNode) toastNode.remove();
  else button.closest("dialog").close();
}

/** A click on the shade beside a dialog lands on the dialog itself, outside its box. */
function isOutside(event, dialog) {
  const box = dialog.getBoundingClientRect();
  return event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom;
}

// --- Tabs: one at a time, arrow keys move ----------------------------------------------------------------------
function showTab(chosen) {
  for (const tab of chosen.closest('[role="tablist"]').querySelectorAll('[role="tab"]')) {
    tab.setAttribute("aria-selected", String(tab === chosen));
    tab.tabIndex = tab === chosen ? 0 : -1;
    const panel = document.getElementById(tab.getAttribute("aria-controls"));
    if (panel) panel.hidden = tab !== chosen;
  }
}

document.addEventListener("keydown", (event) => {
  if (event.target.role !== "tab") return;
  const tabs = [...event.target.closest('[role="tablist"]').querySelectorAll('[role="tab"]')];
  const at = tabs.indexOf(event.target);
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const tab = tabs.at(to % tabs.length);
  tab.focus();
  showTab(tab);
});

// --- Copying ---------------------------------------------------------------------------------------------------
async function copy(button) {
  const from = button.dataset.copies
    ? document.getElementById(button.dataset.copies)
    : button.closest(".code, .secret").querySelector("pre, code");
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(from.textContent);
  } catch {
    // Without a secure origin there is no clipboard: mark the text, so that Ctrl C takes it.
    const isHidden = from.hidden;
    from.hidden = false;
    getSelection().selectAllChildren(from);
    const isCopied = document.execCommand("copy");
    from.hidden = isHidden;
    if (!isCopied) return;
  }
  button.textContent = button.dataset.copied;
  setTimeout(() => (button.textContent = before), 2000);
}

// --- Toasts go by themselves, unless they tell of a fault or are being read ---------------------------------------
function letGo(node) {
  if (["error", "warning"].includes(node.dataset.level)) return;
  const timer = setInterval(() => {
    if (node.matches(":hover, :focus-within")) return;
    node.remove();
    clearInterval(timer);
  }, 7000);
}
document.querySelectorAll("[data-toast]").forEach(letGo);
document.addEventListener("toast-shown", (event) => letGo(event.detail));

try {
  for (const kept of JSON.parse(sessionStorage.getItem("toasts") ?? "[]")) toast(kept.text, { level: kept.level });
  sessionStorage.removeItem("toasts");
} catch (problem) {
  console.info("No toasts were kept from the page before.", problem.message);
}

// --- The bell ------------------------------------------------------------------------------------------------------
const bellButton = document.querySelector("[data-bell-opens]");
const bellList = document.getElementById("bell-list");
let isBellNews = false;

function turnBell(open = bellList.hidden) {
  bellList.hidden = !open;
  bellButton.setAttribute("aria-expanded", String(open));
  if (open) bellList.focus();
}

if (bellButton) {
  document.addEventListener("click", (event) => {
    if (!bellList.hidden && !event.target.closest("[data-bell]")) turnBell(false);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || bellList.hidden) return;
    turnBell(false);
    bellButton.focus();
  });
  // The event says only that something is new; the words come with the fragment that is read next.
  document.body.addEventListener("notice-created", () => (isBellNews = true));
  document.body.addEventListener("htmx:afterSwap", () => {
    const items = bellList.querySelector("[data-unread]");
    if (!items) return;
    const count = Number(items.dataset.unread);
    document.getElementById("bell-count").textContent = count ? String(Math.min(count, 99)) : "";
    bellButton.setAttribute("aria-label", count ? word("notices-new", { count }) : word("notices"));
    const newest = bellList.querySelector("[data-notice].new");
    if (isBellNews && newest) toast(newest.dataset.notice, { url: newest.querySelector("a")?.href });
    isBellNews = false;
  });
}

// --- Times: relative in words, exact on hover, in the person's zone ---------------------------------------------
const language = root.lang || "en";
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
const zone = root.dataset.timeZone;
const exact = (() => {
  const options = { dateStyle: "long", timeStyle: "short" };
  try {
    return new Intl.DateTimeFormat(language, { ...options, timeZone: zone || undefined });
  } catch {
    return new Intl.DateTimeFormat(language, options); // a zone that this browser does not know: its own
  }
})();
const UNITS = [["year", 31536000], ["month", 2592000], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** "12 minutes ago", "in 3 hours", "now" for a Date. */
function sayWhen(moment) {
  const seconds = (moment - Date.now()) / 1000;
  if (Math.abs(seconds) < 10) return relative.format(0, "second");
  const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length);
  return relative.format(Math.round(seconds / size), unit);
}

function tellTimes(within = document) {
  for (const node of within.querySelectorAll("time[datetime]:not([data-exact])")) {
    const moment = new Date(node.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    const words = sayWhen(moment);
    if (node.textContent !== words) node.textContent = words;
    node.title = exact.format(moment);
  }
}
tellTimes();
setInterval(tellTimes, 20000);
// At the swap and not after it has settled, so that the exact time never flashes up.
for (const type of ["htmx:afterSwap", "htmx:load"]) document.addEventListener(type, () => tellTimes());

// --- Re-reading a fragment does not get in the way of who is using it ---------------------------------------------
let focused = null; // how to find what had the focus, once its fragment is new

document.addEventListener("htmx:beforeSwap", (event) => {
  // Signed out meanwhile: the door does not belong into a corner of the page.
  const login = document.body.dataset.loginUrl;
  const answered = new URL(event.detail.xhr.responseURL || location.href).pathname;
  if (login && answered === login) {
    event.detail.shouldSwap = false;
    location.assign(`${login}?next=${encodeURIComponent(location.pathname + location.search)}`);
    return;
  }
  const target = event.detail.target;
  // A dialog that is open would close under the person's hands: the next event reads the fragment again.
  if (target.querySelector("dialog[open]")) event.detail.shouldSwap = false;
  const at = document.activeElement;
  focused = at && !at.id && target.contains(at) ? selectorOf(at) : null;
});
document.addEventListener("htmx:afterSwap", () => {
  if (focused && document.activeElement === document.body) document.querySelector(focused)?.focus();
  focused = null;
});

/** A selector by what the element does; null where nothing tells it from others. htmx itself minds those with an id. */
function selectorOf(element) {
  const name = ["data-opens", "href", "name", "aria-controls"].find((each) => element.hasAttribute(each));
  return name ? `${element.localName}[${name}="${CSS.escape(element.getAttribute(name))}"]` : null;
}

// --- What htmx could not do is said, never swallowed --------------------------------------------------------------
document.addEventListener("htmx:sendError", () => toast(word("request-broken"), { level: "error" }));
document.addEventListener("htmx:responseError", (event) => {
  toast(word("request-refused", { status: event.detail.xhr.status }), { level: "error" });
});
