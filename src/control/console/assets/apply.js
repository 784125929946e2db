// Applying a new configuration: paste it, see what it would change, and let it go back by itself unless confirmed.

import { write } from "./api.js";
import { differenceList } from "./config.js";
import { field, h, notice, select, sentences } from "./dom.js";
import { plural } from "./format.js";
import { announce, mayAll, state } from "./state.js";
import { keepChoice, reasons, toast } from "./ui.js";

const CONFIRM = [["30s", "30 seconds"], ["60s", "1 minute"], ["5m", "5 minutes"], ["", "at once, without"]];

function refused(error) {
  return h("div", { role: "alert" }, notice("bad", reasons(error)));
}

/** The form stands while the page is polled: what was pasted is not touched. */
export function apply(loaded) {
  const text = h("textarea", { name: "text", rows: 18, spellcheck: "false", autocomplete: "off", required: true });
  const result = h("div", { id: "result" });
  const compare = async (event) => {
    event.preventDefault();
    result.replaceChildren();
    try {
      const { differences } = await write("POST", "/v1/config/diff", { text: text.value });
      // What was compared with is what may be replaced; a change in between refuses the apply.
      const etag = `"${state.status.config.version}"`;
      const lost = differences.filter((one) => one.kind === "lost");
      const others = differences.filter((one) => one.kind !== "lost");
      result.replaceChildren(h("h2", {}, "What it would change"), ...whatIsLost(lost), differenceList(others), differences.length ? decide(text, etag, result) : "");
      announce(`${plural(others.length, "difference")}${lost.length ? `; ${plural(lost.length, "edit")} made at run time would be lost` : ""}`);
    } catch (error) {
      result.replaceChildren(refused(error));
    }
  };
  const startFrom = (of) => () => {
    text.value = of;
    // What was put there is no work of the operator's.
    text.defaultValue = of;
    result.replaceChildren();
    text.focus();
  };
  const hasFile = loaded.file !== null && (loaded.file !== loaded.running);
  return h("form", { class: "card", "data-hold": "apply", "data-unsaved": true, "aria-label": "Apply a new configuration", onsubmit: compare }, h("div", { class: "body" },
    field({ id: "new-text", label: "New configuration", wide: true, input: text,
      hint: "The whole file in TOML. Nothing changes before you have seen what would. A secret that is shown as … stays as it is." }),
    h("div", { class: "row" }, h("button", { class: "first" }, "Show what would change"),
      h("button", { type: "button", onclick: startFrom(loaded.running) }, "Start from what runs"),
      hasFile ? h("button", { type: "button", onclick: startFrom(loaded.file) }, loaded.overlay.length ? "Start from the file, without the overlay" : "Start from the file") : null),
    result));
}

/** Edits on top of the file that the text does not have: said before anything else, for nobody sees them in the file. */
function whatIsLost(lost) {
  if (!lost.length) return [];
  return [h("div", { role: "alert", id: "lost" }, notice("bad", [
    h("strong", {}, `${plural(lost.length, "edit")} made at run time would be lost. `),
    h("ul", {}, lost.map((one) => h("li", {}, one.text)))]))];
}

function decide(text, etag, result) {
  if (!mayAll()) return "";
  const confirm = select(CONFIRM, "60s", { name: "confirm" });
  const applied = text.value;
  const onclick = async (event) => {
    const keep = event.target.closest("form").elements.keep.value;
    try {
      const { summary, notes } = await write("POST", "/v1/config/apply", { text: applied, confirm: confirm.value || null, keep }, etag);
      if (text.value === applied) text.defaultValue = applied;
      result.replaceChildren(notice("good", [h("strong", {}, confirm.value ? "Applied; waits to be confirmed above. " : "Applied. "), sentences([...summary, ...notes])]));
      state.refresh();
    } catch (error) {
      if (error.status === 412) result.replaceChildren(refused(error), h("p", {}, "Compare once more to see what it would change now."));
      else toast("bad", reasons(error));
    }
  };
  return h("div", { class: "row" },
    field({ id: "confirm", label: "Goes back unless confirmed within", input: confirm }),
    keepChoice("Write to the file when confirmed"),
    h("button", { type: "button", class: "first", id: "apply", onclick }, "Apply"));
}
