// While somebody presses something, it stays under the pointer: a refresh that replaced a link or a button between the
// press and its release would take the click away. Whatever changes the page by itself waits here until then.
window.watchkeeperPress = (function () {
  const CLICK_MS = 350; // after a release; a touch screen's click comes later than a mouse's
  const pointers = new Set(); // that are down
  let key = ""; // Enter or the space bar, while it is down
  let settling = 0; // the timer of a click that may still come
  let waiting = null; // the newest change: it has what the older ones had

  const isFree = () => !pointers.size && !key && !settling;
  function run() {
    if (!isFree() || !waiting) return;
    const change = waiting;
    waiting = null;
    change();
  }
  function settle(ms) {
    clearTimeout(settling);
    settling = setTimeout(function () { settling = 0; run(); }, ms);
  }
  function letGo() {
    pointers.clear();
    key = "";
    settle(0);
  }
  const on = (name, listen) => window.addEventListener(name, listen, { capture: true, passive: true });
  on("pointerdown", (event) => { pointers.add(event.pointerId); });
  on("pointerup", (event) => { pointers.delete(event.pointerId); settle(CLICK_MS); });
  on("pointercancel", (event) => { pointers.delete(event.pointerId); settle(0); }); // scrolled, or dragged away
  on("click", () => { if (!pointers.size) settle(0); }); // after its listeners have run
  // A button that came up outside of the window was not seen to.
  on("pointermove", (event) => { if (pointers.has(event.pointerId) && !event.buttons) letGo(); });
  on("keydown", (event) => { if (event.key === "Enter" || event.key === " ") key = event.key; });
  on("keyup", (event) => { if (event.key === key) { key = ""; settle(0); } });
  on("blur", (event) => { if (event.target === window) letGo(); });

  // Run `change` now, or as soon as nothing is pressed; a newer one takes its place.
  function whenFree(change) { waiting = change; run(); }
  return { whenFree: whenFree };
})();
