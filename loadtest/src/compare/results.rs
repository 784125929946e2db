//! What was measured, and what it amounts to.
//!
//! Owns: the form of results.json, and the sums over rounds. Never: a figure of a run that had errors.
//! Tested here with made-up rounds.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde::Serialize;

use super::generator::{Found, Measured};
use super::machine::Machine;
use super::process::Memory;
use super::scenario::{Kind, Point, Scenario, Unit};
use super::statistics::{Spread, paired, spread};

/// Percentiles of the latency curves.
const PERCENTILES: [f64; 12] =
    [50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.8, 99.9, 99.95, 99.99, 100.0];

const BYTES_PER_GIBIBYTE: f64 = 1024.0 * 1024.0 * 1024.0;

/// Everything of one run of `compare`.
#[derive(Debug, Serialize)]
pub struct Results {
    /// The machine.
    pub machine: Machine,
    /// Rounds that were asked for.
    pub rounds: usize,
    /// Seconds that each measurement took.
    pub seconds: f64,
    /// Whether only the quick points were run.
    pub quick: bool,
    /// Who took part.
    pub candidates: Vec<Facts>,
    /// Who is not on this machine.
    pub absent: Vec<String>,
    /// What was measured.
    pub scenarios: Vec<ScenarioResult>,
    /// How long all of it took.
    pub took_seconds: f64,
}

/// Who took part.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// Name.
    pub name: String,
    /// Version, as the program says it.
    pub version: String,
    /// The program.
    pub program: String,
    /// How it keeps users with their targets.
    pub stickiness: String,
}

/// One scenario's results.
#[derive(Debug, Serialize)]
pub struct ScenarioResult {
    /// Name.
    pub name: String,
    /// A heading.
    pub title: String,
    /// What was done.
    pub about: String,
    /// What happened besides requests.
    pub kind: Kind,
    /// What processor time is divided by.
    pub unit: Unit,
    /// Its points.
    pub points: Vec<PointResult>,
}

/// One point's results.
#[derive(Debug, Serialize)]
pub struct PointResult {
    /// What was asked.
    pub point: Point,
    /// Requests per second that were asked for, in an open loop.
    pub rate: Option<f64>,
    /// By candidate, in the order of the candidates.
    pub cells: Vec<Cell>,
}

/// One candidate at one point.
#[derive(Debug, Default, Serialize)]
pub struct Cell {
    /// Its name.
    pub candidate: String,
    /// Why it took no part, if so.
    pub cannot: Option<String>,
    /// A sample for each round.
    pub samples: Vec<Sample>,
    /// What they amount to.
    pub summary: Summary,
    /// Latency by percentile, in microseconds, over all valid rounds.
    pub curve: Vec<(f64, f64)>,
}

/// One measurement.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sample {
    /// Its round.
    pub round: usize,
    /// Why it does not count, if so.
    pub invalid: Option<String>,
    /// µs per request, ms per GiB, or with clients who stay, KiB that each of them added.
    pub cost: Option<f64>,
    /// Processors that the balancer kept busy.
    pub processors: f64,
    /// Memory of the balancer's processes right after, or with all clients there who stay.
    pub memory: Memory,
    /// Their memory before clients came to stay.
    pub memory_before: Option<Memory>,
    /// What the generator found.
    pub found: Found,
}

/// What the valid samples amount to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// As [`Sample::cost`].
    pub cost: Option<Spread>,
    /// The reference's cost over this one's, of the same round: below 1, the reference costs less.
    pub reference_ratio: Option<Spread>,
    /// Responses per second.
    pub requests_per_second: Option<Spread>,
    /// Latency that half stay below, µs.
    pub p50_us: Option<Spread>,
    /// Latency that 99 of 100 stay below, µs.
    pub p99_us: Option<Spread>,
    /// Latency that 999 of 1000 stay below, µs.
    pub p999_us: Option<Spread>,
    /// Resident memory, bytes.
    pub resident_bytes: Option<Spread>,
    /// Proportional memory, bytes: all of it, with all clients there who stay.
    pub proportional_bytes: Option<Spread>,
    /// Proportional memory, bytes, before clients came to stay.
    pub proportional_before_bytes: Option<Spread>,
    /// Requests that failed, in all rounds.
    pub failed: u64,
    /// Responses from the wrong target, in all rounds.
    pub wrong_target: u64,
    /// Sessions that were moved, in all rounds.
    pub moves: u64,
    /// Requests of an open loop that were due and could not be sent, in all rounds: it was saturated.
    pub unsent: u64,
    /// Rounds that do not count.
    pub invalid_count: usize,
}

