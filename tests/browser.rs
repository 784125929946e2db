//! The console in a real browser.
use chromiumoxide as _;
