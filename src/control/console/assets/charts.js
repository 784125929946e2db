// Small charts in SVG: lines over the last two minutes and sparklines. Lines differ in colour and in dashes.

import { h } from "./dom.js";
import { span } from "./format.js";

const WIDTH = 240;
const HEIGHT = 100;
const POINTS = 120;

/** The next "round" number at or above a value: 1, 2 or 5 times a power of ten. */
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

function pieces(values, top) {
  const from = POINTS - values.length;
  const runs = [[]];
  values.forEach((value, index) => {
    if (value === null || value === undefined) {
      runs.push([]);
    } else {
      const x = ((from + index) / (POINTS - 1)) * WIDTH;
      runs.at(-1).push(`${x.toFixed(1)},${(HEIGHT - (Math.min(value, top) / top) * (HEIGHT - 4) - 2).toFixed(1)}`);
    }
  });
  return runs.filter((run) => run.length > 1);
}

// Which second of which chart the pointer is on.
const hovered = new Map();

function follow(title, redraw) {
  return {
    onpointermove: (event) => {
      const box = event.currentTarget.getBoundingClientRect();
      hovered.set(title, Math.round(((event.clientX - box.left) / box.width) * (POINTS - 1)));
      redraw();
    },
    onpointerleave: () => {
      hovered.delete(title);
      redraw();
    },
  };
}

/** `series` are {name, values}, oldest first, one a second; `format` turns a value into text. */
export function lineChart(title, series, format, redraw) {
  const lines = series.map((one) => ({ name: one.name, values: one.values.slice(-POINTS) }));
  const known = lines.flatMap((one) => one.values).filter((value) => value !== null && value !== undefined);
  const top = ceiling(Math.max(0, ...known));
  const at = hovered.get(title);
  // Half of the smallest top may read as the top does.
  const middle = format(top / 2) === format(top) ? "" : format(top / 2);
  const read = (values) => (at === undefined ? values.at(-1) : values[at - (POINTS - values.length)]);
  const summary = lines.map((one) => {
    const highest = Math.max(0, ...one.values.filter((value) => value !== null && value !== undefined));
    return `${one.name}: now ${format(one.values.at(-1))}, highest ${format(highest)}`;
  }).join("; ");
  const legend = lines.map((one, index) => h("span", {},
    h("svg", { viewBox: "0 0 24 8", "aria-hidden": "true" }, h("path", { class: `line s${index + 1}`, d: "M0 4h24" })),
    `${one.name} ${format(read(one.values))}`));
  return h("figure", { class: "chart" },
    h("figcaption", {}, h("h3", {}, title),
      h("span", { class: "small soft" }, at === undefined ? "now" : `${span(POINTS - 1 - at)} ago`),
      h("span", { class: "legend" }, legend)),
    h("div", { class: "plot" },
      h("div", { class: "axis", "aria-hidden": "true" }, h("span", {}, format(top)), h("span", {}, middle), h("span", {}, format(0))),
      h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}, last two minutes. ${summary}`, ...follow(title, redraw) },
        [2, 50, 98].map((y) => h("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y })),
        at === undefined ? null : h("line", { class: "hover", x1: (at / (POINTS - 1)) * WIDTH, x2: (at / (POINTS - 1)) * WIDTH, y1: 0, y2: HEIGHT }),
        lines.flatMap((one, index) => pieces(one.values, top).map((run) => h("polyline", { class: `line s${index + 1}`, points: run.join(" ") })))),
      h("div", { class: "time", "aria-hidden": "true" }, h("span", {}, "2m ago"), h("span", {}, "1m ago"), h("span", {}, "now"))));
}

/** A line without axes; `label` says in words what it shows. */
export function sparkline(values, label) {
  const shown = values.slice(-POINTS);
  const top = ceiling(Math.max(0, ...shown));
  return h("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    pieces(shown, top).map((run) => [
      h("polygon", { class: "area", points: `${run[0].split(",")[0]},${HEIGHT} ${run.join(" ")} ${run.at(-1).split(",")[0]},${HEIGHT}` }),
      h("polyline", { class: "line", points: run.join(" ") })]));
}
