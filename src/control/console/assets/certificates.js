// What TLS listeners, the admin API and target groups present, and until when; what ends first comes first.

import { get } from "./api.js";
import { badge, card, h, sentences, table } from "./dom.js";
import { ago, moment, plural, sentence } from "./format.js";
import { link } from "./router.js";
import { state } from "./state.js";

/** There may be thousands, and they seldom change. */
const EVERY_MS = 5000;
const ROWS_MAX = 200;
const NAMES_MAX = 3;
const DAY_S = 86_400;
/** Fewer days than these are a warning, and an alarm. */
const DAYS_FEW = 30;
const DAYS_LAST = 7;

const PLACES = { directory: "directory", acme: "authority (ACME)" };

let kept = null;
let keptAt = -Infinity;
let wanted = "";

async function load() {
  if (kept && performance.now() - keptAt < EVERY_MS) return kept;
  keptAt = performance.now();
  const { data } = await get("/v1/certificates");
  data.certificates.sort((one, other) => one.not_after_unix_s - other.not_after_unix_s);
  kept = data;
  return kept;
}

const COLUMNS = [{ name: "Names", class: "names" }, { name: "Presented by" }, { name: "Issuer" }, { name: "Key" },
  { name: "Valid from" }, { name: "Until", class: "what" }, { name: "Comes from", whole: true }];

function view({ certificates: all, orders, last_reading: reading, notes }) {
  const oninput = (event) => {
    wanted = event.target.value.trim().toLowerCase();
    state.redraw();
  };
  const found = all.filter((one) => !wanted || `${one.names.join(" ")} ${one.listener ?? one.target_group ?? "admin"} ${one.issuer} ${one.chain}`.toLowerCase().includes(wanted));
  const rows = found.slice(0, ROWS_MAX);
  const more = found.length - rows.length;
  const none = all.length ? "No certificate has this in its names, issuer or file." : "There is none: no listener, target group or admin API has any.";
  return [
    h("div", { class: "head" }, h("h1", { tabindex: -1 }, "Certificates"), h("span", { class: "soft" }, plural(all.length, "certificate")),
      h("label", { class: "end row" }, h("span", {}, "Find"), h("input", { type: "search", id: "find", oninput, placeholder: "name, issuer, file" }))),
    lastReading(reading, all.length),
    ...orders.filter((one) => one.fault || !one.obtained).map(ordered),
    notes.length ? h("div", { class: "notice warn", id: "certificate-notes" }, h("div", { class: "grow" }, sentences(notes.map(sentence)))) : null,
    card("Certificates", { id: "certificates", label: "What is presented" },
      table("Certificates, the one that ends first at the top", COLUMNS, rows.map((one) => ({ key: `${one.listener ?? ""} ${one.target_group ?? ""} ${one.chain}`, cells: cells(one), sub: details(one) })), none),
      more > 0 ? h("p", { class: "body soft" }, `${plural(more, "more certificate")}: find them by a name.`) : null),
  ];
}

/** What an authority has not issued, or not renewed. */
function ordered({ names: list, obtained, next_unix_s: next, failures, fault }) {
  const when = next ? `The next order is placed at ${moment(next * 1000)}.` : "It is ordered now.";
  const why = fault ? `${plural(failures, "order")} failed. ${sentence(fault)}` : "No order has ended yet.";
  return h("div", { class: `notice ${obtained ? "warn" : "bad"}` }, h("div", { class: "grow" },
    h("strong", {}, `${obtained ? "No new certificate" : "No certificate"} for ${list.join(", ")}. `), `${why} ${when}`));
}

/** How the files were read last. What is bad changes nothing, which nobody would notice otherwise. */
function lastReading({ unix_ms: at, fault }, number) {
  if (fault) {
    return h("div", { class: "notice bad", id: "last-reading" }, h("div", { class: "grow" },
      h("strong", {}, `Not every file could be read anew ${ago(at)}; what is bad keeps its old certificate. `), sentences(fault.split("\n").map(sentence))));
  }
  return number ? h("p", { class: "soft", id: "last-reading" }, `The files were read ${ago(at)}, and are in order.`) : null;
}

function cells(one) {
  return [names(one.names), presenter(one), one.issuer, h("span", { class: "address" }, one.key), day(one.not_before_unix_s), end(one),
    h("span", {}, PLACES[one.source] ?? "file", " ", h("code", { class: "small" }, one.chain))];
}

/** The day; the time of day is among the details. */
function day(unixS) {
  return h("span", { class: "address" }, moment(unixS * 1000).slice(0, 10));
}

function names(list) {
  if (!list.length) return h("span", { class: "soft" }, "no name");
  const lines = (some) => some.map((name) => h("div", {}, name));
  const rest = list.slice(NAMES_MAX);
  return [lines(list.slice(0, NAMES_MAX)),
    rest.length ? h("details", {}, h("summary", { class: "small" }, `${plural(rest.length, "more name")}`), lines(rest)) : null];
}

function presenter({ listener, target_group: group, profiles }) {
  const who = group ? ["target group ", h("a", { href: link("groups", group) }, group)]
    : listener === null ? "the admin API" : ["listener ", h("a", { href: "#/rules" }, listener)];
  return h("span", {}, who,
    profiles.map((name) => h("div", { class: "small soft" }, `profile ${name}`)));
}

/** The days that are left, as a word and a colour. Pure. */
export function standing({ state: word, not_after_unix_s: after }, nowS) {
  const days = Math.floor((after - nowS) / DAY_S);
  if (word === "not_yet_valid") return ["not valid yet", "bad"];
  if (word === "expired" || days < 0) return [`expired ${ago(after * 1000)}`, "bad"];
  if (days === 0) return ["less than a day left", "bad"];
  return [`${plural(days, "day")} left`, days < DAYS_LAST ? "bad" : days < DAYS_FEW ? "warn" : "good"];
}

function end(one) {
  const [text, tone] = standing(one, Date.now() / 1000);
  return h("span", { class: "row" }, day(one.not_after_unix_s), badge(text, tone));
}

function details(one) {
  const facts = [["Subject", one.subject || "–"], ["Serial number", one.serial], ["SHA-256", one.sha256],
    ["Valid from", moment(one.not_before_unix_s * 1000)], ["Until", moment(one.not_after_unix_s * 1000)],
    ["Stapled until", one.stapled_until_unix_s === null ? "nothing is stapled" : moment(one.stapled_until_unix_s * 1000)]];
  return h("details", { class: "certificate" }, h("summary", { class: "small" }, "Details", h("span", { class: "hidden" }, ` of ${one.names[0] ?? one.chain}`)),
    h("dl", { class: "attributes" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
}

export const certificates = { title: () => "Certificates", load, view };
