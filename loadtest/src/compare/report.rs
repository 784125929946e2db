//! The report: RESULTS.md, results.json, the plots, and the configurations that were measured.
//!
//! Owns: the files in the output folder. Never: a file of another run left beside them. Tested here with
//! made-up results.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::Failure;
use super::plots;
use super::results::{PointResult, Results, ScenarioResult};
use super::scenario::Kind;
use super::stage::Candidate;
use super::table::{sentence, table};

/// Writes the report of a run.
///
/// # Errors
/// When a file cannot be written or a plot not drawn.
pub fn write(results: &Results, out: &Path) -> Result<(), Failure> {
    let plots = plots::draw(results, out)?;
    let json = serde_json::to_string_pretty(results)
        .map_err(|error| Failure::File { path: out.join("results.json"), error: error.into() })?;
    save(&out.join("results.json"), &json)?;
    save(&out.join("RESULTS.md"), &markdown(results, &plots))
}

fn save(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::File { path: path.to_path_buf(), error })
}

/// Copies what the candidates were configured with, so that anyone can read and better it.
///
/// # Errors
/// When a file cannot be copied.
pub fn keep_configurations(
    work: &Path,
    candidates: &[Candidate],
    out: &Path,
) -> Result<(), Failure> {
    for candidate in candidates {
        let folder = out.join(&candidate.name);
        for template in candidate.peer.templates {
            let from = work.join(&candidate.name).join(template.file);
            if !from.exists() {
                // It takes no part.
                continue;
            }
            fs::create_dir_all(&folder)
                .and_then(|()| fs::copy(&from, folder.join(template.file)))
                .map_err(|error| Failure::File { path: from, error })?;
        }
    }
    Ok(())
}

/// A point's label, with the rate where one was asked for.
pub fn heading(point: &PointResult) -> String {
    match point.rate {
        Some(rate) => format!("{}, {rate:.0} requests per second", point.point.label),
        None => point.point.label.clone(),
    }
}

fn markdown(results: &Results, plots: &[String]) -> String {
    let mut text = String::from("# Measured side by side\n\n");
    // Writing into a String cannot fail, here and below.
    let _ = writeln!(text, "{}", introduction(results));
    machine(results, &mut text);
    candidates(results, &mut text);
    if !plots.is_empty() {
        text.push_str("## Plots\n\n");
        for plot in plots {
            let _ = writeln!(text, "![{plot}]({plot}.svg)\n");
        }
    }
    for scenario in &results.scenarios {
        section(scenario, &mut text);
    }
    text
}

fn introduction(results: &Results) -> String {
    let length = if results.quick { "A quick run" } else { "A run" };
    format!(
        "{length} of `loadtest compare`, {}: {} rounds of {} s in which the candidates alternate. Figures are \
         medians over the rounds, least and greatest in brackets; ratios are of figures of the same round. \
         CPU is the time that all threads of all processes of a balancer spent on a processor, kernel \
         included. A round with any error does not count and is marked INVALID. Figures of different runs \
         must not be compared: machines are noisy, and only inside one run the noise is shared.\n\n\
         The run took {:.0} minutes.\n",
        results.machine.date,
        results.rounds,
        results.seconds,
        (results.took_seconds / 60.0).ceil()
    )
}

fn machine(results: &Results, text: &mut String) {
    let machine = &results.machine;
    let pinning = &machine.pinning;
    let _ = writeln!(
        text,
        "## The machine\n\n| | |\n|---|---|\n| processor | {} |\n| cores | {} |\n| memory | {} GiB |\n| kernel | {} |\n\
         | system | {} |\n| frequency governor | {} |\n| limpet's commit | {} |\n| load average before | {} |\n\
         | pinning | balancer alone on core {:?}, generator on {:?}, targets on {:?} |\n",
        machine.processor,
        machine.cores,
        machine.memory_gibibytes,
        machine.kernel,
        machine.system,
        machine.governor,
        machine.commit,
        machine.load_before,
        pinning.balancer,
        pinning.generator,
        pinning.targets
    );
}

fn candidates(results: &Results, text: &mut String) {
    text.push_str("## The candidates\n\nEach with one worker per core given, access log, X-Forwarded-For, kept connections to targets and:\n\n");
    text.push_str("| candidate | version | stickiness |\n|---|---|---|\n");
    for facts in &results.candidates {
        let _ = writeln!(text, "| {} | {} | {} |", facts.name, facts.version, facts.stickiness);
    }
    for name in &results.absent {
        let _ = writeln!(text, "| {name} | absent from this machine | |");
    }
    text.push_str(
        "\n`floor` is a bare relay that reads nothing: what the kernel alone costs. The configurations are in \
         `configurations/`, their templates in `loadtest/peers/`.\n\n",
    );
}

