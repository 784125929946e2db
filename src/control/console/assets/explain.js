// Why would this request go there? Paste a request or a cookie and see every step.

import { get, write } from "./api.js";
import { badge, card, field, h, notice, select } from "./dom.js";
import { link } from "./router.js";
import { announce } from "./state.js";
import { reasons } from "./ui.js";

const REQUEST_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ \S+( HTTP\/\d(\.\d)?)?$/;
const FIELD_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:/;

/** What was pasted as {request, headers}: a whole request, field lines alone, or the value of a cookie. Pure. */
export function understand(text) {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const end = lines.findIndex((line, index) => index > 0 && line === "");
  const head = (end < 0 ? lines : lines.slice(0, end)).filter(Boolean);
  let request = "GET /";
  if (REQUEST_LINE.test(head[0] ?? "")) request = head.shift().replace(/ HTTP\/\S+$/, "");
  else if ((head[0] ?? "").startsWith("/")) request = `GET ${head.shift()}`;
  const headers = head.map((line) => (FIELD_LINE.test(line) || !line.includes("=") ? line : `Cookie: ${line}`));
  return { request, headers };
}

async function load() {
  return (await get("/v1/rules")).data;
}

function view({ listeners }) {
  const text = h("textarea", { name: "request", rows: 8, spellcheck: "false", autocomplete: "off",
    placeholder: "GET /account HTTP/1.1\nHost: www.example.com\nCookie: limpet_app=…" });
  const source = h("input", { type: "text", name: "source", value: "127.0.0.1", autocomplete: "off" });
  const listener = select([["", "The first"], ...listeners.map((one) => [one.name, `${one.name} (${one.address})`])], "", { name: "listener" });
  const answer = h("div", { id: "answer", class: "answer" });
  const onsubmit = async (event) => {
    event.preventDefault();
    const question = { ...understand(text.value), listener: listener.value || null, source: source.value.trim() || "127.0.0.1" };
    try {
      const explanation = await write("POST", "/v1/explain", question);
      answer.replaceChildren(explained(question, explanation));
      announce(`Explained: ${words(explanation.outcome)}`);
    } catch (error) {
      answer.replaceChildren(h("div", { role: "alert" }, notice("bad", reasons(error))));
    }
  };
  return [
    h("div", { class: "head" }, h("h1", { tabindex: -1 }, "Explain")),
    card("A request, or a cookie", { id: "question" }, h("form", { class: "body", onsubmit, "aria-labelledby": "question" },
      field({ id: "request", label: "Request", wide: true, input: text,
        hint: "A request line and field lines as curl -v shows them, a path alone, or only a cookie (limpet_app=…) or a field line (Mcp-Session-Id: …). Nothing is sent to a target." }),
      h("div", { class: "fields" },
        field({ id: "listener", label: "Listener", input: listener }),
        field({ id: "source", label: "Client address", input: source })),
      h("div", {}, h("button", { class: "first" }, "Explain")))),
    answer,
  ];
}

function words({ kind, group, target, status }) {
  const to = { forward: `forwarded to ${group}`, redirect: "redirected", respond: "answered by limpet", refused: "refused" }[kind];
  return [to, target && `target ${target}`, status && `status ${status}`].filter(Boolean).join(", ");
}

function explained({ request, headers }, { steps, outcome }) {
  // A forward with a status found no target that takes it.
  const fails = outcome.kind === "forward" && outcome.status !== null;
  const tone = fails ? "bad" : { forward: "good", refused: "bad" }[outcome.kind] ?? "";
  const fact = (name, value) => (value === null || value === undefined ? null : h("div", {}, h("dt", {}, name), h("dd", {}, value)));
  return card("What would happen", { id: "explained", notes: badge(fails ? `no target: ${outcome.status}` : outcome.kind, tone) },
    h("div", { class: "body" },
      h("p", {}, h("code", {}, request), headers.length ? ` with ${headers.length === 1 ? "1 field line" : `${headers.length} field lines`}` : ""),
      h("dl", { class: "attributes" },
        fact("Listener", outcome.listener), fact("Rule", outcome.rule),
        fact("Target group", outcome.group && h("a", { href: link("groups", outcome.group) }, outcome.group)),
        fact("Target", outcome.target ?? (fails ? "none" : outcome.kind === "forward" ? "chosen by the algorithm" : null)),
        fact("Sticky verdict", outcome.sticky_reason), fact("Status", outcome.status)),
      h("ol", { class: "steps" }, steps.map((step) => h("li", {}, h("b", {}, step.label), h("span", {}, step.text))))));
}

export const explain = { title: () => "Explain", load, view, still: true };
