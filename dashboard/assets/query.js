// A form with data-query writes its fields into the address: an empty field takes its choice out.
document.addEventListener("submit", function (event) {
  const form = event.target.closest && event.target.closest("form[data-query]");
  if (!form) return;
  event.preventDefault();
  const query = new URLSearchParams(window.location.search);
  for (const field of form.querySelectorAll("input[name]")) {
    const value = field.value.trim();
    if (value) query.set(field.name, value); else query.delete(field.name);
  }
  const text = query.toString();
  window.history.pushState({}, "", form.getAttribute("data-query") + (text ? "?" + text : ""));
  window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
});
