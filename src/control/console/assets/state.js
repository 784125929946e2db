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

/** Says something to screen readers without moving the focus. */
export function announce(text) {
  document.getElementById("live").textContent = text;
}
