// The session-match warning: stickiness and the application's session do not end together, or nothing is kept.

import { at, write } from "./api.js";
import { h, select } from "./dom.js";
import { setting } from "./format.js";
import { state } from "./state.js";
import { act, noFileBecause } from "./ui.js";

function words(suggestion) {
  const { "stickiness.enabled": on, ...others } = suggestion;
  return [on ? "stickiness on" : "", ...Object.entries(others).map(([key, value]) => `${key.replace(/^stickiness\./, "").replaceAll("_", " ")} ${setting(value)}`)]
    .filter(Boolean).join(", ");
}

/** What is the matter, in three words. */
export function title({ kind }) {
  return kind === "not_sticky" ? "Sessions are not kept" : "Sessions do not match";
}

/** Each mismatch of a group with a button that applies what would fit, or puts it into a form with `fill`. */
export function matches(group, fill) {
  return group.session_matches.map((match, index) => {
    const keep = select([["overlay", "until restart"], ["file", "and write to the file"]], "overlay", { id: `match-keep-${index}` });
    const why = noFileBecause();
    if (why) {
      keep.querySelector("[value=file]").disabled = true;
      keep.title = why;
    }
    const onclick = fill ? () => fill(match.suggestion) : async () => {
      const chosen = document.getElementById(keep.id).value;
      const applied = await act(() => write("PATCH", at("groups", group.name), { set: match.suggestion, keep: chosen }));
      if (!applied) return;
      state.saved.set(group.name, { ...applied, at: Date.now() });
      state.reload();
    };
    return h("div", { class: "notice warn match", role: "group", "aria-label": `Session match of ${match.cookie}`, "data-key": match.cookie },
      h("span", { class: "badge warn" }, title(match)),
      h("div", { class: "grow" }, match.text),
      match.suggestion ? [h("button", { type: "button", class: "first apply-match", onclick }, `${fill ? "Use" : "Apply"}: ${words(match.suggestion)}`),
        fill ? null : h("label", { class: "row", for: keep.id }, h("span", { class: "hidden" }, "Keep the change"), keep)] : null);
  });
}
