// Runs before the first paint: picks the colour scheme, so that the page never flashes in the other one.
// "system" follows the operating system; a choice is remembered in this browser.
window.watchkeeper = (function () {
  const KEY = "watchkeeper-scheme";
  const media = window.matchMedia("(prefers-color-scheme: dark)");

  function choice() {
    try { return localStorage.getItem(KEY) || "system"; } catch (_) { return "system"; }
  }
  function scheme() {
    const chosen = choice();
    return chosen === "system" ? (media.matches ? "dark" : "light") : chosen;
  }
  function viewer() {
    return { scheme: scheme(), choice: choice(), zone: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC", narrow: window.innerWidth < 820 };
  }
  function apply() {
    const root = document.documentElement;
    root.setAttribute("data-mantine-color-scheme", scheme());
    root.setAttribute("data-ag-theme-mode", scheme());
  }
  function next() {
    const order = ["system", "light", "dark"];
    const chosen = order[(order.indexOf(choice()) + 1) % order.length];
    try { localStorage.setItem(KEY, chosen); } catch (_) { /* a private window: the choice lasts for this page */ }
    apply();
    return viewer();
  }
  media.addEventListener("change", function () {
    apply();
    if (window.dash_clientside && window.dash_clientside.set_props) {
      window.dash_clientside.set_props("viewer", { data: viewer() });
    }
  });
  apply();
  return { viewer: viewer, next: next };
})();
