// The targets of one group and what can be done with them.

import { at, write } from "./api.js";
import { sparkline } from "./charts.js";
import { card, field, h, radios, table } from "./dom.js";
import { ago, clock, count, latency, left, plural, rate, sentence, span } from "./format.js";
import { ROWS_MAX, sessions, weight } from "./groups.js";
import { mayAll, state } from "./state.js";
import { askAndWrite, keepChoice, passive, standingBadge, standingOf } from "./ui.js";

const everything = new Set();
let wanted = "";

const COLUMNS = [{ name: "Target", class: "name" }, { name: "Health", whole: true, class: "what" }, { name: "Weight", number: true }, { name: "In flight", number: true },
  { name: "Sessions", number: true }, { name: "Requests/s", number: true }, { name: "Failures", number: true }, { name: "Last check" }, { name: "Actions", whole: true, class: "actions" }];

export function targetsCard(group, etag) {
  const found = group.targets.filter((target) => `${target.id} ${target.address} ${standingOf(target)}`.toLowerCase().includes(wanted));
  const rows = everything.has(group.name) ? found : found.slice(0, ROWS_MAX);
  const oninput = (event) => {
    wanted = event.target.value.trim().toLowerCase();
    state.redraw();
  };
  const find = group.targets.length > 10
    ? h("label", { class: "row" }, h("span", {}, "Find"), h("input", { type: "search", id: "find-target", oninput })) : null;
  const all = () => {
    everything.add(group.name);
    state.redraw();
  };
  const add = !mayAll() ? null : h("button", { type: "button", id: "add-target", onclick: () => addTarget(group, etag) }, "Add target …");
  return card("Targets", { end: [find, add] },
    table(`${plural(group.targets.length, "target")} of ${group.name}`, COLUMNS, rows.map((target) => ({
      key: target.id, cells: cells(group, target, etag), sub: target.drain ? countdown(target) : null,
    })), "No target."),
    found.length > rows.length ? h("div", { class: "body" }, h("button", { type: "button", onclick: all }, `Show all ${found.length}`)) : null);
}

function cells(group, target, etag) {
  const busy = [count(target.in_flight), target.tunnels && plural(target.tunnels, "upgrade"), target.waiting && `${target.waiting} waiting`].filter(Boolean);
  return [
    h("span", {}, target.id, target.id === target.address ? null : h("div", { class: "soft small mono address" }, target.address)),
    h("span", {}, standingBadge(standingOf(target)), " ", h("span", { class: "small soft", title: clock(target.since_unix_ms) }, health(target)), passive(target)),
    weight(target), busy.join(" + "), sessions(target),
    h("span", {}, rate(target.requests_per_second), h("br"), sparkline(target.requests_history, `Requests of ${target.id} in the last two minutes`)),
    failures(target), check(target.last_check), actions(group, target, etag),
  ];
}

function health(target) {
  const parts = [target.reason, target.since_unix_ms ? `since ${span((Date.now() - target.since_unix_ms) / 1000)}` : ""];
  if (target.ejected_until_unix_ms) parts.push(`ejected for another ${left((target.ejected_until_unix_ms - Date.now()) / 1000)}`);
  if (target.slow_start_remaining_s) parts.push(`slow start, ${left(target.slow_start_remaining_s)} left`);
  return parts.filter(Boolean).join(" · ");
}

/** Failures since the start, with those that somebody can still do something about. */
function failures({ failures: all, failures_recently: recent }) {
  return recent ? h("span", {}, count(all), h("br"), h("span", { class: "small bad" }, `${count(recent)} in 2m`)) : count(all);
}

function check(last) {
  if (!last) return "–";
  const how = last.error ?? (last.status ? `status ${last.status}` : last.passed ? "passed" : "failed");
  return h("span", { class: "small" }, `${last.passed ? "✓" : "✕"} ${how}, ${latency(last.latency_us)}, ${ago(last.unix_ms)}`);
}

/** What a draining target still waits for. */
function countdown({ id, drain }) {
  const until = { delay: "until its delay is over", idle: "until nothing is in flight", sessions: drain.sessions_at_most ? `until at most ${plural(drain.sessions_at_most, "session is", "sessions are")} left` : "until no session is left" }[drain.until];
  const gone = (Date.now() - drain.started_unix_ms) / 1000;
  const remaining = drain.remaining_s;
  const bar = remaining === null || drain.finished ? null
    : h("progress", { max: Math.max(1, Math.round(gone + remaining)), value: Math.max(0, Math.round(gone)), "aria-label": `Drain of ${id}` });
  const parts = [`${count(drain.in_flight)} in flight`, plural(drain.tunnels, "open upgrade"),
    drain.sessions === null ? null : `about ${plural(drain.sessions, "session")}`];
  // While it waits for its delay alone, the countdown has said so.
  const why = drain.until === "delay" && !drain.finished ? "" : drain.reason;
  const end = drain.finished ? "Drained" : remaining === null ? "No end by time" : h("span", {}, h("span", { class: "remaining" }, left(remaining)), " left");
  return h("div", { class: "notice warn drain", "data-key": `drain ${id}` },
    h("strong", { class: "number" }, end), bar,
    h("div", { class: "grow" }, `${drain.finished ? "" : `Draining ${until}: `}${parts.filter(Boolean).join(", ")}. ${sentence(why)}`));
}

