// Sets the colours before the first paint, so that nothing flashes. "auto" follows the system.
(() => {
  let theme = "auto";
  try {
    theme = localStorage.getItem("limpet-theme") || "auto";
  } catch {
    // Storage is forbidden: the system's choice stands.
  }
  document.documentElement.dataset.theme = theme;
})();
