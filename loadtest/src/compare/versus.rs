//! `compare --self A B`: two limpet binaries against each other, to judge a change.
//!
//! Owns: the verdict. Never: one that chance would give as well. Tested here with made-up rounds.

use std::path::PathBuf;

use super::Failure;
use super::peers::LIMPET;
use super::results::{PointResult, Results};
use super::stage::Candidate;
use super::statistics::{Verdict, judge};
use super::table::with_spread;

/// Both binaries: A is the reference.
///
/// # Errors
/// When there are not two files.
pub fn candidates(pair: &[PathBuf]) -> Result<Vec<Candidate>, Failure> {
    let one = |(name, path): (&str, &PathBuf)| {
        let program =
            path.canonicalize().map_err(|error| Failure::File { path: path.clone(), error })?;
        let version = LIMPET.version(&program);
        Ok(Candidate { name: name.to_owned(), peer: LIMPET, program, version })
    };
    ["A", "B"].into_iter().zip(pair).map(one).collect()
}

/// What the rounds say, a line for each point.
pub fn verdicts(results: &Results) -> String {
    let mut text = String::from("\nB against A:\n");
    for scenario in &results.scenarios {
        for point in &scenario.points {
            let line = line(point).unwrap_or_else(|| "no valid pair of rounds".to_owned());
            text.push_str(&format!("{}, {}: {line}\n", scenario.name, point.point.label));
        }
    }
    text
}

fn line(point: &PointResult) -> Option<String> {
    let (a, b) = (point.cells.first()?, point.cells.get(1)?);
    let ratios = b.ratios_to(a);
    let spread = super::statistics::spread(&ratios)?;
    let (verdict, chance) = judge(&ratios);
    let words = match verdict {
        Verdict::Less => "B costs less",
        Verdict::More => "B costs more",
        Verdict::Unproven => "not told apart",
    };
    Some(format!(
        "B ÷ A {} over {} rounds: {words} (sign test, {:.1} % by chance)",
        with_spread(spread, 3),
        ratios.len(),
        chance * 100.0
    ))
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::point;
    use super::*;

    #[test]
    fn eight_rounds_on_one_side_are_a_verdict() {
        let point = point(&[("A", &[Some(10.0); 8]), ("B", &[Some(9.5); 8])]);
        let line = line(&point).unwrap();
        assert!(
            line.starts_with("B ÷ A 0.950 [0.950 to 0.950] over 8 rounds: B costs less"),
            "{line}"
        );
    }

    #[test]
    fn rounds_on_both_sides_are_none() {
        let b: Vec<_> = (0..8).map(|round| Some(if round % 2 == 0 { 9.0 } else { 11.0 })).collect();
        let point = point(&[("A", &[Some(10.0); 8]), ("B", &b)]);
        assert!(line(&point).unwrap().contains("not told apart"));
    }

    #[test]
    fn a_binary_that_is_not_there_is_named() {
        let error = candidates(&["/no/such/limpet".into(), "/bin/sh".into()]).unwrap_err();
        assert!(error.to_string().contains("/no/such/limpet"));
    }
}
