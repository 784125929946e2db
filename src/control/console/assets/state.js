// What all pages share: the last status of the process, and how to ask for what is shown to be renewed.

export const state = {
  /** GET /v1/status, or null before the first answer. */
  status: null,
  /** What was saved last in each group: {change, at, summary, notes}. */
  saved: new Map(),
  /** Loads and shows again now; set by app.js. */
  refresh: () => {},
  /** Shows again what is loaded; set by app.js. */
  redraw: () => {},
  /** Builds the page anew from fresh data; set by app.js. */
  reload: () => {},
};

/** Whether this page may change everything, or attributes of groups and targets only. */
export function mayAll() {
  return state.status?.may_change !== "attributes";
}

export const WHY_NOT_ALL = "Attributes of groups and targets are changed here; everything else needs limpet ctl on the Unix socket (admin.socket), " +
  "a token (admin.token), or a client certificate with the role \"everything\" (admin.tls.role).";

/** Says something to screen readers without moving the focus. */
export function announce(text) {
  document.getElementById("live").textContent = text;
}
