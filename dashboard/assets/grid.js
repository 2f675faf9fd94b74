// Cells of the services grid.
var dagcomponentfuncs = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});

dagcomponentfuncs.ServiceCell = function (props) {
  return React.createElement("a", { href: props.data.href, "data-go": "", className: "grid-link" }, props.value);
};
dagcomponentfuncs.StateCell = function (props) {
  const state = props.data.state;
  return React.createElement("span", { className: "pill " + state }, props.data.mark + " " + state);
};
dagcomponentfuncs.SparkCell = function (props) {
  const field = props.colDef.field;
  return React.createElement(
    "span",
    { className: "cell" },
    props.data[field + "Line"] ? React.createElement("img", { src: props.data[field + "Line"], alt: "", className: "spark small" }) : null,
    React.createElement("span", { className: "number" }, props.data[field + "Text"])
  );
};