impl Sample {
    /// A sample of a loaded balancer.
    pub fn of_load(
        round: usize,
        may_move: bool,
        unit: Unit,
        measured: Measured,
        memory: Memory,
    ) -> Sample {
        let Measured { found, processors } = measured;
        let units_per_second = match unit {
            Unit::Request => found.requests_per_second,
            Unit::Gibibyte => {
                (found.bytes_in + found.bytes_out) as f64 / BYTES_PER_GIBIBYTE / found.seconds
            }
        };
        let scale = match unit {
            Unit::Request => 1e6,
            Unit::Gibibyte => 1e3,
        };
        let cost = processors * scale / units_per_second;
        let invalid = found.fault(may_move);
        let cost = cost.is_finite().then_some(cost);
        Sample { round, invalid, cost, processors, memory, memory_before: None, found }
    }

    /// A sample of a balancer before and after `clients` came to stay.
    pub fn of_idle(round: usize, clients: usize, before: Memory, after: Memory) -> Sample {
        let grown = after.proportional_bytes.saturating_sub(before.proportional_bytes);
        Sample {
            round,
            cost: Some(grown as f64 / 1024.0 / clients as f64),
            memory: after,
            memory_before: Some(before),
            ..Sample::default()
        }
    }

    /// A sample that could not be taken.
    pub fn failed(round: usize, why: String) -> Sample {
        Sample { round, invalid: Some(why), ..Sample::default() }
    }

    /// It does not count for this reason too.
    pub fn invalidate(&mut self, why: String) {
        self.invalid = Some(match self.invalid.take() {
            Some(before) => format!("{before}, {why}"),
            None => why,
        });
    }

    fn counts(&self) -> bool {
        self.invalid.is_none()
    }
}

impl Cell {
    /// Costs by round, of the rounds that count.
    fn costs(&self, rounds: usize) -> Vec<Option<f64>> {
        let at =
            |round| self.samples.iter().find(|sample| sample.round == round && sample.counts());
        (0..rounds).map(|round| at(round).and_then(|sample| sample.cost)).collect()
    }

    fn figures(&self, figure: impl Fn(&Sample) -> f64) -> Option<Spread> {
        self.known_figures(|sample| Some(figure(sample)))
    }

    fn known_figures(&self, figure: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        let counting = self.samples.iter().filter(|sample| sample.counts());
        spread(&counting.filter_map(figure).collect::<Vec<f64>>())
    }

    /// Sums up; `reference` has the reference's costs by round.
    fn sum_up(&mut self, reference: &[Option<f64>]) {
        let rounds = reference.len();
        let costs = self.costs(rounds);
        let known: Vec<f64> = costs.iter().copied().flatten().collect();
        self.summary = Summary {
            cost: spread(&known),
            reference_ratio: paired(reference, &costs),
            requests_per_second: self.figures(|sample| sample.found.requests_per_second),
            p50_us: self.figures(|sample| sample.found.latency_us.p50),
            p99_us: self.figures(|sample| sample.found.latency_us.p99),
            p999_us: self.figures(|sample| sample.found.latency_us.p999),
            resident_bytes: self.figures(|sample| sample.memory.resident_bytes as f64),
            proportional_bytes: self.figures(|sample| sample.memory.proportional_bytes as f64),
            proportional_before_bytes: self
                .known_figures(|sample| Some(sample.memory_before?.proportional_bytes as f64)),
            failed: self.samples.iter().map(|sample| sample.found.failed()).sum(),
            wrong_target: self.samples.iter().map(|sample| sample.found.wrong_target).sum(),
            moves: self.samples.iter().map(|sample| sample.found.moves).sum(),
            unsent: self.samples.iter().map(|sample| sample.found.unsent).sum(),
            invalid_count: self.samples.iter().filter(|sample| !sample.counts()).count(),
        };
        let histograms = self.samples.iter().filter(|sample| sample.counts());
        self.curve = curve(histograms.map(|sample| sample.found.histogram.as_str()));
    }

