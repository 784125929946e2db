// Every listener's rules in the order in which they are tried, with how often each was taken.

import { get } from "./api.js";
import { badge, card, h, notice, table } from "./dom.js";
import { count, rate } from "./format.js";
import { state } from "./state.js";

async function load() {
  return (await get("/v1/rules")).data;
}

const COLUMNS = [{ name: "Priority" }, { name: "Name" }, { name: "Conditions", whole: true }, { name: "Action", whole: true },
  { name: "Requests", number: true }, { name: "Requests/s", number: true }];

function view({ listeners }) {
  return [
    h("div", { class: "head" }, h("h1", { tabindex: -1 }, "Rules"), h("span", { class: "soft" }, "The first one whose conditions all hold is taken.")),
    listeners.map((listener) => card(listener.name, { id: `listener-${listener.name}`, notes: [h("code", {}, listener.address), badge(listener.http_versions.join(", "))] },
      table(`Rules of listener ${listener.name}, in the order in which they are tried`, COLUMNS, listener.rules.map((rule) => ({
        key: rule.name,
        cells: [rule.priority === null ? "default" : String(rule.priority), rule.name,
          rule.conditions.length ? h("span", {}, rule.conditions.map((text, index) => h("span", {}, index ? h("span", { class: "soft" }, " and ") : null, text)))
            : h("span", { class: "soft" }, "every other request"),
          rule.action, count(rule.requests), rate(rule.requests_per_second)],
      })), "This listener has no rules."))),
    listeners.length ? null : notice("", state.status.warnings.length ? "There is no listener; see the warnings above." : "There is no listener."),
  ];
}

export const rules = { title: () => "Rules", load, view };
