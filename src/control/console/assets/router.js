// Which page a hash names: "#/groups/app/edit" is the segments groups, app, edit. Pure but for `go`.

import { certificates } from "./certificates.js";
import { config } from "./config.js";
import { edit } from "./edit.js";
import { events } from "./events.js";
import { explain } from "./explain.js";
import { group } from "./group.js";
import { groups } from "./groups.js";
import { h } from "./dom.js";
import { overview } from "./overview.js";
import { rules } from "./rules.js";

const missing = {
  title: () => "There is no such page",
  view: () => [h("h1", { tabindex: -1 }, "There is no such page"), h("p", {}, h("a", { href: "#/" }, "Back to the overview"))],
};

function segments(hash) {
  try {
    return hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    return ["?"];
  }
}

/** {page, parameters, section}: the page, what it is about, and which entry of the navigation it belongs to. */
export function route(hash) {
  const [section = "", name, more, part] = segments(hash);
  const pages = { "": overview, rules, certificates, explain, config, events };
  if (section === "groups" && name !== undefined) {
    return { page: more === "edit" ? edit : more === undefined ? group : missing, parameters: { group: name, part }, section };
  }
  if (section === "groups") return { page: groups, parameters: {}, section };
  return { page: Object.hasOwn(pages, section) ? pages[section] : missing, parameters: { tab: name }, section };
}

export function link(...parts) {
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}