    /// This one's costs over another's, round by round.
    pub fn ratios_to(&self, other: &Cell) -> Vec<f64> {
        let rounds = self.samples.iter().map(|sample| sample.round + 1).max().unwrap_or(0);
        let (own, others) = (self.costs(rounds), other.costs(rounds));
        own.iter().zip(&others).filter_map(|(own, other)| Some((*own)? / (*other)?)).collect()
    }

    /// The first reason why a round does not count.
    pub fn fault(&self) -> Option<&str> {
        self.samples.iter().find_map(|sample| sample.invalid.as_deref())
    }
}

impl PointResult {
    /// Sums up every cell, against the first, which is the reference.
    pub fn sum_up(&mut self) {
        let last =
            self.cells.iter().flat_map(|cell| &cell.samples).map(|sample| sample.round + 1).max();
        let Some(reference) = self.cells.first() else { return };
        let reference = reference.costs(last.unwrap_or(0));
        for cell in &mut self.cells {
            cell.sum_up(&reference);
        }
    }

    /// The cheapest of those who are neither the reference nor the floor.
    pub fn best_peer(&self) -> Option<&Cell> {
        let cost = |cell: &Cell| cell.summary.cost.map(|cost| cost.median);
        self.cells
            .iter()
            .skip(1)
            .filter(|cell| cell.candidate != "floor" && cost(cell).is_some())
            .min_by(|a, b| cost(a).unwrap_or(f64::MAX).total_cmp(&cost(b).unwrap_or(f64::MAX)))
    }

    /// The cell of a candidate.
    pub fn cell(&self, name: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.candidate == name)
    }
}

impl ScenarioResult {
    /// A scenario with nothing measured yet.
    pub fn new(scenario: &Scenario) -> ScenarioResult {
        ScenarioResult {
            name: scenario.name.clone(),
            title: scenario.title.clone(),
            about: scenario.about.clone(),
            kind: scenario.kind,
            unit: scenario.unit,
            points: Vec::new(),
        }
    }

    /// What a cost of it is counted in.
    pub fn cost_unit(&self) -> &'static str {
        match (self.kind, self.unit) {
            (Kind::Idle, _) => "growth KiB/connection",
            (_, Unit::Request) => "CPU µs/request",
            (_, Unit::Gibibyte) => "CPU ms/GiB",
        }
    }
}

/// Latency by percentile of several histograms together; nothing when none of them can be read.
fn curve<'a>(encoded: impl Iterator<Item = &'a str>) -> Vec<(f64, f64)> {
    let mut sum: Option<Histogram<u64>> = None;
    for text in encoded {
        let Some(histogram) = decode(text) else { continue };
        match &mut sum {
            None => sum = Some(histogram),
            Some(sum) => {
                sum.auto(true);
                // Only a histogram of another range is refused, and this one grows.
                let _ = sum.add(histogram);
            }
        }
    }
    let Some(sum) = sum.filter(|sum| !sum.is_empty()) else { return Vec::new() };
    PERCENTILES
        .iter()
        .map(|&percentile| (percentile, sum.value_at_percentile(percentile) as f64))
        .collect()
}

