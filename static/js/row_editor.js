// The editor of one row: Ctrl or Cmd Enter keeps it, and leaving with something typed asks first.
const form = document.querySelector("form[data-row-editor]");
let isTyped = Boolean(document.querySelector(".form-errors"));

form?.addEventListener("input", () => { isTyped = true; });
form?.addEventListener("submit", () => { isTyped = false; });
form?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  form.requestSubmit(form.querySelector("[data-keep]"));
});

addEventListener("beforeunload", (event) => {
  if (isTyped) event.preventDefault();
});
