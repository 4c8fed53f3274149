// Ctrl or Cmd K: finds places, actions and one's own things. The things are read from the server at first opening.
const palette = document.getElementById("palette");
const find = palette?.querySelector("input");

/** The links and buttons that are shown now, in order. */
function hits() {
  return [...palette.querySelectorAll("#hits > li:not([hidden]) > .row")];
}

function mark(row) {
  for (const other of palette.querySelectorAll(".row.first")) {
    other.classList.remove("first");
    other.removeAttribute("aria-current");
  }
  row?.classList.add("first");
  row?.setAttribute("aria-current", "true");
  row?.scrollIntoView({ block: "nearest" });
}

function sift() {
  const wanted = find.value.trim().toLowerCase().split(/\s+/);
  for (const item of palette.querySelectorAll("#hits > li:not([data-palette-things])")) {
    const text = item.textContent.toLowerCase();
    item.hidden = !wanted.every((part) => text.includes(part));
  }
  palette.querySelector("[data-palette-none]").hidden = hits().length > 0;
  mark(hits()[0]);
}

function open() {
  if (!palette.open) palette.showModal();
}

if (palette) {
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
    }
  });
  // However it was opened (key or button), it starts clean and asks once for one's own things.
  new MutationObserver(() => {
    if (!palette.open) return;
    find.value = "";
    sift();
    document.body.dispatchEvent(new CustomEvent("palette-opened"));
  }).observe(palette, { attributeFilter: ["open"] });
  find.addEventListener("input", sift);
  palette.addEventListener("htmx:afterSettle", sift);
  find.addEventListener("keydown", (event) => {
    const rows = hits();
    const at = rows.findIndex((row) => row.classList.contains("first"));
    if (event.key === "Enter") {
      event.preventDefault();
      rows[Math.max(at, 0)]?.click();
    }
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move && rows.length) {
      event.preventDefault();
      mark(rows.at((at + move) % rows.length));
    }
  });
}