function actions(group, target, etag) {
  const path = at("groups", group.name, "targets", target.id);
  const button = (text, onclick, danger) => h("button", { type: "button", class: danger ? "little danger" : "little", onclick, "aria-label": `${text} ${target.id}` }, text);
  const out = target.configured_state !== "in_service";
  return h("div", { class: "row" },
    target.configured_state === "removed" ? null : button("Weight", () => setWeight(target, path, etag)),
    out ? null : button("Drain", () => drain(group, target, path)),
    out ? null : button("Disable", () => disable(target, path), true),
    out || target.ejected_until_unix_ms ? button("Enable", () => enable(target, path)) : null,
    target.configured_state === "removed" || !mayAll() ? null : button("Remove", () => remove(target, path, etag), true));
}

function setWeight(target, path, etag) {
  const input = h("input", { type: "number", name: "weight", min: 0, max: 999, value: String(target.weight), required: true });
  askAndWrite({
    title: `Weight of ${target.id}`, confirm: "Save",
    content: [field({ id: "weight", label: "Weight", hint: "Share of new requests, 0 to 999; 0 = only users already bound to it.", input }), keepChoice()],
    run: (form) => write("PATCH", path, { set: { weight: input.valueAsNumber }, keep: form.elements.keep.value }, etag),
  });
}

function drain(group, target, path) {
  const most = h("input", { type: "number", min: 0, value: "0", name: "sessions_at_most" });
  const deadline = h("input", { type: "text", name: "deadline", placeholder: "10m", autocomplete: "off" });
  const few = field({ id: "drain-most", label: "Sessions that may be left", input: most });
  const dialog = askAndWrite({
    title: `Drain ${target.id}`, confirm: "Drain",
    content: [
      h("p", {}, "New users go elsewhere at once. Whoever is bound to this target keeps it until the drain ends."),
      radios("Until", "until", [
        ["delay", `The deregistration delay of ${group.attributes.deregistration_delay} is over`, "or nothing and nobody is left before"], ["idle", "Nothing is in flight", "requests and upgrades"],
        ["sessions", "Few enough sessions are left", "an estimate; see the table"]], "delay"),
      few,
      field({ id: "drain-deadline", label: "Deadline", hint: "At the latest after this long, such as 10m; empty = none.", input: deadline }),
      keepChoice()],
    run: (form) => write("POST", `${path}/drain`, {
      until: form.elements.until.value, sessions_at_most: most.valueAsNumber || 0,
      deadline: deadline.value.trim() || null, keep: form.elements.keep.value,
    }),
  });
  const show = () => {
    few.hidden = dialog.querySelector("[name=until]:checked").value !== "sessions";
  };
  dialog.addEventListener("input", show);
  show();
}

function enable(target, path) {
  askAndWrite({
    title: `Enable ${target.id}?`, confirm: "Enable",
    content: [h("p", {}, "It is back in service: a drain or an ejection ends, and new users come again."), keepChoice()],
    run: (form) => write("POST", `${path}/enable`, { keep: form.elements.keep.value }),
  });
}

function disable(target, path) {
  askAndWrite({
    title: `Disable ${target.id}?`, confirm: "Disable", danger: true,
    content: [h("p", {}, "It gets no more requests at once, not even of users bound to it: they move to other targets and may lose a session kept here."), keepChoice()],
    run: (form) => write("POST", `${path}/disable`, { keep: form.elements.keep.value }),
  });
}

function remove(target, path, etag) {
  const bound = target.sessions ? ` About ${plural(target.sessions, "live session is", "live sessions are")} bound to it.` : "";
  askAndWrite({
    title: `Remove ${target.id}?`, confirm: "Remove", danger: true,
    content: [h("p", {}, `It drains first, as the deregistration delay of its group says, and is gone then.${bound}`), keepChoice()],
    run: (form) => write("DELETE", `${path}?keep=${form.elements.keep.value}`, undefined, etag),
  });
}

function addTarget(group, etag) {
  const text = (name, placeholder, required) => h("input", { type: "text", name, placeholder, required, autocomplete: "off" });
  const address = text("address", "127.0.0.1:9003", true);
  const id = text("id", "the address");
  const share = h("input", { type: "number", name: "weight", min: 0, max: 999, value: "1", required: true });
  askAndWrite({
    title: `Add a target to ${group.name}`, confirm: "Add",
    content: [
      field({ id: "new-address", label: "Address", hint: "IP:PORT or unix:/path.", input: address }),
      field({ id: "new-id", label: "Id", hint: "Unique in the group; the address when empty.", input: id }),
      field({ id: "new-weight", label: "Weight", hint: "Share of requests, 0 to 999.", input: share }), keepChoice()],
    run: (form) => {
      const settings = { address: address.value.trim(), weight: share.valueAsNumber };
      if (id.value.trim()) settings.id = id.value.trim();
      return write("POST", at("groups", group.name, "targets"), { settings, keep: form.elements.keep.value }, etag);
    },
  });
}
