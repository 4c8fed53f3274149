// Draws one row as chat bubbles, to read or to edit. Every kind of row: chat, text, preference, unpaired.
import { fill } from "./page.js";

/** One of the words of #review-words, with {name} filled in. */
export function reviewWord(key, values = {}) {
  const found = document.getElementById("review-words").content.querySelector(`[data-word="${key}"]`);
  return fill(found ? found.textContent : key, values);
}

/** The pieces of a row in reading order: [{place: path to the text, message or null, text, kind, label}]. */
function pieces(row, { split, isGuest }) {
  if ("text" in row) return [{ place: ["text"], text: row.text, kind: "learned", label: reviewWord("text") }];
  const found = [];
  const add = (name, labels) => {
    row[name].forEach((message, number) => found.push({ place: [name, number, "content"], message, text: message.content ?? "", ...labels(message) }));
  };
  const given = (message) => ({
    system: { kind: "system", label: reviewWord("system") },
    user: { kind: "user", label: reviewWord("person") },
    tool: { kind: "tool", label: reviewWord("tool") },
  })[message.role];
  const learned = isGuest ? { kind: "learned", label: reviewWord("answer") }
    : split === "held_out" ? { kind: "", label: reviewWord("tested") } : { kind: "learned", label: reviewWord("learned") };
  const earlier = { kind: "", label: reviewWord("earlier") };
  if ("messages" in row) {
    const last = row.messages.length - 1;
    add("messages", (message) => given(message) ?? (message.weight === 0 || (isGuest && message !== row.messages[last]) ? earlier : learned));
    return found;
  }
  add("prompt", (message) => given(message) ?? earlier);
  if ("chosen" in row) {
    add("chosen", (message) => given(message) ?? { kind: "learned", label: reviewWord("chosen") });
    add("rejected", (message) => given(message) ?? { kind: "worse", label: reviewWord("rejected") });
  } else {
    const mark = row.label ? { kind: "learned", label: reviewWord("good") } : { kind: "worse", label: reviewWord("bad") };
    add("completion", (message) => given(message) ?? mark);
  }
  return found;
}

export function drawRow(box, row, { isGuest, isEditing, showsOriginal, keepEdit, leaveEdit, turnOriginal }) {
  const edited = row.review.edited;
  const content = edited && !showsOriginal ? edited : row.row;
  const list = document.createElement("ol");
  list.className = "chat";
  for (const piece of pieces(content, { split: row.split, isGuest })) list.append(bubble(piece, isEditing));
  const acts = document.createElement("p");
  acts.className = "review-body-acts";
  if (isEditing) {
    acts.append(button(`${reviewWord("save-edit")}`, "Ctrl Enter", keepEdit), button(reviewWord("cancel-edit"), "Esc", leaveEdit));
    list.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) keepEdit();
      else if (event.key === "Escape") leaveEdit();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  } else if (edited) {
    acts.append(button(reviewWord(showsOriginal ? "as-edited" : "as-it-was"), "", turnOriginal));
  }
  box.replaceChildren(list, ...(acts.childElementCount ? [acts] : []));
}

function button(words, key, act) {
  const node = document.createElement("button");
  node.type = "button";
  node.className = "button button-small";
  node.textContent = words;
  if (key) {
    const shown = document.createElement("kbd");
    shown.textContent = key;
    node.append(" ", shown);
  }
  node.addEventListener("click", act);
  return node;
}

function bubble({ place, message, text, kind, label }, isEditing) {
  const item = document.createElement("li");
  if (kind) item.className = kind;
  const who = document.createElement("span");
  who.className = "who";
  who.textContent = label;
  if (isEditing && !(message?.tool_calls && !text)) {
    const field = document.createElement("textarea");
    field.className = "input";
    field.value = text;
    field.dataset.was = field.value; // the browser writes line ends its own way
    field.dataset.place = JSON.stringify(place);
    field.setAttribute("aria-label", label);
    item.append(who, field);
    return item;
  }
  const says = document.createElement("p");
  says.className = "says pre";
  says.textContent = text;
  if (kind === "system") {
    const fold = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = label;
    says.classList.add("small");
    fold.append(summary, says);
    item.append(fold);
    return item;
  }
  item.append(who);
  if (text || !message?.tool_calls) item.append(says);
  for (const call of message?.tool_calls ?? []) {
    const calls = document.createElement("p");
    calls.className = "says pre calls";
    calls.textContent = `${reviewWord("calls")}: ${call.function?.name ?? ""}(${call.function?.arguments ?? ""})`;
    item.append(calls);
  }
  return item;
}

/** The row's content with what stands in the fields of `box`; undefined if one of them was emptied. */
export function editedFrom(box, row) {
  const content = structuredClone(row.review.edited ?? row.row);
  for (const field of box.querySelectorAll("textarea[data-place]")) {
    if (!field.value.trim()) return undefined;
    if (field.value === field.dataset.was) continue;
    const place = JSON.parse(field.dataset.place);
    const name = place.pop();
    place.reduce((within, step) => within[step], content)[name] = field.value;
  }
  return content;
}
