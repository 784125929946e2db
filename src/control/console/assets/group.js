// One target group: what goes through it, its attributes as they are in force, and its targets.

import { at, get, write } from "./api.js";
import { lineChart } from "./charts.js";
import { badge, card, h, sentences, tile } from "./dom.js";
import { SECTIONS, fieldsOf, otherKeys, read } from "./fields.js";
import { clock, count, latency, rate, setting } from "./format.js";
import { protocolBadge, stickinessBadge, summary } from "./groups.js";
import { matches } from "./match.js";
import { story } from "./overview.js";
import { link } from "./router.js";
import { state } from "./state.js";
import { targetsCard } from "./targets.js";
import { askAndWrite, keepChoice, undoButton } from "./ui.js";

async function load({ group }) {
  const { data, etag } = await get(at("groups", group));
  return { group: data, etag };
}

function view({ group, etag }) {
  const latencyNow = group.latency_us ?? {};
  return [
    h("nav", { class: "crumbs", "aria-label": "Where you are" }, h("a", { class: "crumb", href: "#/groups" }, "Target groups")),
    h("div", { class: "head" }, h("h1", { tabindex: -1 }, group.name), summary(group), stickinessBadge(group), protocolBadge(group)),
    saved(group),
    state.status.demo && (!group.stickiness.enabled || state.saved.has(group.name)) ? story(state.status, [group]) : null,
    h("dl", { class: "tiles" },
      tile("Requests", rate(group.requests_per_second), "/s"),
      tile("Errors", rate(group.errors_per_second), "/s"),
      tile("Latency p50", latency(latencyNow.p50)),
      tile("Latency p99", latency(latencyNow.p99)),
      tile("In flight", count(group.in_flight), group.waiting ? `and ${group.waiting} waiting` : null),
      tile("Upgrades", count(group.tunnels), "open"),
      tile("Sessions", group.sessions === null ? "–" : count(group.sessions), group.sessions === null ? "not sticky" : "estimated")),
    attributesCard(group, etag),
    targetsCard(group, etag),
    h("div", { class: "split" },
      h("div", { class: "card" }, h("div", { class: "body" }, lineChart("Requests per second", [{ name: "requests", values: group.requests_history }], rate, state.redraw))),
      verdicts(group)),
  ];
}

/** "In force since …" below the title, until another page is looked at for long enough to forget it. */
function saved(group) {
  const last = state.saved.get(group.name);
  if (!last) return null;
  const undone = () => {
    state.saved.delete(group.name);
    state.refresh();
  };
  return h("div", { class: "notice good", id: "saved", role: "status", "data-key": "saved" },
    h("div", { class: "grow" }, h("strong", {}, `In force since ${clock(last.at)}. `), sentences([...last.summary, ...(last.notes ?? [])])),
    undoButton(last.change, undone),
    h("button", { class: "little", type: "button", onclick: undone }, "Dismiss"));
}

function attributesCard(group, etag) {
  const { attributes } = group;
  const others = otherKeys(attributes);
  const edit = h("a", { class: "button first", id: "edit", href: link("groups", group.name, "edit") }, "Edit");
  return card("Attributes", { end: edit },
    SECTIONS.map((section) => attributesSection(section, group, etag)),
    others.length ? folded("Others", others.map((key) => pair(key, setting(read(attributes, key))))) : null);
}

function pair(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

function folded(title, pairs) {
  return h("div", { class: "section", "data-key": title }, h("details", {}, h("summary", {}, title), h("dl", { class: "attributes" }, pairs)));
}

function attributesSection(section, group, etag) {
  const of = (key) => read(group.attributes, key);
  const pairsOf = (fields) => fieldsOf({ fields }).filter((field) => !field.when || field.when(of))
    .map((field) => pair(field.label, shown(field, of(field.key), group)));
  const pairs = pairsOf(section.fields);
  if (section.folded) return folded(section.title, pairs);
  return h("div", { class: "section", "data-key": section.title, id: section.sticky ? "stickiness" : null },
    h("div", { class: "row" }, h("h3", {}, section.title), section.sticky ? flush(group, etag) : null),
    section.sticky ? matches(group) : null,
    h("dl", { class: "attributes" }, pairs),
    section.more ? h("details", {}, h("summary", {}, section.more.title),
      h("dl", { class: "attributes" }, pairsOf(section.more.fields))) : null);
}

function shown({ key, kind, options, zero }, value, group) {
  if (kind === "flag") return badge(setting(value), value ? "good" : "");
  // The name that is in force even where the file names none.
  if (key === "stickiness.cookie_name") return h("code", {}, group.stickiness.cookie_name);
  if (key === "stickiness.app_header") return h("code", {}, value);
  if (key === "stickiness.on_lost") return value === "balance" ? "balance: another target" : `${value}: the client begins anew`;
  if (zero && /^0[a-z]*$/.test(String(value))) return zero;
  const named = options?.find(([name]) => name === value);
  if (named) return named[1];
  return setting(value);
}

function flush(group, etag) {
  if (!group.stickiness.enabled) return null;
  const onclick = () => askAndWrite({
    title: `Flush the stickiness of ${group.name}?`, confirm: "Flush", danger: true,
    content: [h("p", {}, flushed(group.stickiness)), keepChoice()],
    run: (form) => write("POST", at("groups", group.name, "stickiness", "flush"), { keep: form.elements.keep.value }, etag),
  });
  return h("button", { type: "button", class: "little", onclick }, "Flush …");
}

/** What a flush does to users. */
function flushed({ type, on_lost: onLost }) {
  if (type !== "app_header") return "Every cookie sealed until now is outdated: each user is balanced anew at the next request, and may lose a session kept on a target.";
  const then = onLost === "balance" ? "balanced anew at its next request, and may be lost" : `answered ${onLost} at its next request`;
  return `Every session id sealed until now is outdated: each session is ${then}.`;
}

/** What became of requests, by the reason that the log and the metrics have for it. */
const VERDICTS = {
  new: "new: no session yet", valid: "valid: kept", draining: "draining: kept until the drain ends", expired_idle: "expired_idle: balanced anew",
  expired_age: "expired_age: balanced anew", invalid: "invalid: not one of ours",
  unknown_key: "unknown_key: sealed with a key that is not here", flushed: "flushed: balanced anew", unhealthy: "unhealthy: moved",
  removed: "removed: moved", full: "full: the target was at its limit",
};

function verdicts(group) {
  const entries = Object.entries(group.sticky).filter(([, number]) => number);
  return card("Sticky verdicts", {}, h("div", { class: "body" },
    entries.length ? h("dl", { class: "attributes" }, entries.map(([name, number]) => pair(VERDICTS[name] ?? name.replaceAll("_", " "), count(number))))
      : h("p", { class: "soft" }, group.stickiness.enabled ? "No request has come yet." : "The group is not sticky.")));
}

export const group = { title: ({ group: name }) => name, load, view };
