// Builds elements and brings what is shown up to date without losing focus, input or scroll.
// Text is always text: nothing here reads markup from data.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "polyline", "polygon", "line", "title"]);

/** h("button", {class: "first", onclick}, "Save"): `on…` are handlers, true is an empty attribute, null is none. */
export function h(tag, properties = {}, ...children) {
  const node = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  node.handlers = {};
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) {
      node[name] = value;
      node.handlers[name] = value;
    } else if (name === "value" || name === "checked" || name === "selected") {
      node[name] = value;
      if (name !== "value") node.toggleAttribute(name, value);
      else node.setAttribute("value", value);
    } else {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Makes `old` look like `fresh`. An element with data-hold stays as it is while its mark stays. */
export function morph(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.dataset.hold && old.dataset.hold === fresh.dataset.hold) return;
  morphAttributes(old, fresh);
  for (const name of Object.keys(old.handlers ?? {})) if (!fresh.handlers?.[name]) old[name] = null;
  for (const [name, handler] of Object.entries(fresh.handlers ?? {})) old[name] = handler;
  old.handlers = fresh.handlers;
  morphChildren(old, fresh);
}

function morphAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    // What the reader unfolded stays unfolded.
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of [...fresh.attributes]) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

function alike(old, fresh) {
  return old.nodeName === fresh.nodeName && old.dataset?.key === fresh.dataset?.key && old.id === fresh.id;
}

function morphChildren(old, fresh) {
  let at = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    let same = at;
    // A few steps ahead: rows come and go, they seldom change places.
    while (same && !alike(same, child)) same = same.nextSibling;
    if (!same) {
      old.insertBefore(child, at);
      continue;
    }
    while (at !== same) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
    morph(same, child);
    at = same.nextSibling;
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

/** A table with a caption; `columns` are {name, number, whole, class}, rows are {key, cells, sub}; `whole` takes a line of its own when narrow. */
export function table(caption, columns, rows, empty = "Nothing here.") {
  const cell = (content, index) => {
    const column = columns[index];
    const classes = [column.number && "number", column.whole && "whole", column.class].filter(Boolean).join(" ");
    const label = { "data-label": column.name, class: classes || null };
    return index === 0
      ? h("th", { scope: "row", role: "rowheader", class: classes || null }, content)
      : h("td", { role: "cell", ...label }, content);
  };
  const row = ({ key, cells, sub }) => [
    h("tr", { role: "row", "data-key": key }, cells.map(cell)),
    sub ? h("tr", { role: "row", class: "sub", "data-key": `${key} more` }, h("td", { role: "cell", colspan: columns.length, class: "whole" }, sub)) : null,
  ];
  const none = h("tr", { role: "row", "data-key": "none" }, h("td", { role: "cell", colspan: columns.length, class: "whole soft" }, empty));
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", { class: "stack", role: "table" },
      h("caption", {}, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map((column) =>
        h("th", { scope: "col", role: "columnheader", class: column.number ? "number" : null }, column.name)))),
      h("tbody", { role: "rowgroup" }, rows.length ? rows.map(row) : none)));
}

export function badge(text, tone = "") {
  return h("span", { class: `badge ${tone}` }, text);
}

export function card(title, { end, id, label, notes } = {}, ...body) {
  const heading = id ?? `card-${title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}`;
  return h("section", { class: "card", "aria-labelledby": heading, "data-key": heading },
    h("header", {}, h("h2", { id: heading }, label ?? title), notes ?? null, end ? h("div", { class: "end row" }, end) : null),
    body);
}

export function tile(name, value, small) {
  return h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, value, small ? h("small", {}, ` ${small}`) : null));
}

export function notice(tone, content, ...actions) {
  return h("div", { class: `notice ${tone}` }, h("div", { class: "grow" }, content), actions);
}

/** A list of sentences, or the one sentence. */
export function sentences(list) {
  return list.length === 1 ? h("span", {}, list[0]) : h("ul", {}, list.map((text) => h("li", {}, text)));
}

/** An input with its label, hint and room for what is wrong with it. */
export function field({ id, label, hint, wide, input }) {
  const hintId = `${id}-hint`;
  input.id = id;
  input.setAttribute("aria-describedby", `${hintId} ${id}-wrong`);
  return h("div", { class: wide ? "field wide" : "field" },
    h("label", { for: id }, label), input,
    h("span", { class: "hint", id: hintId }, hint ?? ""),
    h("span", { class: "wrong", id: `${id}-wrong` }));
}

/** Radio buttons; `options` are [value, label, hint]. */
export function radios(legend, name, options, chosen) {
  return h("fieldset", {}, h("legend", {}, legend), options.map(([value, label, hint, disabled]) =>
    h("label", { class: "choice" },
      h("input", { type: "radio", name, value, checked: value === chosen, disabled }),
      h("span", {}, label, hint ? h("small", { class: "hint soft" }, hint) : null))));
}

export function select(options, chosen, properties = {}) {
  return h("select", properties, options.map(([value, label]) => h("option", { value, selected: value === chosen }, label)));
}
