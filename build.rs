//! Tells the program which commit it was made from, for `limpet --version`.
//!
//! What is built outside of a clone has none, unless whoever packages it sets LIMPET_COMMIT. Tested by
//! `tests/config_commands.rs`.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=LIMPET_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let version = env!("CARGO_PKG_VERSION");
    let given = env::var("LIMPET_COMMIT").ok().filter(|commit| !commit.is_empty());
    let version = match given.or_else(commit) {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    };
    println!("cargo::rustc-env=LIMPET_VERSION={version}");
}

/// The commit that is checked out, if this folder is the top of a clone: sources that were unpacked
/// inside of somebody else's clone are not of its commits.
fn commit() -> Option<String> {
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().ok()?;
    if Path::new(&top).canonicalize().ok()? != here {
        return None;
    }
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--path-format=absolute", "--git-path", name])?;
        // Cargo takes a file that is not there for one that has changed; its folder changes when it is made, as that of
        // a branch whose name git had packed is by the next commit.
        if let Some(there) = Path::new(&path).ancestors().find(|path| path.exists()) {
            println!("cargo::rerun-if-changed={}", there.display());
        }
    }
    git(&["rev-parse", "--short=10", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    // Nothing of the clone is run or obeyed, so it need not belong to whoever builds.
    let output =
        Command::new("git").args(["-c", "safe.directory=*"]).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    let line = text.trim();
    (!line.is_empty()).then(|| line.to_owned())
}
