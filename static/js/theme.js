// Runs before the first paint (a plain script in the head), so that the page never flashes in the wrong theme.
(() => {
  const wished = new URLSearchParams(location.search).get("theme");
  const kept = (() => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage is switched off in this browser: follow the system
    }
  })();
  const theme = [wished, kept].find((name) => name === "light" || name === "dark");
  if (theme) document.documentElement.dataset.theme = theme;
})();
