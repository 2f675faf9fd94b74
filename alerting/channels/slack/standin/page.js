"use strict";
const mark = '<svg width="36" height="36" viewBox="0 0 36 36" aria-hidden="true"><path d="M6 18c4-7 20-7 24 0-4 7-20 7-24 0Z" fill="none" stroke="#9fd4ff" stroke-width="2"/><circle cx="18" cy="18" r="4" fill="#9fd4ff"/></svg>';
// Drawn, not written: not every machine has a font with colour emoji.
const emoji = { red_circle: '<i class="dot red" title="page"></i>', large_yellow_circle: '<i class="dot yellow" title="ticket"></i>', white_check_mark: '<i class="dot green" title="done"></i>' };
let people = {}, seen = "", lastWhisper = (Date.now() / 1000).toFixed(6);
const $ = id => document.getElementById(id);
const escape = text => text.replace(/[&<>"]/g, c => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const entities = text => text.replace(/&(?!amp;|lt;|gt;)/g, "&amp;").replace(/"/g, "&quot;");
const clock = seconds => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = seconds => new Date(seconds * 1000).toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" });

function mrkdwn(text) {
  const kept = [];
  const keep = html => { kept.push(html); return `\u0000${kept.length - 1}\u0000`; };
  return entities(text)
    .replace(/<@(\w+)>/g, (_, id) => keep(`<span class="mention">@${escape(people[id]?.real_name ?? id)}</span>`))
    .replace(/<!date\^(\d+)\^([^|]*)\|([^>]*)>/g, (_, s, form, alt) => keep(`<time title="${alt}">${form.includes("{date") ? `${day(+s)}, ` : ""}${clock(+s)}</time>`))
    .replace(/<(https?:[^|>]+)\|([^>]+)>/g, (_, url, name) => keep(`<a href="${url}" target="_blank" rel="noopener">${name}</a>`))
    .replace(/</g, "&lt;").replace(/>/g, "&gt;")
    .replace(/:(\w+):/g, (all, name) => emoji[name] ?? all)
    .replace(/(^|[\s(])\*([^*\n]+)\*/g, "$1<b>$2</b>").replace(/(^|[\s(·])_([^_\n]+)_/g, "$1<i>$2</i>").replace(/`([^`\n]+)`/g, "<code>$1</code>")
    .replace(/\u0000(\d+)\u0000/g, (_, n) => kept[+n]);
}
const text = t => t.type === "mrkdwn" ? mrkdwn(t.text) : escape(t.text);

function block(b, message) {
  if (b.type === "header") return `<h2>${text(b.text)}</h2>`;
  if (b.type === "section") return (b.text ? `<p>${text(b.text)}</p>` : "") +
    (b.fields ? `<div class="fields">${b.fields.map(f => `<div>${text(f)}</div>`).join("")}</div>` : "");
  if (b.type === "context") return `<p class="context">${b.elements.map(text).join(" ")}</p>`;
  if (b.type === "actions") return `<div class="actions">${b.elements.map(e => e.type === "button"
    ? `<button class="${e.style ?? ""}" data-ts="${message.ts}" data-action="${escape(e.action_id)}"${e.confirm ? ` data-confirm="${escape(JSON.stringify(e.confirm))}"` : ""}>${text(e.text)}</button>`
    : (e.options ?? []).filter(o => o.url).map(o => `<a class="more" href="${escape(o.url)}" target="_blank" rel="noopener">${text(o.text)}</a>`).join("")).join("")}</div>`;
  return "";
}
const file = f => `<figure><img src="/files/${encodeURIComponent(f.id)}" alt="${escape(f.alt_txt)}"><figcaption>${escape(f.title)}</figcaption></figure>`;
const content = m => ((m.blocks ?? []).length ? m.blocks.map(b => block(b, m)).join("") : `<p>${mrkdwn(m.text)}</p>`) + (m.files ?? []).map(file).join("");
const post = m => `<article><div class="mark">${mark}</div><div class="body"><div class="who">Watchkeeper<span class="tag">APP</span><time>${clock(m.ts)}${m.edited ? " · edited" : ""}</time></div>${content(m)}
  ${m.replies.length ? `<details data-thread="${m.ts}"><summary>${m.replies.length} ${m.replies.length === 1 ? "reply" : "replies"}</summary>${m.replies.map(r => `<div class="reply"><div class="who"><time>${clock(r.ts)}</time></div>${content(r)}</div>`).join("")}</details>` : ""}</div></article>`;

async function refresh() {
  try {
    const state = await (await fetch(`/standin/messages?since=${lastWhisper}`)).json();
    people = Object.fromEntries(state.people.map(p => [p.id, p]));
    if (!$("me").options.length) {
      $("me").innerHTML = state.people.map(p => `<option value="${escape(p.id)}">${escape(p.real_name)}</option>`).join("");
    }
    for (const w of state.whispers) { lastWhisper = w.ts; if (w.user === $("me").value) notify(w.text); }
    const now = JSON.stringify(state.messages);
    if (now === seen) return;
    seen = now;
    $("channel").textContent = state.channel.name;
    $("count").textContent = `${state.messages.length} message${state.messages.length === 1 ? "" : "s"}`;
    const main = $("messages");
    const open = new Set([...main.querySelectorAll("details[open]")].map(d => d.dataset.thread));
    const atEnd = main.scrollHeight - main.scrollTop - main.clientHeight < 80;
    main.innerHTML = state.messages.map(post).join("") || '<p class="empty">Nothing yet. When Watchkeeper pages, the message appears here.</p>';
    main.querySelectorAll("details").forEach(d => { d.open = open.has(d.dataset.thread); });
    if (atEnd) main.scrollTop = main.scrollHeight;
  } catch { $("count").textContent = "the stand-in does not answer"; }
}
let quiet;
function notify(words) { $("whisper").textContent = words; clearTimeout(quiet); quiet = setTimeout(() => { $("whisper").textContent = ""; }, 8000); }
async function call(path, body) {
  const answer = await (await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).json();
  if (!answer.ok) notify(`That did not work: ${[answer.error, ...(answer.details ?? [])].join(", ")}`);
  return answer;
}
$("messages").addEventListener("click", async event => {
  const button = event.target.closest("button[data-action]");
  if (!button || (button.dataset.confirm && !await confirmed(JSON.parse(button.dataset.confirm)))) return;
  button.disabled = true;
  const answer = await call("/standin/press", { channel: "C0INCIDENTS", ts: button.dataset.ts, action_id: button.dataset.action, user: $("me").value });
  button.disabled = false;
  if (answer.view) show(answer.view);
  refresh();
});
$("command").addEventListener("submit", async event => {
  event.preventDefault();
  const answer = await call("/standin/command", { text: $("order").value, user: $("me").value });
  $("answer").innerHTML = answer.answer ? `<p>${mrkdwn(answer.answer)}</p>` : "";
  if (answer.view) show(answer.view);
  refresh();
});
// Slack's confirmation dialog: the press is sent only after it.
function confirmed(c) {
  $("modal").innerHTML = `<form method="dialog"><h2 id="modal-title">${text(c.title)}</h2><p>${text(c.text)}</p>
    <footer><button value="cancel">${text(c.deny)}</button><button class="${c.style ?? "primary"}" value="submit">${text(c.confirm)}</button></footer></form>`;
  $("modal").showModal();
  return new Promise(done => $("modal").addEventListener("close", () => done($("modal").returnValue === "submit"), { once: true }));
}
function show(view) {
  const local = s => new Date((s - new Date(s * 1000).getTimezoneOffset() * 60) * 1000).toISOString().slice(0, 16);
  const input = b => b.element.type === "datetimepicker"
    ? `<input type="datetime-local" id="f-${b.block_id}" name="${b.block_id}" data-seconds required value="${b.element.initial_date_time ? local(b.element.initial_date_time) : ""}">`
    : b.element.type === "static_select"
    ? `<select id="f-${b.block_id}" name="${b.block_id}"${b.optional ? "" : " required"}>${b.element.initial_option ? "" : '<option value="">Choose…</option>'}${b.element.options.map(o => `<option value="${escape(o.value)}"${o.value === b.element.initial_option?.value ? " selected" : ""}>${text(o.text)}</option>`).join("")}</select>`
    : `<textarea id="f-${b.block_id}" name="${b.block_id}" rows="3" maxlength="${b.element.max_length ?? 3000}"></textarea>`;
  $("modal").innerHTML = `<form method="dialog"><h2 id="modal-title">${text(view.title)}</h2>${view.blocks.map(b => b.type === "input"
    ? `<label for="f-${b.block_id}">${text(b.label)}${b.optional ? " <small>(optional)</small>" : ""}</label>${input(b)}` : block(b, view)).join("")}
    <footer><button value="cancel" formnovalidate>${text(view.close)}</button><button class="primary" value="submit">${text(view.submit)}</button></footer></form>`;
  $("modal").querySelector("form").addEventListener("submit", async event => {
    if (event.submitter?.value !== "submit") return;
    const values = Object.fromEntries(new FormData(event.target));
    // Slack gives times as seconds, and shows a form's errors where it stands.
    event.target.querySelectorAll("[data-seconds]").forEach(i => { values[i.name] = String(Math.floor(new Date(i.value).getTime() / 1000)); });
    const answer = await call("/standin/submit", { view_id: view.id, values, user: $("me").value });
    if (answer.errors) notify(Object.values(answer.errors).join(", "));
    refresh();
  });
  $("modal").showModal();
}
refresh();
setInterval(refresh, 1000);
