// A menu of seldom acts: <details class="menu"> whose summary is the button and whose list holds buttons and links. The
// browser opens and shuts it, by keyboard too, and says which it is; here it is shut by what shuts menus elsewhere.
const openMenu = () => document.querySelector("details.menu[open]");

/** Shuts it; the focus goes back to its button, so that a dialog that was opened from it gives it back there. */
function shut(menu) {
  menu.open = false;
  menu.querySelector("summary").focus();
}

// Before anybody else hears of it: a dialog remembers where the focus was when it opens.
document.addEventListener(
  "click",
  (event) => {
    const menu = openMenu();
    if (!menu) return;
    if (!menu.contains(event.target)) menu.open = false;
    else if (event.target.closest("ul :is(button, a)")) shut(menu);
  },
  { capture: true },
);

document.addEventListener(
  "keydown",
  (event) => {
    const menu = openMenu();
    if (!menu) return;
    if (event.key === "Escape") {
      event.stopPropagation(); // it means the menu alone
      shut(menu);
      return;
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !menu.contains(event.target)) return;
    event.preventDefault();
    const acts = [...menu.querySelectorAll("ul :is(button, a)")];
    const at = acts.indexOf(document.activeElement);
    const next = at < 0 && step < 0 ? -1 : at + step; // from the button: the first, or the last
    acts.at(next % acts.length).focus();
  },
  { capture: true },
);

document.addEventListener("focusout", (event) => {
  const menu = openMenu();
  if (menu?.contains(event.target) && event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
});
