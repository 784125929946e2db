//! What the machine is that the figures are of.
//!
//! Owns: facts for the report. Never: a figure of merit. Tested here on the machine of the test.

use std::fs;
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;

use super::cores::Cores;

/// Facts about the machine and the run.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Kernel and its version.
    pub kernel: String,
    /// Model of the processor.
    pub processor: String,
    /// Cores that there are.
    pub cores: usize,
    /// Memory in GiB.
    pub memory_gibibytes: f64,
    /// The operating system.
    pub system: String,
    /// Who ran on which core.
    pub pinning: Cores,
    /// What governs the frequency, where that can be read.
    pub governor: String,
    /// When it began, UTC.
    pub date: String,
    /// The commit of the working tree, when there is one.
    pub commit: String,
    /// How many processes wanted to run when it began, as `/proc/loadavg` says.
    pub load_before: String,
}

/// Reads the facts.
pub fn facts(pinning: &Cores) -> Machine {
    let cpuinfo = text("/proc/cpuinfo");
    let memory: f64 = field(&text("/proc/meminfo"), "MemTotal")
        .split_whitespace()
        .next()
        .and_then(|kibibytes| kibibytes.parse().ok())
        .unwrap_or(0.0);
    Machine {
        kernel: format!("Linux {}", text("/proc/sys/kernel/osrelease").trim()),
        processor: field(&cpuinfo, "model name"),
        cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
        memory_gibibytes: (memory / 1024.0 / 1024.0 * 10.0).round() / 10.0,
        system: text("/etc/os-release")
            .lines()
            .find_map(|line| line.strip_prefix("PRETTY_NAME="))
            .map_or_else(|| "unknown".to_owned(), |name| name.trim_matches('"').to_owned()),
        pinning: pinning.clone(),
        governor: match text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").trim() {
            "" => "not visible".to_owned(),
            governor => governor.to_owned(),
        },
        date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        commit: said("git", &["describe", "--always", "--dirty"]),
        load_before: text("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
    }
}

/// Lets this process and those it starts open as many files as the system allows; that many.
pub fn raise_descriptors() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    // Some programs close every descriptor up to the limit when they start.
    let wanted = hard.min(65_536).max(soft);
    match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) => wanted,
        Err(_) => soft,
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn field(text: &str, name: &str) -> String {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

fn said(program: &str, arguments: &[&str]) -> String {
    let said = Command::new(program).args(arguments).output();
    match said {
        Ok(said) if said.status.success() => {
            String::from_utf8_lossy(&said.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_kernel_cores_and_memory() {
        let pinning = Cores { balancer: vec![0], generator: vec![1], targets: vec![1] };
        let facts = facts(&pinning);
        assert!(facts.kernel.len() > "Linux ".len() && facts.cores > 0);
        assert!(facts.memory_gibibytes > 0.0);
        assert!(facts.date.starts_with("20"), "{}", facts.date);
    }

    #[test]
    fn fields_are_found_by_name() {
        assert_eq!(field("processor : 0\nmodel name\t: A B\n", "model name"), "A B");
        assert_eq!(field("", "model name"), "unknown");
    }
}
