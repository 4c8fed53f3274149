// Shows what is thought of the current row: marks beside its place, pressed buttons, tags, the note.
import { reviewWord } from "./review_row.js";

/** @param onRemove called with a tag when its button is pressed. */
export function drawOpinion(root, { verdict, rating, tags, note, edited }, onRemove) {
  const part = (name) => root.querySelector(`[data-review-${name}]`);
  const marks = [
    verdict === "star" && ["star", `★ ${reviewWord("is-starred")}`],
    verdict === "reject" && ["reject", `✕ ${reviewWord("is-rejected")}`],
    edited && ["edited", reviewWord("is-edited")],
    rating && ["rating", reviewWord("is-rated", { rating })],
  ];
  part("marks").replaceChildren(...marks.filter(Boolean).map(([name, words]) => {
    const node = document.createElement("span");
    node.className = name;
    node.textContent = words;
    return node;
  }));
  for (const button of root.querySelectorAll("[data-act]")) {
    const { act } = button.dataset;
    if (act === "star" || act === "reject") button.setAttribute("aria-pressed", String(verdict === act));
    if (act === "rate") button.setAttribute("aria-pressed", String(rating === Number(button.dataset.rating)));
  }
  part("tags").replaceChildren(...tags.map((tag) => tagNode(tag, onRemove)));
  const field = part("note");
  if (document.activeElement !== field) field.value = note;
}

function tagNode(tag, onRemove) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = `${tag} ×`;
  button.setAttribute("aria-label", reviewWord("remove-tag", { tag }));
  button.addEventListener("click", () => onRemove(tag));
  item.append(button);
  return item;
}
