// All target groups, each with its targets.

import { get } from "./api.js";
import { sparkline } from "./charts.js";
import { badge, card, h, notice, table } from "./dom.js";
import { count, latency, plural, rate } from "./format.js";
import { title } from "./match.js";
import { link } from "./router.js";
import { state } from "./state.js";
import { passive, standingBadge, standingBadges, standingOf } from "./ui.js";

/** Targets of one group that are shown at first: a page of thousands helps nobody. */
export const ROWS_MAX = 100;

let wanted = "";

async function load() {
  return (await get("/v1/groups")).data;
}

function view({ groups }) {
  const oninput = (event) => {
    wanted = event.target.value.trim().toLowerCase();
    state.redraw();
  };
  const found = groups.filter((group) => !wanted || group.name.toLowerCase().includes(wanted)
    || group.targets.some((target) => `${target.id} ${target.address} ${standingOf(target)}`.toLowerCase().includes(wanted)));
  return [
    h("div", { class: "head" }, h("h1", { tabindex: -1 }, "Target groups"), h("span", { class: "soft" }, plural(groups.length, "group")),
      h("label", { class: "end row" }, h("span", {}, "Find"), h("input", { type: "search", id: "find", oninput, placeholder: "name, address, health" }))),
    found.map(groupCard),
    found.length ? null : notice("", groups.length ? "No group and no target has this in its name, address or health." : "There is no target group."),
  ];
}

/** "1 ejected, 2 healthy" as badges. */
export function summary(group) {
  const counts = {};
  for (const target of group.targets) counts[standingOf(target)] = (counts[standingOf(target)] ?? 0) + 1;
  return standing(counts, group);
}

/** How the targets of a group stand, by the number in each state. */
export function standing(counts, { failing_open: failingOpen }) {
  return h("span", { class: "row" }, Object.keys(counts).length ? standingBadges(counts) : badge("no target", "bad"),
    failingOpen ? badge("failing open", "warn") : null);
}

/** On or off, of which type, and whether it fits the sessions. */
export function stickinessBadge(group) {
  const { enabled, type, app_header: name, duration, max_age: age } = group.stickiness;
  const by = type === "app_header" ? `${type} ${name}, ${age} at most` : `${type}, ${duration}`;
  return [badge(enabled ? `sticky by ${by}` : "not sticky", enabled ? "good" : ""),
    group.session_matches.length ? badge(title(group.session_matches[0]).toLowerCase(), "warn") : null];
}

/** How its targets are spoken to. */
export function protocolBadge({ attributes: { protocol, protocol_version: version } }) {
  const words = { http1: "HTTP/1.1", http2: "HTTP/2", grpc: "gRPC" };
  return badge(`${words[version] ?? version}${protocol === "https" ? " over TLS" : ""} to targets`);
}

function groupCard(group) {
  const columns = [{ name: "Target", class: "name" }, { name: "Health", whole: true, class: "what" }, { name: "Weight", number: true }, { name: "In flight", number: true },
    { name: "Sessions", number: true }, { name: "Requests/s", number: true }, { name: "Two minutes" }];
  const rows = group.targets.slice(0, ROWS_MAX).map((target) => ({ key: target.id, cells: targetCells(target) }));
  const more = group.targets.length - rows.length;
  return card(group.name, {
    id: `group-${group.name}`,
    label: h("a", { href: link("groups", group.name) }, group.name),
    notes: [summary(group), stickinessBadge(group), protocolBadge(group)],
    end: h("span", { class: "soft small" }, `${rate(group.requests_per_second)} requests/s · p99 ${latency(group.latency_us?.p99)} · `
      + `${count(group.in_flight)} in flight${group.sessions === null ? "" : ` · about ${plural(group.sessions, "session")}`} `,
      sparkline(group.requests_history, `Requests of ${group.name} in the last two minutes`)),
  }, table(`Targets of ${group.name}: ${group.algorithm.replaceAll("_", " ")}`, columns, rows, "This group has no targets."),
  more > 0 ? h("p", { class: "body soft" }, `${plural(more, "more target")}: `, h("a", { href: link("groups", group.name) }, "show the group")) : null);
}

function targetCells(target) {
  return [
    h("span", {}, target.id, target.id === target.address ? null : h("span", { class: "soft small" }, ` ${target.address}`)),
    h("span", {}, standingBadge(standingOf(target)), " ", h("span", { class: "small soft" }, target.reason), passive(target)),
    weight(target), count(target.in_flight), sessions(target), rate(target.requests_per_second),
    sparkline(target.requests_history, `Requests of ${target.id} in the last two minutes`),
  ];
}

export function weight(target) {
  const effective = Math.round(target.effective_weight * 100) / 100;
  return effective === target.weight ? String(target.weight) : `${target.weight} (now ${effective})`;
}

/** An estimate says how far it may be off. */
export function sessions({ sessions: number, sessions_error_percent: error }) {
  if (number === null) return "–";
  // Less than half a session is no error that anybody could see.
  return (number * error) / 100 < 0.5 ? count(number) : `${count(number)} ± ${Math.ceil(error)} %`;
}

export const groups = { title: () => "Target groups", load, view };
