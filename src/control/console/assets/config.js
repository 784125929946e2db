// The configuration: what runs, what the file says, how they differ, what lies on top, and what it was before.

import { get, write } from "./api.js";
import { apply } from "./apply.js";
import { badge, card, h, notice, sentences, table } from "./dom.js";
import { moment, plural } from "./format.js";
import { link } from "./router.js";
import { mayAll, state, WHY_NOT_ALL } from "./state.js";
import { act, askAndWrite, copyButton, noFileBecause, reasons, undoButton } from "./ui.js";

const config_ = () => get("/v1/config").then(({ data, etag }) => ({ ...data, etag }));

async function compared() {
  const loaded = await config_();
  if (loaded.path === null) return loaded;
  return { ...loaded, ...(await get("/v1/config/diff").then(({ data }) => data, (error) => ({ error }))) };
}

const TABS = {
  running: { name: "Running", load: config_, view: running },
  file: { name: "File", load: config_, view: file },
  diff: { name: "Differences", load: compared, view: differences },
  overlay: { name: "Overlay", load: config_, view: overlay },
  history: { name: "History", load: () => get("/v1/config/history").then(({ data }) => data), view: history },
  apply: { name: "Apply", load: config_, view: apply },
};

function tabOf({ tab }) {
  return Object.hasOwn(TABS, tab ?? "") ? tab : "running";
}

function view(loaded, parameters) {
  const chosen = tabOf(parameters);
  return [
    h("div", { class: "head" }, h("h1", { tabindex: -1 }, "Configuration"),
      h("span", { class: "soft" }, `version ${state.status.config.version}`), h("code", { class: "soft" }, state.status.config.path ?? "not from a file")),
    h("nav", { "aria-label": "Views of the configuration", class: "scroll tabs" }, h("ul", {}, Object.entries(TABS).map(([key, tab]) =>
      h("li", {}, h("a", { href: link("config", key), "aria-current": key === chosen ? "page" : null }, tab.name))))),
    mayAll() ? null : notice("", WHY_NOT_ALL),
    TABS[chosen].view(loaded),
  ];
}

function text(of, label) {
  return h("pre", { tabindex: 0, role: "region", "aria-label": label }, of);
}

function running(loaded) {
  return card("Running configuration", { id: "running", end: copyButton(loaded.running),
    notes: loaded.overlay.length ? h("a", { href: "#/config/overlay" }, plural(loaded.overlay.length, "overlay edit")) : null },
  text(loaded.running, "Text of the running configuration"));
}

function reload() {
  if (!mayAll()) return null;
  return h("button", { type: "button", id: "reload", class: "first", onclick: () => act(() => write("POST", "/v1/config/reload", {})) }, "Reload the file");
}

function noFile() {
  return notice("", "This configuration was not read from a file.");
}

function file(loaded) {
  if (loaded.path === null) return noFile();
  if (loaded.file === null) return notice("bad", `${loaded.path} cannot be read.`);
  return [
    loaded.file_differs ? notice("warn", ["The file on disk is not what was loaded. ", h("a", { href: "#/config/diff" }, "See what a reload would change"), "."], reload()) : null,
    card("The file on disk", { id: "file", notes: h("code", {}, loaded.path), end: copyButton(loaded.file) }, text(loaded.file, "Text of the file on disk")),
  ];
}

/** Differences in words; also what applying a new configuration would change. */
export function differenceList(list) {
  if (!list.length) return h("p", {}, "Nothing would change.");
  return table("What would change", [{ name: "Kind" }, { name: "What", whole: true }, { name: "When", whole: true }],
    list.map((one, index) => ({ key: index, cells: [one.kind, one.text, one.needs_restart ? badge("after a restart", "warn") : "at once"] })));
}

function differences(loaded) {
  if (loaded.path === null) return noFile();
  if (loaded.error) return notice("bad", reasons(loaded.error));
  return card("What a reload of the file would change", { id: "diff", end: loaded.path ? reload() : null },
    loaded.differences.length ? differenceList(loaded.differences) : h("p", { class: "body" }, "Nothing: what runs is what the file says."));
}

function overlay(loaded) {
  const some = loaded.overlay.length > 0;
  const why = noFileBecause();
  const save = () => act(() => write("POST", "/v1/config/overlay/write", {}, loaded.etag), { undo: false });
  const discard = () => askAndWrite({
    title: "Discard the overlay?", confirm: "Discard", danger: true,
    content: h("p", {}, `${plural(loaded.overlay.length, "edit")} made at run time will be taken back; the file as it was loaded is in force then.`),
    run: () => write("DELETE", "/v1/config/overlay", undefined, loaded.etag),
  });
  const buttons = some && mayAll() ? [h("button", { type: "button", class: "first", onclick: save, disabled: Boolean(why), title: why }, "Write to the file"),
    h("button", { type: "button", class: "danger", onclick: discard }, "Discard …")] : null;
  return card("Edits on top of the file", { id: "overlay", end: buttons, notes: h("span", { class: "soft small" }, `They last until limpet ends.${why ? ` Writing them to the file: ${why}` : ""}`) },
    table("Edits that are held as an overlay", [{ name: "Change" }, { name: "Time" }, { name: "By" }, { name: "What", whole: true }, { name: "Actions", whole: true }],
      loaded.overlay.map((one) => ({ key: one.change, cells: [`#${one.change}`, moment(one.unix_ms), one.actor, sentences(one.summary), undoButton(one.change)] })),
      "There is no edit on top of the file."));
}

const KEPT = { overlay: "until restart", file: "in the file" };

function history({ entries }) {
  return card("History", {}, table("Changes, newest first",
    [{ name: "Change" }, { name: "Version", number: true }, { name: "Time" }, { name: "By" }, { name: "Kind" }, { name: "What", whole: true }, { name: "Kept" }, { name: "Actions", whole: true }],
    [...entries].reverse().map((one) => ({
      key: one.change,
      cells: [`#${one.change}`, String(one.version), moment(one.unix_ms), one.actor, one.what, one.summary.length ? sentences(one.summary) : "–",
        KEPT[one.keep] ?? "–", one.can_undo ? undoButton(one.change) : "–"],
    }))));
}

export const config = {
  title: (parameters) => `Configuration: ${TABS[tabOf(parameters)].name.toLowerCase()}`,
  load: (parameters) => TABS[tabOf(parameters)].load(),
  view,
};
