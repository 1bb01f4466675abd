// Light or dark, as somebody chose it here, before the first paint. A classic script for that reason.
// Owns the key of that choice. Without one, the system decides.
"use strict";
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("theme");
  } catch {
    // A browser that keeps nothing follows the system.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
