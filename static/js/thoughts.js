// What models say to themselves before they answer: one fold for each that thinks, shut until somebody opens it, with
// the seconds that pass while it thinks. chat.js tells what comes.
import { fill } from "./page.js";

/** `fold` is a hidden <details> with [data-thinks] and [data-whose] in its summary, which a copy of it for each model
 * comes before. `thinking` says that it thinks, with {seconds}; afterwards the words of `fold` stand there. */
export function makeThoughts(fold, thinking) {
  const folds = new Map();
  let clock = null;
  let isEnded = false;
  let wasOpen = false;

  function tick() {
    for (const { begun, thinks } of folds.values()) {
      thinks.textContent = fill(thinking, { seconds: Math.floor((performance.now() - begun) / 1000) });
    }
  }

  function begin(model) {
    const node = fold.cloneNode(true);
    const part = (name) => node.querySelector(name);
    const each = { node, thinks: part("[data-thinks]"), whose: part("[data-whose]"), says: part(".says") };
    node.hidden = false;
    node.open = wasOpen;
    fold.before(node);
    folds.set(model, { ...each, begun: performance.now() });
    if (isEnded) return;
    each.whose.textContent = `(${model})`;
    node.dataset.thinking = "";
    clock ??= setInterval(tick, 1000);
    tick();
  }

  return {
    /** True where `model` has just begun to think. */
    add(model, text) {
      const isNew = !folds.has(model);
      if (isNew) begin(model);
      const { says } = folds.get(model);
      const isAtEnd = says.scrollHeight - says.scrollTop - says.clientHeight < 40;
      says.append(text);
      if (isAtEnd) says.scrollTop = says.scrollHeight;
      return isNew && !isEnded;
    },
    /** It does not answer after all: its thoughts are none of this answer's. True where nobody thinks any more. */
    drop(model) {
      const node = folds.get(model)?.node;
      wasOpen = node?.open ?? wasOpen;
      node?.remove();
      folds.delete(model);
      return folds.size === 0;
    },
    /** It has thought: the seconds stand still, and what was thought is there to be read. */
    end() {
      clearInterval(clock);
      isEnded = true;
      for (const { node, thinks, whose } of folds.values()) {
        thinks.textContent = fold.querySelector("[data-thinks]").textContent;
        whose.textContent = fold.querySelector("[data-whose]").textContent;
        delete node.dataset.thinking;
      }
    },
  };
}
