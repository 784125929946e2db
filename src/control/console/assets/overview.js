// The overview: what goes through the process now and in the last two minutes.

import { get, write } from "./api.js";
import { lineChart } from "./charts.js";
import { badge, card, h, select, table, tile } from "./dom.js";
import { byteRate, bytes, clock, count, latency, percent, plural, rate, span } from "./format.js";
import { standing } from "./groups.js";
import { link } from "./router.js";
import { mayAll, state, WHY_NOT_ALL } from "./state.js";
import { standingBadge, toast } from "./ui.js";

const LEVELS = ["error", "warn", "info", "debug", "trace"].map((level) => [level, level]);

async function load() {
  // The story of the demo needs its groups; elsewhere one request is enough.
  const asked = state.status && !state.status.demo ? null : get("/v1/groups");
  const [{ data }, groups] = await Promise.all([get("/v1/overview"), asked]);
  return { ...data, stage: groups?.data.groups ?? [] };
}

function view({ now, history, shards, totals, groups, group_count: all, troubled_count: troubled, unchecked_count: unchecked, stage }) {
  const { status } = state;
  const line = (read) => history.map(read);
  const chart = (title, series, format) => h("div", { class: "card", "data-key": title }, h("div", { class: "body" }, lineChart(title, series, format, state.redraw)));
  const percentile = (name) => ({ name, values: line((point) => point.latency_us?.[name] ?? null) });
  const latencyNow = now.latency_us ?? {};
  return [
    h("div", { class: "head" }, h("h1", { tabindex: -1 }, "Overview")),
    status.demo ? story(status, stage) : null,
    groupsCard({ groups, all, troubled, unchecked }),
    h("dl", { class: "tiles" },
      tile("Requests", rate(now.requests_per_second), "/s"),
      tile("Errors", rate(now.errors_per_second), "/s"),
      tile("Latency p50", latency(latencyNow.p50)),
      tile("Latency p90", latency(latencyNow.p90)),
      tile("Latency p99", latency(latencyNow.p99)),
      tile("Latency p99.9", latency(latencyNow.p999)),
      tile("Clients", count(status.connections.open), "open"),
      tile("To targets", count(status.target_connections.open), "open")),
    h("div", { class: "split" },
      chart("Requests per second", ["2xx", "3xx", "4xx", "5xx"].map((name) => ({ name, values: line((point) => point.responses[name] ?? 0) })), rate),
      chart("Latency", ["p50", "p90", "p99"].map(percentile), latency),
      chart("Errors per second", [{ name: "errors", values: line((point) => point.errors_per_second) }], rate),
      chart("Bytes per second", [
        { name: "from clients", values: line((point) => point.bytes_in_per_second) },
        { name: "to clients", values: line((point) => point.bytes_out_per_second) }], byteRate),
      chart("Connections", [{ name: "open", values: line((point) => point.connections) }], count),
      shardCard(shards)),
    h("div", { class: "split" }, totalsCard(totals, status), processCard(status)),
  ];
}

/** How each group stands, those in trouble first: nobody has to look elsewhere to know that something is wrong. */
function groupsCard({ groups, all, troubled, unchecked }) {
  const told = [];
  if (troubled) told.push(badge(`${troubled} of ${plural(all, "group")} ${troubled === 1 ? "needs" : "need"} a look`, "bad"));
  // Of a group that nobody checks nobody can say that it is in order.
  if (unchecked) told.push(badge(`${unchecked} of ${plural(all, "group")} unchecked`));
  if (!told.length) told.push(badge(all === 1 ? "in order" : "all in order", "good"));
  return card("Target groups", { id: "standing", label: h("a", { href: "#/groups" }, "Target groups"),
    notes: all ? told : null },
  table("How each target group stands", [{ name: "Group", class: "name" }, { name: "Targets", whole: true }, { name: "Requests/s", number: true }, { name: "Errors/s", number: true },
    { name: "Failures in 2m", number: true }, { name: "In flight", number: true }],
  groups.map((group) => ({
    key: group.name,
    cells: [h("a", { href: link("groups", group.name) }, group.name, h("span", { class: "hidden" }, " group")), standing(group.standing, group), rate(group.requests_per_second),
      amiss(group.errors_per_second, rate), amiss(group.failures_recently, count), count(group.in_flight)],
    sub: trouble(group),
  })), "There is no target group."),
  all > groups.length ? h("p", { class: "body soft" }, `${plural(all - groups.length, "more group")}: `, h("a", { href: "#/groups" }, "show all")) : null);
}

/** A number that is best when it is 0. */
function amiss(value, format) {
  return value ? h("strong", { class: "bad" }, format(value)) : format(value);
}