fn decode(text: &str) -> Option<Histogram<u64>> {
    let bytes = STANDARD.decode(text).ok()?;
    Deserializer::new().deserialize(&mut Cursor::new(bytes)).ok()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::compare::scenario::choose;

    /// A sample with a cost and nothing else; an invalid one without.
    pub fn sample(round: usize, cost: Option<f64>) -> Sample {
        match cost {
            Some(_) => Sample { round, cost, ..Sample::default() },
            None => Sample::failed(round, "3 closed".to_owned()),
        }
    }

    /// A point with these costs by candidate and round.
    pub fn point(costs: &[(&str, &[Option<f64>])]) -> PointResult {
        let cell = |(name, costs): &(&str, &[Option<f64>])| Cell {
            candidate: (*name).to_owned(),
            samples: costs.iter().enumerate().map(|(round, cost)| sample(round, *cost)).collect(),
            ..Cell::default()
        };
        let mut point = PointResult {
            point: choose(&["small".to_owned()], false).unwrap().remove(0).points.remove(2),
            rate: None,
            cells: costs.iter().map(cell).collect(),
        };
        point.sum_up();
        point
    }

    #[test]
    fn ratios_are_paired_by_round_and_invalid_rounds_do_not_count() {
        let point = point(&[
            ("limpet", &[Some(10.0), Some(20.0), Some(30.0)]),
            ("haproxy", &[Some(20.0), None, Some(40.0)]),
            ("floor", &[Some(5.0), Some(5.0), Some(5.0)]),
        ]);
        let haproxy = &point.cell("haproxy").unwrap().summary;
        assert_eq!(haproxy.invalid_count, 1);
        let ratio = haproxy.reference_ratio.unwrap();
        assert_eq!((ratio.least, ratio.greatest, ratio.count), (0.5, 0.75, 2));
        assert_eq!(point.best_peer().unwrap().candidate, "haproxy");
        assert_eq!(point.cell("haproxy").unwrap().fault(), Some("3 closed"));
    }

    #[test]
    fn cost_is_processor_time_over_what_was_done() {
        let found = Found {
            responses: 10,
            echoed: 10,
            requests_per_second: 50_000.0,
            seconds: 2.0,
            bytes_in: 1 << 30,
            bytes_out: 1 << 30,
            ..Found::default()
        };
        let measured = Measured { found, processors: 0.5 };
        let request = Sample::of_load(0, false, Unit::Request, measured.clone(), Memory::default());
        assert_eq!(request.cost, Some(10.0));
        let gibibyte = Sample::of_load(0, false, Unit::Gibibyte, measured, Memory::default());
        assert_eq!(gibibyte.cost, Some(500.0));
    }

    #[test]
    fn what_each_client_added_stands_beside_the_whole() {
        let held = |mebibytes: u64| Memory {
            resident_bytes: mebibytes << 21,
            proportional_bytes: mebibytes << 20,
        };
        let mut cell = Cell::default();
        cell.samples.push(Sample::of_idle(0, 1024, held(10), held(14)));
        cell.sum_up(&[Some(1.0)]);
        let summary = &cell.summary;
        assert_eq!(summary.cost.unwrap().median, 4.0);
        assert_eq!(summary.proportional_before_bytes.unwrap().median, f64::from(10 << 20));
        assert_eq!(summary.proportional_bytes.unwrap().median, f64::from(14 << 20));
    }

    #[test]
    fn a_run_with_errors_is_invalid() {
        let errors = [("timeout".to_owned(), 1)].into();
        let found = Found {
            responses: 10,
            echoed: 10,
            requests_per_second: 1.0,
            errors,
            ..Found::default()
        };
        let measured = Measured { found, processors: 0.5 };
        let sample = Sample::of_load(0, false, Unit::Request, measured, Memory::default());
        assert_eq!(sample.invalid.as_deref(), Some("1 timeout"));
    }

    #[test]
    fn curves_are_of_all_rounds_together() {
        use hdrhistogram::serialization::{Serializer as _, V2Serializer};
        let encoded = |values: &[u64]| {
            let mut histogram = Histogram::<u64>::new(3).unwrap();
            for &value in values {
                histogram.record(value).unwrap();
            }
            let mut bytes = Vec::new();
            V2Serializer::new().serialize(&histogram, &mut bytes).unwrap();
            STANDARD.encode(bytes)
        };
        let both = [encoded(&[100; 60]), encoded(&[300; 40])];
        let curve = curve(both.iter().map(String::as_str));
        assert_eq!(curve[0].0, 50.0);
        assert!((curve[0].1 - 100.0).abs() < 1.0, "{curve:?}");
        assert!((curve[2].1 - 300.0).abs() < 1.0, "{curve:?}");
        assert!(super::curve(["", "not base64"].into_iter()).is_empty());
    }
}
