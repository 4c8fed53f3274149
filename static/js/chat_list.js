// The list of conversations: one dialog renames, one deletes; the button that opens it says of which it is.
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-acts]");
  if (!button) return;
  const dialog = document.getElementById(button.dataset.opens);
  dialog.querySelector("form").action = button.dataset.acts;
  const name = dialog.querySelector("[name=title]");
  if (name) name.value = button.dataset.named;
  else dialog.querySelector("h2").textContent = button.dataset.asks;
}, { capture: true });
