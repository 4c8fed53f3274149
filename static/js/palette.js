// Ctrl or Cmd K: finds places, actions and one's own things. The things are read from the server at first opening.
const palette = document.getElementById("palette");
const find = palette?.querySelector("input");

/** The links and buttons that are shown now, in order. */
function hits() {
  return [...palette.querySelectorAll("#hits > li:not([hidden]) > .row")];
}

/** Shows which row Enter would take; with `isReached` the focus goes there too. */
function mark(row, isReached = false) {
  palette.querySelector(".row.first")?.classList.remove("first");
  row?.classList.add("first");
  if (isReached) row.focus();
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
  palette.addEventListener("keydown", (event) => {
    const rows = hits();
    if (event.target === find && event.key === "Enter") {
      event.preventDefault();
      rows[0]?.click();
    }
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move && rows.length) {
      // The focus itself moves, so that a screen reader says where one is. The first row counts as reached by typing.
      event.preventDefault();
      const at = event.target === find ? 0 : rows.indexOf(event.target);
      const to = at + move;
      if (to < 0) find.focus();
      else mark(rows.at(to % rows.length), true);
    } else if (event.target !== find && event.key.length === 1 && !event.ctrlKey && !event.metaKey && event.key !== " ") {
      find.focus(); // typing goes on in the field
    }
  });
}
