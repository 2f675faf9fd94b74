// What the page does by itself, without the server: refresh, keys, sharing, and the warning when it is cut off.
window.dash_clientside = window.dash_clientside || {};
window.dash_clientside.watchkeeper = (function () {
  const skip = () => window.dash_clientside.no_update;

  // A plot's time is the reader's wall clock: "2026-11-30 20:10:03.5", without what is zero at its end.
  const seconds = (at) => { const text = String(at).replace(" ", "T"); return new Date(text.length > 10 ? text : text + "T00:00").getTime() / 1000; };
  const stamp = (at) => new Date(at * 1000).toISOString().slice(0, 19) + "Z";
  // The query with another time range.
  const ranged = (search, from, to) => {
    const query = new URLSearchParams(search || "");
    query.delete("range");
    query.set("from", stamp(from)); query.set("to", stamp(to));
    return query;
  };
  const zooms = []; // the path, and the query before and after each zoom
  let zoomed = null; // what was dragged last: a page that comes again brings it along

  // ---- called by Dash -------------------------------------------------------------------------------
  const page = {
    // A hidden tab asks for nothing; it catches up when it is shown again. Nor does one that waits for an answer: Dash
    // would drop that answer for the next one, and a page that takes longer than a tick would never be shown.
    // Nor does one in which somebody is marking a query to copy it, or has cancelled what took too long.
    tick: (n) => (document.hidden || marking() || window.watchkeeperWaiting.cancelled() || document.querySelector("#live[data-dash-is-loading], #range[data-dash-is-loading]") ? skip() : n),
    // Answers to a question that is no longer asked (the reader went elsewhere, perhaps with this press) are dropped.
    refresh: (fresh) => {
      if (fresh) window.watchkeeperPress.whenFree(function () {
        if (fresh.at === window.location.pathname + window.location.search) window.watchkeeperRefresh.show("live", fresh.tree);
      });
      return skip();
    },
    viewer: (clicks) => (clicks ? window.watchkeeper.next() : window.watchkeeper.viewer()),
    scheme: (viewer) => (viewer ? viewer.scheme : skip()),
    schemeWords: (viewer) => {
      if (!viewer) return [skip(), skip()];
      return ["glyph glyph-" + viewer.choice, "Theme: " + viewer.choice + ". Press for the next one"];
    },
    range: (value, search) => {
      const query = new URLSearchParams(search || "");
      if (!value || value === "fixed" || (!query.has("from") && (query.get("range") || "30m") === value)) return skip();
      query.delete("from"); query.delete("to");
      if (value === "30m") query.delete("range"); else query.set("range", value);
      const text = query.toString();
      return text ? "?" + text : "";
    },
    search: (value) => {
      if (!value) return [skip(), skip(), skip()];
      const to = new URL(value, window.location.origin);
      const input = document.getElementById("search");
      if (input) input.blur();
      return [to.pathname, to.search, null];
    },
    title: (pulse) => {
      if (!pulse) return [skip(), skip()];
      document.title = (pulse.open ? "(" + pulse.open + ") " : "") + pulse.title + " · Watchkeeper";
      document.querySelectorAll("[data-nav]").forEach((link) => {
        const here = link.getAttribute("data-nav") === pulse.nav;
        const anchor = link.querySelector("a");
        link.classList.toggle("here", here);
        if (!anchor) return;
        if (here) anchor.setAttribute("aria-current", "page"); else anchor.removeAttribute("aria-current");
      });
      received = Date.now();
      const count = pulse.open ? String(pulse.open) : "";
      return [count, count];
    },
    opened: (clicks) => (clicks ? true : skip()),
    closed: (clicks) => (clicks ? false : skip()),
    // A point of a plot that carries its Unix second becomes the choice `at`; other plots' points do nothing.
    point: (clicks, search) => {
      const triggered = window.dash_clientside.callback_context.triggered.map((one) => one.value).filter(Boolean);
      const point = triggered.length === 1 && triggered[0].points && triggered[0].points[0];
      if (!point || typeof point.customdata !== "number") return skip();
      const query = new URLSearchParams(search || "");
      if (query.get("at") === String(point.customdata)) return skip();
      query.set("at", String(point.customdata));
      return "?" + query.toString();
    },
    row: (data, search) => {
      if (!data || !data.id) return skip();
      const query = new URLSearchParams(search || "");
      if (query.get("service") === data.id) query.delete("service"); else query.set("service", data.id);
      return "?" + query.toString();
    },
    // A range dragged over a plot's time becomes the page's time range: every plot follows, and Back undoes it.
    zoom: (_, search) => {
      const dragged = window.dash_clientside.callback_context.triggered.map((one) => one.value).find((one) => one && one["xaxis.range[0]"]);
      if (!dragged || dragged === zoomed) return skip();
      zoomed = dragged;
      const times = [dragged["xaxis.range[0]"], dragged["xaxis.range[1]"]].map(seconds).sort((a, b) => a - b);
      if (!times.every(Number.isFinite)) return skip();
      const from = Math.floor(times[0] / 5) * 5;
      const after = "?" + ranged(search, from, Math.max(from + 10, Math.ceil(times[1] / 5) * 5)).toString();
      zooms.push([window.location.pathname, search || "", after]);
      return after;
    },
    // A box drawn over the map of durations: its times as the reader's wall clock, its durations as powers of ten.
    durations: (selected, search) => {
      if (!selected || !selected.range || !selected.range.x || !selected.range.y) return skip();
      const times = selected.range.x.map(seconds).sort((a, b) => a - b);
      const powers = [...selected.range.y].sort((a, b) => a - b);
      if (![...times, ...powers].every(Number.isFinite)) return skip();
      const from = Math.floor(times[0]);
      const query = ranged(search, from, Math.max(from + 1, Math.ceil(times[1])));
      query.set("min", Number(Math.pow(10, powers[0]).toPrecision(3)) + "ms");
      query.set("max", Number(Math.pow(10, powers[1]).toPrecision(3)) + "ms");
      return "?" + query.toString();
    },
    share: (clicks, pulse) => {
      if (!clicks || !pulse) return skip();
      const address = window.location.origin + pulse.share;
      const notice = (words) => [{ action: "show", title: words, message: address, color: "harbor", autoClose: 6000 }];
      if (navigator.clipboard && window.isSecureContext) {
        return navigator.clipboard.writeText(address).then(() => notice("Link copied"), () => notice("Copy this link"));
      }
      return notice("Copy this link");
    },
  };

  // ---- cut off? --------------------------------------------------------------------------------------
  let received = Date.now();
  setInterval(function () {
    const banner = document.getElementById("cut-off");
    if (!banner) return;
    const seconds = Math.round((Date.now() - received) / 1000);
    // A page that takes long is announced as that, and one that was cancelled is old because its reader wants it so.
    const cut = !document.hidden && seconds > 20 && !window.watchkeeperWaiting.reading() && !window.watchkeeperWaiting.cancelled();
    banner.hidden = !cut;
    if (cut) banner.textContent = "No response from Watchkeeper's web role for " + seconds + " s. This page is that old. Retrying.";
  }, 1000);
  document.addEventListener("visibilitychange", function () {
    if (document.hidden) return;
    received = Date.now();
    window.dash_clientside.set_props("tick", { data: Date.now() });
  });

  // ---- keys ------------------------------------------------------------------------------------------
  function rows() { return Array.from(document.querySelectorAll("[data-row]")).filter((row) => row.offsetParent); }
  function move(step) {
    const all = rows();
    if (!all.length) return;
    const at = all.indexOf(document.activeElement);
    const to = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + step))];
    to.focus();
    to.scrollIntoView({ block: "nearest" });
  }
  function go(path) {
    window.history.pushState({}, "", path);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
  }
  // Links drawn by other libraries stay inside the page, as Dash's own do.
  document.addEventListener("click", function (event) {
    const link = event.target.closest && event.target.closest("a[data-go]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go(link.getAttribute("href"));
  });
  // ---- plots: a double click returns from a zoom, and what the menu does without a request ---------------------
  const marking = () => { const marked = window.getSelection(); return !!marked && !marked.isCollapsed && !!(marked.anchorNode.parentElement || marked.anchorNode).closest(".chart-menu"); };
  // Plotly covers the page while a button is down, so no `dblclick` comes: only clicks that count.
  document.addEventListener("click", function (event) {
    if (event.detail !== 2 || !event.target.closest || !event.target.closest(".js-plotly-plot .draglayer")) return;
    const here = window.location;
    const last = zooms.pop();
    const query = new URLSearchParams(here.search);
    if (last && last[0] === here.pathname && last[2] === here.search) { go(here.pathname + last[1]); return; }
    zooms.length = 0; // Back was pressed, or another page was opened: the page's time is the present again
    if (!query.has("from")) return;
    query.delete("from"); query.delete("to");
    const text = query.toString();
    go(here.pathname + (text ? "?" + text : ""));
  });
  function picture(name) {
    const drawn = document.getElementById(JSON.stringify({ plot: name })).querySelector(".js-plotly-plot");
    const surface = getComputedStyle(document.documentElement).getPropertyValue("--surface").trim();
    const file = ("watchkeeper" + window.location.pathname + "-" + name).replace(/[^A-Za-z0-9]+/g, "-") + "-" + new Date().toISOString().slice(0, 19).replace(/[-:]/g, "") + "Z";
    const figure = { data: drawn.data, layout: Object.assign({}, drawn.layout, { paper_bgcolor: surface, plot_bgcolor: surface }) };
    window.Plotly.downloadImage(figure, { format: "png", filename: file, width: drawn.clientWidth, height: drawn.clientHeight, scale: 2 });
  }
  const openMenus = () => Array.from(document.querySelectorAll(".chart-menu[open]"));
  document.addEventListener("click", function (event) {
    const button = event.target.closest && event.target.closest("[data-picture]");
    if (button) picture(button.getAttribute("data-picture"));
    openMenus().filter((menu) => !menu.contains(event.target)).forEach((menu) => { menu.open = false; });
  });
  // Enter takes the marked answer of the search. Mantine forgets which it marked when a refresh brings new answers.
  // What nothing is named like, or what ends as a question does, is asked.
  document.addEventListener("keydown", function (event) {
    if (event.key !== "Enter" || event.isComposing || event.target.id !== "search") return;
    const list = document.getElementById(event.target.getAttribute("aria-controls"));
    const answer = list && (list.querySelector("[data-combobox-selected]") || list.querySelector("[role=option]"));
    const words = event.target.value.trim();
    const asks = words.endsWith("?") || (!answer && words);
    if (!answer && !asks) return;
    event.preventDefault();
    event.stopPropagation();
    if (!asks) { answer.click(); return; }
    event.target.blur();
    window.dash_clientside.set_props("search", { searchValue: "" });
    go("/ask?q=" + encodeURIComponent(words));
  }, true);

  // ---- the navigation on a narrow screen ---------------------------------------------------------------
  function menu(open) {
    document.documentElement.classList.toggle("menu-open", open);
    document.querySelectorAll("[data-menu]").forEach((button) => button.setAttribute("aria-expanded", String(open)));
    const first = open && document.querySelector("#navigation a");
    if (first) first.focus();
  }
  const menuIsOpen = () => document.documentElement.classList.contains("menu-open");
  document.addEventListener("click", function (event) {
    const button = event.target.closest && event.target.closest("[data-menu]");
    if (button) menu(!menuIsOpen());
    else if (menuIsOpen()) menu(false); // a link that was pressed, or the page beside it
  });
  let before = "";
  document.addEventListener("keydown", function (event) {
    const target = event.target;
    const typing = target.closest && target.closest("input, textarea, select, [contenteditable=true]");
    if (event.key === "Escape") {
      const opened = openMenus();
      if (opened.length) { opened.forEach((menu) => { menu.open = false; }); opened[0].querySelector("summary").focus(); }
      else if (menuIsOpen()) { menu(false); document.querySelector("[data-menu]").focus(); }
      else if (typing) target.blur();
      else if (!document.querySelector("[role=dialog]")) {
        const query = new URLSearchParams(window.location.search);
        if (query.has("service")) { query.delete("service"); const text = query.toString(); go(window.location.pathname + (text ? "?" + text : "")); }
        else if (document.activeElement) document.activeElement.blur();
      }
      return;
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("[role=dialog]")) return;
    const place = /^[a-z]$/.test(event.key) && document.querySelector('[data-key="' + event.key + '"]');
    if (before === "g" && place) { before = ""; go(place.getAttribute("data-nav")); event.preventDefault(); return; }
    before = event.key;
    if (event.key === "/") {
      const search = document.getElementById("search");
      if (search) { search.focus(); event.preventDefault(); }
    } else if (event.key === "?") {
      window.dash_clientside.set_props("help", { opened: true });
    } else if (event.key === "j" || event.key === "k") {
      move(event.key === "j" ? 1 : -1);
      event.preventDefault();
    } else if (event.key === "Enter" && target.hasAttribute && target.hasAttribute("data-row")) {
      const link = target.querySelector("a[href]");
      if (link) { link.click(); event.preventDefault(); }
    }
  });
  return page;
})();
