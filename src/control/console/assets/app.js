// The frame around every page: loads once a second while somebody looks, shows the state of the connection,
// the warnings and a change that waits to be confirmed, and moves the focus from page to page.

import { ApiError, get, setToken, write } from "./api.js";
import { h, morph, notice, sentences } from "./dom.js";
import { left, sentence } from "./format.js";
import { link, route } from "./router.js";
import { announce, mayAll, state } from "./state.js";
import { act, ask, closeToasts } from "./ui.js";
import { isUnsaved, settle } from "./unsaved.js";

const EVERY_MS = 1000;
const BACK_OFF_MAX_MS = 15_000;

const main = document.getElementById("main");
const banners = document.getElementById("banners");
const waiting = document.getElementById("waiting");

let at = location.hash;
let current = route(at);
let loaded = null;
let shown = false;
let round = 0;
let failures = 0;
let timer = 0;
let asking = false;
let pendingSeen = null;

function connection(kind, text) {
  const place = document.getElementById("connection");
  place.dataset.state = kind;
  if (place.textContent !== text) place.textContent = text;
}

function show() {
  const content = current.page.view(loaded, current.parameters);
  const fresh = h("main", { id: "main" }, content);
  if (shown) morph(main, fresh);
  else main.replaceChildren(...fresh.childNodes);
  document.title = `${current.page.title(current.parameters)} · limpet`;
}

function showFirst() {
  const moved = document.activeElement === document.body || !document.activeElement?.closest("dialog");
  show();
  shown = true;
  if (current.visited && moved) main.querySelector("h1")?.focus({ preventScroll: true });
  if (current.parameters.part) document.getElementById(`card-${current.parameters.part}`)?.scrollIntoView();
}

/** A page with what it shows; null where it stands still (a form). One that cannot be loaded says why. */
async function loadPage(asked) {
  if (shown && asked.page.still) return null;
  try {
    return { current: asked, loaded: asked.page.load ? await asked.page.load(asked.parameters) : null };
  } catch (error) {
    if (!(error instanceof ApiError) || error.status === 0 || error.status === 401) throw error;
    const text = error.message;
    const title = asked.page.title(asked.parameters);
    return { current: { ...asked, page: { title: () => title, view: () => [h("h1", { tabindex: -1 }, title), notice("bad", text)] } }, loaded: null };
  }
}

async function tick() {
  clearTimeout(timer);
  if (document.hidden) {
    connection("paused", "Paused");
    return;
  }
  const mine = ++round;
  const began = performance.now();
  try {
    const [status, fresh] = await Promise.all([get("/v1/status"), loadPage(current)]);
    // Another page may have been opened meanwhile: this answer is about the one before.
    if (mine !== round) return;
    failures = 0;
    state.status = status.data;
    if (fresh) ({ current, loaded } = fresh);
    frame();
    if (!shown) showFirst();
    else if (fresh) show();
    timer = setTimeout(tick, Math.max(100, EVERY_MS - (performance.now() - began)));
  } catch (error) {
    if (mine === round) failed(error);
  }
}

function failed(error) {
  if (!(error instanceof ApiError)) {
    console.error(error);
    error = new ApiError(-1, { detail: "the console could not show the answer" });
  }
  if (error.status === 401) {
    askToken();
    return;
  }
  failures += 1;
  const wait = Math.min(BACK_OFF_MAX_MS, EVERY_MS * 2 ** (failures - 1));
  connection("lost", error.status === 0 ? "Not connected" : "Not up to date");
  const again = h("button", { class: "little", type: "button", onclick: tick }, "Try now");
  const text = `${sentence(error.message)} What is shown may be out of date. Next try in ${left(wait / 1000)}.`;
  morph(waiting, h("div", { id: "waiting", role: "region", "aria-label": "What cannot wait" },
    h("div", { class: "notice bad", role: failures === 1 ? "alert" : null, "data-key": "lost" }, h("div", { class: "grow" }, text), again)));
  timer = setTimeout(tick, wait);
}

