// A refresh changes what has changed. Dash would build everything below an output anew: a reader would lose the
// focus, the zoom of a plot or the map, and what a scroller shows. So a refresh arrives as data, is compared with
// what is on the page, and only properties that differ are set. Where the shape differs, the nearest part is replaced.
window.watchkeeperRefresh = (function () {
  const api = () => window.dash_component_api;
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const isComponent = (node) => node !== null && typeof node === "object" && "type" in node && "props" in node;
  // Set by the browser's side or by a reader: never compared with what the server drew.
  const OWN = new Set(["children", "n_clicks", "n_clicks_timestamp"]);
  const FIELDS = new Set(["Input", "Textarea"]); // what stands in one is the reader's

  function findPath(node, id, path) {
    if (!isComponent(node)) return null;
    if (node.props.id === id) return path;
    const children = node.props.children;
    if (Array.isArray(children)) {
      for (let i = 0; i < children.length; i++) {
        const found = findPath(children[i], id, [...path, "props", "children", i]);
        if (found) return found;
      }
      return null;
    }
    return findPath(children, id, [...path, "props", "children"]);
  }

  // Collects [path, props] for what differs; false where the two are not the same component.
  function compare(before, after, path, changes) {
    if (before.type !== after.type || before.namespace !== after.namespace || !same(before.props.id, after.props.id)) return false;
    const props = {};
    for (const name of Object.keys(after.props)) {
      if (!OWN.has(name) && !(name === "value" && FIELDS.has(after.type)) && !same(before.props[name], after.props[name])) props[name] = after.props[name];
    }
    for (const name of ["className", "title", "style"]) {
      if (name in before.props && !(name in after.props)) props[name] = name === "style" ? {} : "";
    }
    const inner = [];
    if (!compareChildren(before.props.children, after.props.children, [...path, "props", "children"], inner)) {
      props.children = after.props.children === undefined ? null : after.props.children;
    } else {
      changes.push(...inner);
    }
    if (Object.keys(props).length) changes.push([path, props]);
    return true;
  }

  function compareChildren(before, after, path, changes) {
    if (Array.isArray(before) && Array.isArray(after)) {
      if (before.length !== after.length) return false;
      return after.every((child, i) => compareOne(before[i], child, [...path, i], changes));
    }
    return compareOne(before, after, path, changes);
  }

  function compareOne(before, after, path, changes) {
    if (isComponent(before) && isComponent(after)) return compare(before, after, path, changes);
    return same(before === undefined ? null : before, after === undefined ? null : after);
  }

  // Show `tree` as the children of the component `id`.
  function show(id, tree) {
    const path = findPath(api().getLayout(["components"]), id, ["components"]);
    if (!path) return;
    const before = api().getLayout(path).props.children;
    const changes = [];
    if (compareChildren(before, tree, [...path, "props", "children"], changes)) {
      for (const [where, props] of changes) window.dash_clientside.set_props(where, props);
    } else {
      window.dash_clientside.set_props(path, { children: tree });
    }
  }
  return { show: show };
})();
