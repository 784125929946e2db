//! The console in a real browser: the whole stickiness story by clicking, the session-match warning, a drain,
//! explain, a refused edit, no request to any other host, and an audit of every page's accessibility.
//!
//! Owns: what a reader of the console sees and clicks. Never: what the admin API answers, which has tests of its
//! own. Drives Chromium over its DevTools protocol against the real program.
//!
//! - `LIMPET_CHROMIUM`: the browser; else `chromium` and its like are looked for in `PATH`.
//! - `LIMPET_AXE`: the file `axe.min.js` of the npm package axe-core, for the audit.
//! - `LIMPET_REQUIRE_BROWSER=1`: what is missing fails; without it the tests are skipped and say so.
//! - `LIMPET_CONSOLE_URL`: a console that runs already, in place of one started by each test.
//!
//! Pictures of what was seen are left in `target/browser/`.

mod actions;
mod audit;
#[path = "../tls/authority.rs"]
mod authority;
mod cancelling;
mod certificates;
mod figures;
mod file;
mod keyboard;
mod leaving;
mod match_warning;
mod modules;
mod pages;
mod server;
mod session_field;
mod stage;
mod story;
mod tab;
mod token;
mod trouble;
