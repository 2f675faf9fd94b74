// What a reader waits for, in words: nothing for a moment, then what is read, then that it is slow, with a way out.
// Dash asks for a page with `fetch`. A newer request for a page takes the place of the older one, whose connection is
// closed, as the browser does when the reader leaves.
window.watchkeeperWaiting = (function () {
  const SHOWN_AFTER_MS = 300;
  const SLOW_AFTER_MS = 10000;
  const AT_LEAST_MS = 400; // that a line stays: one that comes and goes at once is only a flicker
  const PATH = "_dash-update-component";
  const OVER_TIME = new Set(["/", "/services", "/traces", "/logs", "/explore", "/boards"]);
  const send = window.fetch.bind(window);
  let reading = null; // the request for a page that is on its way
  let quiet = false; // it brings the shown page up to date, and nobody waits for it
  let cancelled = false; // by the reader, who has not asked for a page since
  let timers = [];
  let shownAt = 0;

  // The request for a page among Dash's: where to, and whether it only brings a shown page up to date. Else null.
  function pageAsked(address, options) {
    if (!String(address.url || address).includes(PATH) || !options || typeof options.body !== "string") return null;
    let asked;
    try { asked = JSON.parse(options.body); } catch (_) { return null; }
    if (!String(asked.output).includes("live.children")) return null;
    const value = (list, id) => ((list || []).find((one) => one.id === id && one.property !== "pathname") || {}).value;
    const pathname = ((asked.inputs || []).find((one) => one.property === "pathname") || {}).value || "/";
    const at = pathname + (value(asked.inputs, "url") || "");
    const shown = (value(asked.state, "pulse") || {}).at;
    const ticked = (asked.changedPropIds || []).every((name) => name === "tick.data");
    return { pathname: pathname, search: value(asked.inputs, "url") || "", quiet: ticked && shown === at };
  }

  // "traces of the last 6h"; "the page" where the navigation has no name for it.
  function words(asked) {
    const first = "/" + (asked.pathname.split("/")[1] || "");
    const link = document.querySelector('[data-nav="' + CSS.escape(first) + '"] a');
    const name = link ? (link.firstChild.textContent || "").trim() : "";
    const named = !name ? "the page" : /^[A-Z]{2}/.test(name) ? name : name.charAt(0).toLowerCase() + name.slice(1);
    if (!OVER_TIME.has(first)) return named;
    const query = new URLSearchParams(asked.search);
    return named + (query.has("from") ? " of the chosen time" : " of the last " + (query.get("range") || "30m"));
  }

  function show(text, label, press) {
    const line = document.getElementById("waiting");
    if (!line) return;
    const children = [document.createTextNode(text)];
    if (label) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.addEventListener("click", press);
      children.push(button);
    }
    line.replaceChildren(...children);
    shownAt = shownAt || Date.now();
  }
  function clear() {
    const line = document.getElementById("waiting");
    if (line) line.replaceChildren();
    shownAt = 0;
  }
  function later(ms, run) { timers.push(setTimeout(run, ms)); }
  function stopTimers() { timers.forEach(clearTimeout); timers = []; }

  function begin(request, asked) {
    stopTimers();
    if (shownAt) show("Reading " + words(asked) + "…"); // another page instead of the one that was awaited
    later(SHOWN_AFTER_MS, () => show("Reading " + words(asked) + "…"));
    later(SLOW_AFTER_MS, () => show("Still reading " + words(asked) + "; the store is slow.", "Cancel", () => cancel(request)));
  }
  function end(request) {
    if (reading !== request) return;
    reading = null;
    stopTimers();
    if (shownAt) later(Math.max(0, AT_LEAST_MS - (Date.now() - shownAt)), clear);
  }
  function cancel(request) {
    if (reading !== request) return;
    reading = null;
    cancelled = true;
    stopTimers();
    request.abort();
    show("Cancelled. The page shows what was read before.", "Read again", again);
    document.querySelector("#waiting button").focus();
  }
  function again() {
    cancelled = false;
    clear();
    window.dash_clientside.set_props("tick", { data: Date.now() });
  }

  window.fetch = function (address, options) {
    const asked = pageAsked(address, options);
    if (!asked) return send(address, options);
    const request = new AbortController();
    if (reading) reading.abort();
    reading = request;
    quiet = asked.quiet;
    cancelled = false;
    if (!asked.quiet) begin(request, asked);
    return send(address, Object.assign({}, options, { signal: request.signal })).then(
      (answer) => { end(request); return answer; },
      (error) => {
        end(request);
        if (!request.signal.aborted) throw error;
        return new Response(null, { status: 204 }); // for Dash: nothing changes
      },
    );
  };
  return {
    // Whether a page is on its way that the reader knows of. A refresh without an answer is a web role that is gone.
    reading: () => reading !== null && !quiet,
    cancelled: () => cancelled,
  };
})();