function trouble(group) {
  if (!group.is_troubled) return null;
  const targets = group.troubled_targets.map((target) => h("li", {}, target.id, " ", standingBadge(target.standing), " ",
    [target.reason, target.failures_recently ? `${plural(target.failures_recently, "failure")} in the last two minutes` : ""].filter(Boolean).join("; ")));
  const nobody = group.target_count ? "No target of this group is in service." : "This group has no target: its requests are answered with 503.";
  return h("div", { class: "notice bad trouble" }, h("div", { class: "grow" }, targets.length ? h("ul", {}, targets) : nobody));
}

function shardCard(shards) {
  return card("Shards", {}, table("Load of each shard in the last second",
    [{ name: "Shard" }, { name: "Requests/s", number: true }, { name: "Connections", number: true }, { name: "Busy", number: true }],
    shards.map((shard) => ({
      key: shard.index,
      cells: [String(shard.index), rate(shard.requests_per_second), count(shard.connections), h("span", {},
        h("meter", { min: 0, max: 1, value: shard.utilisation, high: 0.85, "aria-label": `Shard ${shard.index} busy` }), ` ${percent(shard.utilisation)}`)],
    }))));
}

function facts(pairs) {
  return h("div", { class: "body" }, h("dl", { class: "attributes" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
}

function totalsCard(totals, status) {
  const responses = Object.entries(totals.responses).filter(([, number]) => number)
    .map(([name, number]) => [name === "none" ? "No response" : `Responses ${name}`, count(number)]);
  return card("Since the start", {}, facts([
    ["Requests", count(totals.requests)], ...responses, ["Retries", count(totals.retries)], ["Cut off", count(totals.aborted)],
    ["From clients", bytes(totals.bytes_in)], ["To clients", bytes(totals.bytes_out)],
    ["Connections accepted", count(status.connections.accepted)], ["Connections refused", count(status.connections.refused)]]));
}

function processCard(status) {
  const onchange = async (event) => {
    try {
      await write("PUT", "/v1/log-level", { level: event.target.value });
      toast("good", `limpet now logs from level ${event.target.value} on.`);
    } catch (error) {
      toast("bad", error.message);
    }
  };
  return card("Process", {}, facts([
    ["Up for", span(Math.floor(status.uptime_s))], ["Process id", String(status.pid)], ["Engine", status.engine], ["Shards", String(status.shards)],
    ["Memory", bytes(status.memory_bytes)], ["Configuration loaded", clock(status.config.loaded_unix_ms)],
    ["Listeners", h("span", {}, status.listeners.map((one) => h("div", {}, `${one.name} `, h("code", {}, one.address), h("span", { class: "soft" }, ` ${one.http_versions.join(", ")}`))))],
    ["HTTP/2", h("span", {}, [["with clients", status.connections.http2], ["with targets", status.target_connections.http2]].map(([whom, one]) =>
      h("div", {}, `${plural(one.open, "connection")}, ${plural(one.streams, "stream")} ${whom}`)))],
    ["Access log", `${count(status.log.lines_written)} lines, ${count(status.log.lines_dropped)} dropped, ${count(status.log.lines_failed)} failed`],
    ["Log level", h("span", {}, h("label", { class: "hidden", for: "level" }, "Log level"), select(LEVELS, status.log.level, { id: "level", onchange, disabled: !mayAll(), title: mayAll() ? null : WHY_NOT_ALL, "data-hold": `level ${status.log.level}` }))]]));
}

/** How the story of the demo goes; `group` is where it happens. */
export function story(status, groups) {
  const group = groups[0];
  const pages = (status.demo_urls ?? []).filter((url) => /^https?:\/\//.test(url)).flatMap((url, index) =>
    [index ? ", " : "", h("a", { href: url, target: "_blank", rel: "noopener noreferrer", class: "session-page" }, url.replace(/^https?:\/\//, "").replace(/\/$/, ""))]);
  const on = group?.stickiness.enabled;
  const where = group ? h("a", { href: link("groups", group.name, "edit", "stickiness") }, `Stickiness of ${group.name}`) : h("a", { href: "#/groups" }, "its target group");
  return card("The demo: a session that gets lost, and comes back", { id: "story", end: group ? badge(on ? "stickiness is on" : "stickiness is off", on ? "good" : "warn") : null },
    h("div", { class: "body" }, h("ol", {},
      h("li", {}, "Open the session page (", pages, ") and refresh: two instances take turns."),
      h("li", {}, "Log in there and refresh: the other instance does not know you and asks you to log in again."),
      h("li", {}, "Edit ", where, ": turn it on and save."),
      h("li", {}, "Log in once more and refresh as often as you like: you stay with the instance that knows you."))));
}

export const overview = { title: () => "Overview", load, view };
