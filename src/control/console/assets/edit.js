// The form in which the attributes of a target group are edited.

import { at, get, write } from "./api.js";
import { card, field, h, notice, radios, select } from "./dom.js";
import { SECTIONS, changes, fieldsOf, ownKey, read } from "./fields.js";
import { sentence, setting } from "./format.js";
import { link } from "./router.js";
import { announce, state } from "./state.js";
import { keepChoice, reason, reasons } from "./ui.js";
import { matches } from "./match.js";
import { settle } from "./unsaved.js";

/** What the last try of saving came to, shown when the form is built anew. */
let told = null;

async function load({ group }) {
  const [answer, about] = await Promise.all([get(at("groups", group)), hints()]);
  return { group: answer.data, etag: answer.etag, about };
}

let known = null;

/** What each setting is for and what is allowed, from the server's own table. The form works without it. */
async function hints() {
  if (!known) {
    const settings = await get("/v1/settings").then(({ data }) => data.settings, () => []);
    known = new Map(settings.map((one) => [ownKey(one.key), one]));
  }
  return known;
}

const idOf = (key) => `f-${key.replaceAll(".", "-")}`;

function hint(about, { kind, options }) {
  // Radio buttons say themselves what each is for.
  if (!about || kind === "radio") return "";
  const standard = about.default?.replaceAll('"', "");
  // A choice shows what is allowed, and names it as people do.
  const seen = kind === "flag" || kind === "choice";
  const named = kind === "flag" ? { true: "on", false: "off" }[standard] : options?.find(([value]) => value === standard)?.[1].replace(/[:(].*/, "").trim();
  return [about.about, !seen && about.allowed && `Allowed: ${about.allowed}.`, standard && `Default: ${named ?? standard}.`].filter(Boolean).join(" ");
}

function control(one, group, about) {
  const { attributes } = group;
  const id = idOf(one.key);
  const value = read(attributes, one.key);
  const more = hint(about.get(one.key), one);
  const about_ = { "aria-describedby": `${id}-hint ${id}-wrong` };
  const foot = [h("span", { class: "hint", id: `${id}-hint` }, more), h("span", { class: "wrong", id: `${id}-wrong` })];
  const wrap = (...content) => h("div", { class: one.kind === "radio" || one.on ? "field wide" : "field", "data-field": one.key }, content);
  if (one.kind === "flag") {
    return wrap(h("label", { class: "switch", for: id }, h("input", { type: "checkbox", role: "switch", class: "toggle", id, name: one.key, checked: value === true, ...about_ }), one.on ?? one.label), foot);
  }
  if (one.kind === "radio") return wrap(radios(one.label, one.key, one.options, value), foot);
  const text = Array.isArray(value) ? value.join(", ") : String(value ?? "");
  const input = one.kind === "choice" ? select(one.options, value, { name: one.key })
    : h("input", { type: "text", name: one.key, value: text, autocomplete: "off", spellcheck: "false", inputmode: one.kind === "count" ? "numeric" : null,
      // The name that is in force where the file has none.
      placeholder: one.key === "stickiness.cookie_name" ? group.stickiness.cookie_name : one.example ?? one.unset ?? null });
  const node = field({ id, label: one.label, hint: more, input });
  node.dataset.field = one.key;
  return node;
}

function valueIn(form) {
  return (key) => {
    const input = form.elements.namedItem(key);
    return input.type === "checkbox" ? input.checked : input.value;
  };
}

/** Fields that have no meaning with what is chosen are out of the way. */
function showWhatApplies(form) {
  const of = valueIn(form);
  for (const section of SECTIONS) {
    for (const one of fieldsOf(section)) form.querySelector(`[data-field="${one.key}"]`).hidden = Boolean(one.when && !one.when(of));
  }
}

function clearWrong(form) {
  for (const place of form.querySelectorAll(".wrong")) place.textContent = "";
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}

/** Puts a suggestion into the form, where the operator sees it before saving. */
function fill(suggestion) {
  const form = document.querySelector("form.edit");
  for (const [key, value] of Object.entries(suggestion)) {
    const input = form.elements.namedItem(key);
    if (input?.type === "checkbox") input.checked = value === true;
    else if (input) input.value = String(value ?? "");
  }
  showWhatApplies(form);
  const first = form.elements.namedItem(Object.keys(suggestion)[0]);
  if (first instanceof HTMLElement) first.focus();
  announce("The values are in the form; save to put them in force.");
}

/** Each reason beside its field; those without one, and the count, above the form. */
function showRefusal(form, error) {
  const rest = [];
  let first = null;
  for (const problem of error.problems) {
    const key = ownKey(problem.key);
    const place = document.getElementById(`${idOf(key)}-wrong`);
    const input = form.elements.namedItem(key);
    if (!place || !input) {
      rest.push(problem);
      continue;
    }
    place.textContent = reason(problem);
    place.closest("details")?.setAttribute("open", "");
    const element = input instanceof RadioNodeList ? input[0] : input;
    element.setAttribute("aria-invalid", "true");
    first ??= element;
  }
  const said = first ? "Nothing was saved: see the reason beside the field." : "Nothing was saved.";
  const unplaced = rest.length || !error.problems.length ? reasons(error.problems.length ? { problems: rest } : error) : null;
  form.querySelector("#refusal").replaceChildren(notice("bad", [said, " ", unplaced]));
  if (first) first.focus();
  else form.querySelector("#refusal").scrollIntoView({ block: "center" });
}

async function save(form, { group, etag }) {
  clearWrong(form);
  const set = changes(group.attributes, valueIn(form));
  if (!Object.keys(set).length) {
    form.querySelector("#refusal").replaceChildren(notice("", "Nothing has been changed yet."));
    form.querySelector("#refusal").scrollIntoView({ block: "center" });
    return;
  }
  const button = form.querySelector("#save");
  button.disabled = true;
  try {
    const applied = await write("PATCH", at("groups", group.name), { set, keep: form.elements.keep.value }, etag);
    state.saved.set(group.name, { ...applied, at: Date.now() });
    announce(`Saved and in force. ${applied.summary.join(". ")}`);
    settle(form);
    location.hash = link("groups", group.name);
  } catch (error) {
    if (error.status === 412) conflict(error, set);
    else showRefusal(form, error);
  } finally {
    button.disabled = false;
  }
}

/** Somebody else was quicker: the values are loaded anew, and what was typed is named. */
function conflict(error, set) {
  told = notice("warn", [h("strong", {}, "Nothing was saved. "), sentence(error.message), " The values below are the ones in force now. You had entered: ",
    h("code", {}, Object.entries(set).map(([key, value]) => `${key} = ${setting(value)}`).join(", ")), "."]);
  announce("Nothing was saved: the configuration has changed meanwhile. The values were loaded anew.");
  scrollTo(0, 0);
  state.reload();
}

function section(one, group, about) {
  const part = (fields) => h("div", { class: "fields" }, fieldsOf({ fields }).map((field) => control(field, group, about)));
  const content = [
    one.sticky ? matches(group, fill) : null, part(one.fields),
    one.more ? h("details", {}, h("summary", {}, one.more.title), part(one.more.fields)) : null];
  if (one.folded) return h("section", { class: "card" }, h("details", { class: "body" }, h("summary", {}, one.title), content));
  return card(one.title, {}, h("div", { class: "body" }, content));
}

function view(loaded) {
  const { group, about } = loaded;
  const form = h("form", { class: "edit", "aria-label": `Attributes of ${group.name}`, novalidate: true, "data-unsaved": true,
    onsubmit: (event) => {
      event.preventDefault();
      save(form, loaded);
    },
    oninput: () => showWhatApplies(form) },
    h("div", { id: "refusal", role: "alert" }, told),
    SECTIONS.map((one) => section(one, group, about)),
    h("div", { class: "bar" }, keepChoice(), h("div", { class: "end" },
      h("a", { class: "button", href: link("groups", group.name) }, "Cancel"),
      h("button", { class: "first", id: "save" }, "Save"))));
  told = null;
  showWhatApplies(form);
  return [
    h("nav", { class: "crumbs", "aria-label": "Where you are" }, h("span", {}, h("a", { class: "crumb", href: "#/groups" }, "Target groups"), " / ", h("a", { class: "crumb", href: link("groups", group.name) }, group.name))),
    h("h1", { tabindex: -1 }, `Edit the attributes of ${group.name}`),
    h("p", { class: "soft" }, "Saved changes are in force from the next request on. No connection is closed."),
    form,
  ];
}

export const edit = { title: ({ group }) => `Edit ${group}`, load, view, still: true };
