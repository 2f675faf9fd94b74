// On the calendar of On call, a drag over a schedule's row opens the form of an override with these hours.
window.dash_clientside.watchkeeper.turn = function (selected) {
  const range = selected && selected.range;
  if (!range || !range.x || !range.y) return window.dash_clientside.no_update;
  // Rows are counted from the top; times are the reader's wall clock, as the axis shows them.
  const row = Math.round((range.y[0] + range.y[1]) / 2);
  return { row: row, from: String(range.x[0]), until: String(range.x[1]), at: Date.now() };
};