fn section(scenario: &ScenarioResult, text: &mut String) {
    let _ = writeln!(text, "## {}\n\n{}\n", scenario.title, scenario.about);
    for point in &scenario.points {
        let _ = writeln!(text, "### {}\n\n{}", heading(point), table(scenario, point).markdown());
        if let Some(sentence) = sentence(point) {
            let _ = writeln!(text, "{sentence}\n");
        }
    }
    if let Some(growth) = growth(scenario) {
        let _ = writeln!(text, "{growth}\n");
    }
}

/// How cost grew from the first point to the last, where that is the question.
fn growth(scenario: &ScenarioResult) -> Option<String> {
    let (first, last) = (scenario.points.first()?, scenario.points.last()?);
    let asked = (first.point.targets, first.point.rules) != (last.point.targets, last.point.rules);
    if !asked || scenario.kind != Kind::Load {
        return None;
    }
    let parts: Vec<String> = first
        .cells
        .iter()
        .zip(&last.cells)
        .filter_map(|(one, other)| {
            let (one, other) = (one.summary.cost?, other.summary.cost.map(|cost| (other, cost))?);
            let percent = (other.1.median / one.median - 1.0) * 100.0;
            Some(format!("{} {percent:+.0} %", other.0.candidate))
        })
        .collect();
    let (from, to) = (&first.point.label, &last.point.label);
    (!parts.is_empty()).then(|| format!("From {from} to {to}, cost changed: {}.", parts.join(", ")))
}

#[cfg(test)]
pub mod tests {
    use super::super::cores::Cores;
    use super::super::machine;
    use super::super::results::Facts;
    use super::super::results::tests::point;
    use super::super::scenario::choose;
    use super::*;

    /// Results of a run that never was.
    pub fn results() -> Results {
        let pinning = Cores { balancer: vec![0], generator: vec![1], targets: vec![1] };
        let facts = |name: &str| Facts {
            name: name.to_owned(),
            version: "1.0".to_owned(),
            program: "/bin/false".to_owned(),
            stickiness: "none".to_owned(),
        };
        let mut scenario = ScenarioResult::new(&choose(&["targets".to_owned()], false).unwrap()[0]);
        for (label, targets, cost) in [("1 target", 1, 20.0), ("1000 targets", 1000, 21.0)] {
            let mut point = point(&[
                ("limpet", &[Some(10.0), Some(10.0)]),
                ("nginx", &[Some(cost), Some(cost)]),
                ("floor", &[None, None]),
            ]);
            point.point.label = label.to_owned();
            point.point.targets = targets;
            for (shift, cell) in point.cells.iter_mut().enumerate() {
                cell.curve =
                    [50.0, 90.0, 99.0, 99.9].map(|p| (p, p * (1.0 + shift as f64))).to_vec();
            }
            scenario.points.push(point);
        }
        Results {
            machine: machine::facts(&pinning),
            rounds: 2,
            seconds: 1.0,
            quick: true,
            candidates: ["limpet", "nginx", "floor"].map(facts).to_vec(),
            absent: vec!["sozu".to_owned()],
            scenarios: vec![scenario],
            took_seconds: 61.0,
        }
    }

    #[test]
    fn the_report_names_machine_versions_the_absent_and_growth() {
        let text = markdown(&results(), &["cpu".to_owned()]);
        for part in [
            "| nginx | 1.0 | none |",
            "| sozu | absent from this machine | |",
            "| kernel | Linux ",
            "![cpu](cpu.svg)",
            "### 1000 targets",
            "nginx +5 %",
            "INVALID 2 of 2",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }

    #[test]
    fn all_files_are_written_and_the_json_is_read_back() {
        let out = std::env::temp_dir().join(format!("compare-report-{}", std::process::id()));
        fs::create_dir_all(&out).unwrap();
        write(&results(), &out).unwrap();
        let json: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(out.join("results.json")).unwrap()).unwrap();
        let cell = &json["scenarios"][0]["points"][0]["cells"][1];
        assert_eq!(cell["candidate"], "nginx");
        assert_eq!(cell["summary"]["reference_ratio"]["median"], 0.5);
        assert!(fs::metadata(out.join("RESULTS.md")).unwrap().len() > 500);
        fs::remove_dir_all(out).unwrap();
    }
}
