//! Which faults met exchanges in which stages, and which cells of that table are impossible.

use std::fmt;

use crate::uring::simulated::{Fault, Faults, Stage};

/// A standard run meets each possible cell at least this often.
const ENOUGH: u32 = 50;

/// Impossible cells, and why.
const IMPOSSIBLE: [(&[Fault], &[Stage], &str); 5] = [
    (
        &[Fault::ShortSend],
        &[Stage::Head, Stage::Queue, Stage::Connect, Stage::Idle],
        "limpet sends nothing then",
    ),
    (
        &[Fault::NoBuffer],
        &[Stage::Head],
        "the rest of a head is received behind what has come of it",
    ),
    (
        &[Fault::NoSocket, Fault::Refused],
        &[
            Stage::Head,
            Stage::Content,
            Stage::Queue,
            Stage::Send,
            Stage::Response,
            Stage::Relay,
            Stage::Tunnel,
            Stage::Idle,
        ],
        "an exchange makes a socket only to connect",
    ),
    (
        &[Fault::TargetEnds, Fault::TargetResets],
        &[Stage::Head, Stage::Queue, Stage::Connect],
        "the exchange has no connection to a target yet; one that is kept is idle, one that fails is refused",
    ),
    (&[Fault::TargetStalls], &[Stage::Head, Stage::Queue], "nothing has been asked of a target"),
];

fn count(faults: &Faults, fault: Fault, stage: Stage) -> u32 {
    faults.get(&(fault, stage)).copied().unwrap_or_default()
}

fn why_not(fault: Fault, stage: Stage) -> Option<&'static str> {
    let found = IMPOSSIBLE
        .iter()
        .find(|(faults, stages, _)| faults.contains(&fault) && stages.contains(&stage));
    found.map(|(.., why)| *why)
}

/// Writes a row for each fault and a column for each stage; `-` marks an impossible cell.
pub(super) fn write(faults: &Faults, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{:>14}", "")?;
    for stage in Stage::ALL {
        write!(f, "{:>9}", format!("{stage:?}"))?;
    }
    writeln!(f)?;
    for fault in Fault::ALL {
        write!(f, "{:>14}", format!("{fault:?}"))?;
        for stage in Stage::ALL {
            match (count(faults, fault, stage), why_not(fault, stage)) {
                (0, Some(_)) => write!(f, "{:>9}", "-")?,
                (count, _) => write!(f, "{count:>9}")?,
            }
        }
        writeln!(f)?;
    }
    IMPOSSIBLE
        .iter()
        .try_for_each(|(faults, stages, why)| writeln!(f, "- {faults:?} in {stages:?}: {why}"))
}

/// Cells that were met too rarely, or were met although they are impossible.
pub(super) fn missed(faults: &Faults) -> Vec<String> {
    let cells = Fault::ALL.into_iter().flat_map(|fault| Stage::ALL.map(|stage| (fault, stage)));
    cells
        .filter_map(|(fault, stage)| {
            let count = count(faults, fault, stage);
            match why_not(fault, stage) {
                None if count < ENOUGH => {
                    Some(format!("{fault:?} in {stage:?} was met {count} times, not {ENOUGH}"))
                }
                Some(why) if count > 0 => {
                    Some(format!("{fault:?} in {stage:?} was met {count} times, and {why}"))
                }
                _ => None,
            }
        })
        .collect()
}
