// What happened lately, newest first.

import { get } from "./api.js";
import { badge, card, h, table } from "./dom.js";
import { moment, plural } from "./format.js";
import { link } from "./router.js";
import { state } from "./state.js";

const KINDS = ["health", "ejection", "drain", "reload", "edit", "warning", "start"];
const KEPT_MAX = 1000;
const SHOWN_MAX = 200;

const hidden = new Set();
let kept = [];
let process = null;

async function load() {
  // Numbers begin anew with each process.
  const started = state.status?.started_unix_ms ?? null;
  if (started !== process) kept = [];
  process = started;
  const after = kept.at(-1)?.number ?? 0;
  const { data } = await get(`/v1/events?after=${after}&count=${after ? 200 : KEPT_MAX}`);
  // Two loads may overlap; no event is shown twice.
  const last = kept.at(-1)?.number ?? 0;
  kept = [...kept, ...data.events.filter((event) => event.number > last)].slice(-KEPT_MAX);
  return kept;
}

/** The word before an event that is news, so that colour is never the only sign. */
const NEWS = { bad: "failing", good: "recovered" };

function where({ group, target }) {
  if (!group) return "–";
  return h("span", {}, h("a", { href: link("groups", group) }, group), target ? ` ${target}` : "");
}

function view(all) {
  const toggle = (kind) => (event) => {
    if (event.target.checked) hidden.delete(kind);
    else hidden.add(kind);
    state.redraw();
  };
  const found = all.filter((event) => !hidden.has(event.kind)).reverse();
  const boxes = KINDS.map((kind) => h("label", { class: "choice" },
    h("input", { type: "checkbox", name: kind, checked: !hidden.has(kind), onchange: toggle(kind) }),
    `${kind} (${all.filter((event) => event.kind === kind).length})`));
  return [
    h("div", { class: "head" }, h("h1", { tabindex: -1 }, "Events"), h("span", { class: "soft" }, plural(found.length, "event"))),
    card("Events by kind", { id: "kinds", label: "Kinds that are shown" },
      h("fieldset", { class: "body" }, h("legend", { class: "hidden" }, "Kinds that are shown"), h("div", { class: "row" }, boxes)),
      table("Events, newest first", [{ name: "Time" }, { name: "Kind" }, { name: "Where" }, { name: "What", whole: true, class: "fill" }],
        found.slice(0, SHOWN_MAX).map((event) => ({
          key: event.number,
          cells: [h("span", { class: "small when" }, moment(event.unix_ms)), badge(NEWS[event.tone] ? `${event.kind}: ${NEWS[event.tone]}` : event.kind, event.tone), where(event), event.text],
        })), "Nothing of these kinds has happened.")),
  ];
}

export const events = { title: () => "Events", load, view };
