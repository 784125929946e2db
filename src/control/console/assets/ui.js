// Messages, dialogs and the way every write is carried out.

import { badge, h, radios, sentences } from "./dom.js";
import { plural, sentence } from "./format.js";
import { announce, state } from "./state.js";
import { write } from "./api.js";

const TOAST_MS = 15_000;
const TOASTS_MAX = 3;

// Nothing that has the focus, and no bar of buttons, is under the messages.
const below = document.getElementById("toasts");
new ResizeObserver(() => document.documentElement.style.setProperty("--below", `${below.offsetHeight}px`)).observe(below);

/** A message below the page; errors stay until closed, or until another page is opened. */
export function toast(tone, content, ...actions) {
  const close = () => node.remove();
  const node = h("div", { class: `notice ${tone}`, role: tone === "bad" ? "alert" : "status" },
    h("div", { class: "grow" }, content), actions,
    h("button", { class: "little", type: "button", onclick: close }, "Close"));
  for (const button of node.querySelectorAll("button")) button.addEventListener("click", close);
  below.append(node);
  while (below.children.length > TOASTS_MAX) below.firstElementChild.remove();
  if (tone === "bad") return;
  const end = () => (node.matches(":hover, :focus-within") ? setTimeout(end, TOAST_MS) : close());
  setTimeout(end, TOAST_MS);
}

/** Messages are about the page on which they came up. */
export function closeToasts() {
  below.replaceChildren();
}

/** What was wrong, with every problem that the server named. */
export function reasons(error) {
  if (!error.problems?.length) return h("span", {}, error.message);
  return sentences(error.problems.map((problem) => `${problem.key ? `${problem.key}: ` : ""}${reason(problem)}`));
}

/** One problem as a sentence. */
export function reason({ what, found, allowed }) {
  return `${what}${found ? `; found ${found}` : ""}${allowed ? `; allowed: ${allowed}` : ""}`;
}

/** Carries a write out and says what became of it. Resolves to what was applied, or null. */
export async function act(run, { undo = true } = {}) {
  try {
    const applied = await run();
    const said = applied.summary?.length ? [...applied.summary, ...(applied.notes ?? [])] : ["Nothing had to change."];
    const canUndo = undo && applied.summary?.length && applied.change;
    toast("good", sentences(said), canUndo ? undoButton(applied.change) : null);
    state.refresh();
    return applied;
  } catch (error) {
    toast("bad", reasons(error));
    state.refresh();
    return null;
  }
}

export function undoButton(change, done = () => {}) {
  const onclick = async () => {
    if (await act(() => write("POST", "/v1/config/undo", { change }), { undo: false })) done();
  };
  return h("button", { class: "little", type: "button", onclick }, "Undo");
}

/** Where a change is kept: the operator chooses each time. */
export function keepChoice(file = "Write to the file") {
  const why = noFileBecause();
  return radios("Keep the change", "keep", [["overlay", "Until restart (overlay)"], ["file", file, why, Boolean(why)]], "overlay");
}

/** Why no change can be kept in the file; null where one can. */
export function noFileBecause() {
  const { path, file_obstacle: why } = state.status?.config ?? {};
  if (!path) return "Not possible: there is no file.";
  return why ? `Not possible: ${sentence(why)}` : null;
}

/** A modal form. `submit(form)` may throw; then the dialog stays and says why. */
export function ask({ title, content, confirm, cancel = "Cancel", danger, unsaved, submit }) {
  const wrong = h("div", { role: "alert" });
  const close = () => dialog.close();
  const onsubmit = async (event) => {
    event.preventDefault();
    wrong.replaceChildren();
    first.disabled = true;
    try {
      await submit(form);
      dialog.close();
    } catch (error) {
      wrong.replaceChildren(h("div", { class: "notice bad" }, h("div", { class: "grow" }, reasons(error))));
    } finally {
      first.disabled = false;
    }
  };
  const first = h("button", { class: danger ? "danger" : "first" }, confirm);
  const form = h("form", { onsubmit, "data-unsaved": unsaved },
    h("h2", { id: "dialog-title" }, title), content, wrong,
    h("div", { class: "end" }, h("button", { type: "button", onclick: close }, cancel), first));
  const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** `ask` for a write: what was applied is told below the page. */
export function askAndWrite({ run, ...rest }) {
  const submit = async (form) => {
    try {
      const applied = await run(form);
      await act(async () => applied);
    } catch (error) {
      state.refresh();
      if (error.status !== 412) throw error;
      // The dialog was filled from what is no longer so: it closes, and the page behind it shows what is.
      toast("bad", `Nothing was changed: ${error.message}`);
    }
  };
  return ask({ ...rest, unsaved: true, submit });
}

/** Every state of a target, in the order in which they are counted, with its colour; what is not here is grey. */
const TONES = { ejected: "bad", unhealthy: "bad", draining: "warn", unchecked: "", healthy: "good" };

/** "1 unhealthy, 2 healthy" as badges, the worst first; `counts` by state. */
export function standingBadges(counts) {
  const rank = (word) => (Object.hasOwn(TONES, word) ? Object.keys(TONES).indexOf(word) : Object.keys(TONES).length);
  return Object.entries(counts).filter(([, number]) => number).sort(([one], [other]) => rank(one) - rank(other))
    .map(([word, number]) => badge(`${number} ${word}`, TONES[word] ?? ""));
}

/** What a target is: ejected before all that its checks say. */
export function standingOf(target) {
  return target.ejected_until_unix_ms ? "ejected" : target.health;
}

/** What requests have found of a target, where no check says anything. */
export function passive(target) {
  if (standingOf(target) !== "unchecked") return null;
  const recent = target.failures_recently;
  return h("span", { class: recent ? "small bad" : "small soft" },
    ` · ${recent ? `${plural(recent, "failure")} in 2m` : `${plural(target.failures, "failure")} since the start`}`);
}

export function standingBadge(word) {
  return badge(word, TONES[word] ?? "");
}

export function copyButton(text) {
  const onclick = async () => {
    try {
      await navigator.clipboard.writeText(text);
      announce("Copied");
      toast("good", "Copied.");
    } catch {
      toast("bad", "The browser did not allow copying; select the text instead.");
    }
  };
  return h("button", { class: "little", type: "button", onclick }, "Copy");
}