function frame() {
  const { status } = state;
  const { config } = status;
  connection("live", "Live");
  const extra = [];
  if (config.overlay_edits) extra.push(" · ", h("a", { href: "#/config/overlay" }, `overlay ${config.overlay_edits}`));
  if (config.file_differs) extra.push(" · ", h("a", { href: "#/config/diff" }, "file differs"));
  morph(document.getElementById("version"), h("span", { id: "version", class: "soft" },
    h("span", { class: "when-wide" }, `limpet ${status.version} · `), `configuration ${config.version}`, extra));
  morph(waiting, h("div", { id: "waiting", role: "region", "aria-label": "What cannot wait" }, pendingBanner(config.pending)));
  morph(banners, h("div", { id: "banners", role: "region", "aria-label": "Notices" }, warnings(status.warnings)));
  const key = config.pending?.change ?? null;
  if (key !== null && key !== pendingSeen) announce(`A new configuration waits to be confirmed: ${left(config.pending.remaining)} left.`);
  pendingSeen = key;
}

function pendingBanner(pending) {
  if (!pending) return null;
  const send = (what) => () => act(() => write("POST", `/v1/config/${what}`, {}), { undo: false });
  return h("div", { class: "notice warn", id: "pending", "data-key": "pending" },
    h("div", { class: "grow" },
      h("strong", {}, "Not confirmed yet: goes back by itself in ", h("span", { class: "number", id: "pending-remaining" }, left(pending.remaining)), ". "),
      h("span", { class: "soft" }, `By ${pending.actor}: `), sentences(pending.summary)),
    mayAll() ? [h("button", { class: "first", type: "button", onclick: send("confirm") }, "Confirm"),
      h("button", { type: "button", onclick: send("rollback") }, "Roll back")] : h("span", { class: "soft" }, "Confirm with limpet ctl on the Unix socket."));
}

function warnings(list) {
  if (!list.length) return null;
  const content = list.length < 3 ? sentences(list)
    : h("details", {}, h("summary", {}, `${list.length} warnings`), sentences(list));
  return h("div", { class: "notice warn", id: "warnings", "data-key": "warnings" },
    h("span", { class: "badge warn" }, list.length === 1 ? "Warning" : "Warnings"), h("div", { class: "grow" }, content));
}

function askToken() {
  connection("lost", "Token needed");
  if (asking) return;
  asking = true;
  const input = h("input", { type: "password", id: "token", autocomplete: "off", required: true });
  const dialog = ask({
    title: "This limpet asks for a token",
    confirm: "Continue",
    content: h("div", { class: "field" }, h("label", { for: "token" }, "Token"), input,
      h("span", { class: "hint" }, "It stands as token in the [admin] section of the file, and is kept until this tab is closed. A browser with a client certificate that has a role there needs none.")),
    submit: async () => {
      setToken(input.value);
      await get("/v1/status").catch((error) => {
        throw error.status === 401 ? new ApiError(401, { detail: "This is not the token." }) : error;
      });
    },
  });
  dialog.addEventListener("close", () => {
    asking = false;
    tick();
  });
}

/** Another address: its page is shown, unless a form would lose what was entered and the operator stays. */
function navigate() {
  const wanted = location.hash;
  if (wanted === at) return;
  if (isUnsaved()) {
    history.replaceState(null, "", at);
    leave(wanted);
    return;
  }
  at = wanted;
  current = { ...route(at), visited: true };
  // What is open or was said belongs to the page before.
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  closeToasts();
  start();
  scrollTo(0, 0);
}

function leave(wanted) {
  if (document.getElementById("leave")) return;
  ask({
    title: "Leave without saving?", confirm: "Leave", cancel: "Stay", danger: true,
    content: h("p", { id: "leave" }, "What was entered here has not been saved and is lost then."),
    submit: async () => {
      for (const form of document.querySelectorAll("form[data-unsaved]")) settle(form);
      history.replaceState(null, "", wanted);
      navigate();
    },
  });
}

function start() {
  shown = false;
  loaded = null;
  for (const anchor of document.querySelectorAll("#nav a")) {
    const of = route(anchor.getAttribute("href")).section;
    if (of === current.section) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  tick();
}

function theme() {
  const choice = document.getElementById("theme");
  choice.value = document.documentElement.dataset.theme;
  choice.addEventListener("change", () => {
    document.documentElement.dataset.theme = choice.value;
    try {
      localStorage.setItem("limpet-theme", choice.value);
    } catch {
      // Storage is forbidden: the choice lasts as long as the page.
    }
  });
}

state.refresh = tick;
state.redraw = () => shown && show();
state.reload = () => {
  shown = false;
  tick();
};
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.querySelector("h1")?.focus();
});
addEventListener("hashchange", navigate);
addEventListener("beforeunload", (event) => {
  if (isUnsaved()) event.preventDefault();
});
document.addEventListener("visibilitychange", tick);
theme();
if (!at) {
  history.replaceState(null, "", link());
  at = location.hash;
}
start();
