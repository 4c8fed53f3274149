// The outside models of a minion: rows that are added, moved and taken away. Django reads them by the numbers in their
// names (chain-0-model, …), so they are numbered anew after each change.
import { fill } from "./page.js";

const chain = document.querySelector("[data-chain]");
const add = document.querySelector("[data-link-adds]");
const says = document.querySelector("[data-chain-says]");
const template = document.querySelector("[data-link-template]");
const total = document.querySelector('[name="chain-TOTAL_FORMS"]');
const initial = document.querySelector('[name="chain-INITIAL_FORMS"]');
const rows = () => [...chain.querySelectorAll("[data-link]")];

add.hidden = false;
number();

add.addEventListener("click", () => {
  const row = template.content.firstElementChild.cloneNode(true);
  chain.append(row);
  number();
  says.textContent = chain.dataset.wordAdded;
  row.querySelector("select").focus();
});

chain.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const row = event.target.closest("[data-link]");
  if (!button || !row) return;
  if ("removes" in button.dataset) {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    number();
    says.textContent = chain.dataset.wordRemoved;
    (next?.querySelector("[data-removes]") ?? add).focus();
  } else if (button.dataset.moves === "-1") move(row, button, () => row.previousElementSibling?.before(row));
  else if (button.dataset.moves === "1") move(row, button, () => row.nextElementSibling?.after(row));
});

function move(row, button, go) {
  go();
  number();
  // At the end of its way a button can do no more; the one back is beside it.
  (button.disabled ? row.querySelector("[data-moves]:not(:disabled)") : button)?.focus();
  says.textContent = fill(chain.dataset.wordMoved, { place: rows().indexOf(row) + 1, count: rows().length });
}

function number() {
  const all = rows();
  all.forEach((row, place) => {
    for (const node of row.querySelectorAll("*")) {
      for (const name of ["name", "id", "for", "aria-describedby"]) {
        const value = node.getAttribute(name);
        if (value) node.setAttribute(name, value.replace(/chain-(\d+|__prefix__)-/g, `chain-${place}-`));
      }
    }
    row.querySelector("[data-number]").textContent = place + 1;
    row.querySelector("[data-link-acts]").hidden = false;
    row.querySelector("[data-link-delete]")?.remove();
    row.querySelector('[data-moves="-1"]').disabled = place === 0;
    row.querySelector('[data-moves="1"]').disabled = place === all.length - 1;
  });
  total.value = all.length;
  initial.value = 0;
  add.disabled = all.length >= Number(chain.dataset.most);
}
