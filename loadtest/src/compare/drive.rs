//! Runs the plan: setup by setup, point by point, round by round, candidate by candidate.
//!
//! Owns: who is measured when, and what happens meanwhile. Never: two balancers loaded at a time. Tested
//! by `tests/compare.rs` with limpet and the floor.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Failure;
use super::ending::Folder;
use super::generator::Load;
use super::machine::Machine;
use super::plan::Plan;
use super::process::memory_of;
use super::proof::{Awaited, Proof};
use super::results::{Cell, Facts, PointResult, Results, Sample, ScenarioResult};
use super::scenario::{Kind, Point, Scenario, Setup, Unit};
use super::stage::{Candidate, Rig, Running, Targets};
use super::{idle, report, table};

/// One run of the harness.
#[derive(Debug)]
pub struct Drive<'a> {
    plan: &'a Plan,
    candidates: &'a [Candidate],
    rig: &'a Rig,
    /// For everything that is not the report. Sockets are bound in it, whose paths may not be long.
    work: Folder,
    out: &'a Path,
}

/// One load: what it asks, how fast and for how long, and what happens meanwhile.
#[derive(Debug)]
struct Run<'a> {
    kind: Kind,
    /// What its cost is counted by.
    unit: Unit,
    point: &'a Point,
    /// Requests per second; `None` = as fast as they are answered.
    rate: Option<f64>,
    seconds: f64,
    warmup_seconds: f64,
}

/// Where a candidate stands in a setup: it runs, or it said why not.
type Place = Result<Running, String>;

/// Who takes part in a setup.
struct Cast {
    targets: Targets,
    /// One for each candidate.
    places: Vec<Place>,
}

impl<'a> Drive<'a> {
    /// Makes the folders.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn new(
        plan: &'a Plan,
        candidates: &'a [Candidate],
        rig: &'a Rig,
        out: &'a Path,
    ) -> Result<Drive<'a>, Failure> {
        let work = Folder::new("compare")?;
        fs::create_dir_all(out)
            .map_err(|error| Failure::File { path: out.to_path_buf(), error })?;
        Ok(Drive { plan, candidates, rig, work, out })
    }

    /// Runs everything.
    ///
    /// # Errors
    /// When the harness fails; what fails of a candidate is in the results.
    pub fn run(&self, machine: Machine, absent: Vec<String>) -> Result<Results, Failure> {
        let began = Instant::now();
        let mut results = Results {
            machine,
            rounds: self.plan.rounds,
            seconds: self.plan.seconds,
            quick: self.plan.quick,
            candidates: self.candidates.iter().map(facts).collect(),
            absent,
            scenarios: self.plan.scenarios.iter().map(ScenarioResult::new).collect(),
            took_seconds: 0.0,
        };
        for (index, setup) in self.plan.setups().into_iter().enumerate() {
            self.run_setup(index, setup, &mut results)?;
        }
        for (scenario, result) in self.plan.scenarios.iter().zip(&mut results.scenarios) {
            if scenario.kind == Kind::Idle {
                for point in &scenario.points {
                    result.points.push(self.run_idle(scenario, point)?);
                    announce(result);
                }
            }
            // Setups are run as they come; the report has a scenario's points in its file's order.
            let place = |label: &str| scenario.points.iter().position(|point| point.label == label);
            result.points.sort_by_key(|point| place(&point.point.label));
        }
        results.took_seconds = began.elapsed().as_secs_f64();
        Ok(results)
    }

    fn run_setup(&self, index: usize, setup: Setup, results: &mut Results) -> Result<(), Failure> {
        let folder = self.folder(&format!("s{index}"))?;
        let targets = Targets::start(setup.targets, self.rig, &folder)?;
        let mut places = Vec::new();
        for candidate in self.candidates {
            let place = self.start(candidate, setup, &targets, &folder.join(&candidate.name));
            if let Err(why) = &place {
                println!("{} takes no part here: {why}", candidate.name);
            }
            places.push(place);
        }
        let mut cast = Cast { targets, places };
        let name = setup.name();
        if self.plan.setups().iter().position(|one| one.name() == name) == Some(index) {
            report::keep_configurations(&folder, self.candidates, &self.out.join(name))?;
        }
        for (at, scenario) in self.plan.scenarios.iter().enumerate() {
            for point in scenario.points.iter().filter(|point| point.setup() == setup) {
                if scenario.kind == Kind::Idle {
                    continue;
                }
                let rate = match point.half_load {
                    true => Some(self.half_rate(point, results, &mut cast.places)?),
                    false => None,
                };
                let done = self.run_point(scenario, point, rate, &mut cast)?;
                results.scenarios[at].points.push(done);
                announce(&results.scenarios[at]);
            }
        }
        Ok(())
    }

    fn start(
        &self,
        candidate: &Candidate,
        setup: Setup,
        targets: &Targets,
        folder: &Path,
    ) -> Place {
        if let Some(why) = candidate.peer.too_many(setup.targets) {
            return Err(why);
        }
        if let Some(why) = candidate.peer.refusal(&setup.needs()) {
            return Err(why.to_owned());
        }
        // The floor has one target, and the first of two will do; the scenario says when it will not.
        Running::start(candidate, setup, targets.list(), self.rig, folder)
            .map_err(|error| error.to_string())
    }

    fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.work.path().join(name);
        fs::create_dir_all(&path).map_err(|error| Failure::File { path: path.clone(), error })?;
        Ok(path)
    }

    /// Half of what the slowest candidate reached at as many connections: measured already, or now.
    fn half_rate(
        &self,
        point: &Point,
        results: &Results,
        places: &mut [Place],
    ) -> Result<f64, Failure> {
        let measured = results
            .scenarios
            .iter()
            .flat_map(|scenario| &scenario.points)
            .find(|done| Point { label: String::new(), ..done.point.clone() } == closed(point));
        let rates: Vec<f64> = match measured {
            Some(done) => done
                .cells
                .iter()
                .filter_map(|cell| cell.summary.requests_per_second.map(|rate| rate.median))
                .collect(),
            None => {
                let closed = closed(point);
                let probe = Run {
                    kind: Kind::Load,
                    unit: Unit::Request,
                    point: &closed,
                    rate: None,
                    seconds: 1.0,
                    warmup_seconds: self.plan.warmup_of(point),
                };
                let reached = |running: &mut Running| {
                    let measured = self.load(&probe, running, |_, _| Ok(()))?;
                    Ok(measured.found.requests_per_second)
                };
                places.iter_mut().flatten().map(reached).collect::<Result<_, Failure>>()?
            }
        };
        let slowest = rates.into_iter().filter(|rate| *rate > 0.0).min_by(f64::total_cmp);
        slowest.map(|rate| rate / 2.0).ok_or_else(|| {
            Failure::Options(
                "no candidate answered anything that half a load could be taken of".to_owned(),
            )
        })
    }

    fn run_point(
        &self,
        scenario: &Scenario,
        point: &Point,
        rate: Option<f64>,
        cast: &mut Cast,
    ) -> Result<PointResult, Failure> {
        let Cast { targets, places } = cast;
        let run = Run {
            kind: scenario.kind,
            unit: scenario.unit,
            point,
            rate,
            seconds: self.plan.seconds_of(scenario),
            warmup_seconds: self.plan.warmup_of(point),
        };
        let mut cells = self.cells(scenario);
        for (cell, place) in cells.iter_mut().zip(&*places) {
            if let (None, Err(why)) = (&cell.cannot, place) {
                cell.cannot = Some(why.clone());
            }
        }
        for round in 0..self.plan.rounds_of(scenario) {
            // Each round begins with another, so that nobody always comes after the same one.
            for index in (0..cells.len()).map(|index| (index + round) % self.candidates.len()) {
                let (Ok(running), None) = (&mut places[index], &cells[index].cannot) else {
                    continue;
                };
                let sample = self.sample(&run, round, targets, running);
                running.empty_logs();
                cells[index].samples.push(sample);
            }
        }
        let mut result = PointResult { point: point.clone(), rate, cells };
        result.sum_up();
        Ok(result)
    }

    fn cells(&self, scenario: &Scenario) -> Vec<Cell> {
        let cell = |candidate: &Candidate| Cell {
            candidate: candidate.name.clone(),
            cannot: candidate.peer.refusal(&scenario.needs).map(str::to_owned),
            ..Cell::default()
        };
        self.candidates.iter().map(cell).collect()
    }

    fn sample(
        &self,
        run: &Run<'_>,
        round: usize,
        targets: &mut Targets,
        running: &mut Running,
    ) -> Sample {
        let events = RefCell::new(Events {
            kind: run.kind,
            seconds: run.seconds,
            request: run.point.request(),
            done: 0,
            targets,
            proof: None,
            unproven: None,
        });
        let measured =
            self.load(run, running, |elapsed, running| events.borrow_mut().at(elapsed, running));
        let events = events.into_inner();
        let unproven = events.fault();
        let restored = events.restore(running);
        match measured.and_then(|measured| restored.map(|()| measured)) {
            Ok(measured) => {
                let held = memory_of(&running.roots());
                let may_move = run.kind.is_moving() && running.moves_silently();
                let mut sample = Sample::of_load(round, may_move, run.unit, measured, held);
                let unresumed = run.point.resume.then(|| sample.found.unresumed()).flatten();
                let peaceful = sample.found.too_peaceful(run.point.hostile_per_second);
                for why in unproven.into_iter().chain(unresumed).chain(peaceful) {
                    sample.invalidate(why);
                }
                if !running.runs() {
                    sample.invalid = Some("it ended meanwhile".to_owned());
                }
                sample
            }
            Err(error) => Sample::failed(round, error.to_string()),
        }
    }

    fn load(
        &self,
        run: &Run<'_>,
        running: &mut Running,
        mut meanwhile: impl FnMut(Duration, &mut Running) -> Result<(), Failure>,
    ) -> Result<super::generator::Measured, Failure> {
        let load = Load {
            tool: &self.rig.tool,
            address: running.address(),
            point: run.point,
            seconds: run.seconds,
            warmup_seconds: run.warmup_seconds,
            rate: run.rate,
            moving: run.kind.is_moving(),
            cores: &self.rig.cores.generator,
            directory: self.work.path().to_path_buf(),
            certificate: self.rig.certificate(run.point.setup())?.map(|one| one.chain.as_path()),
        };
        load.run(&running.roots(), |elapsed| meanwhile(elapsed, running))
    }

    /// Idle clients: each candidate anew, since memory that was once had is not given back.
    fn run_idle(&self, scenario: &Scenario, point: &Point) -> Result<PointResult, Failure> {
        let folder = self.folder("idle")?;
        let targets = Targets::start(point.targets, self.rig, &folder)?;
        let mut cells = self.cells(scenario);
        for round in 0..self.plan.rounds_of(scenario) {
            for (candidate, cell) in self.candidates.iter().zip(&mut cells) {
                if cell.cannot.is_some() {
                    continue;
                }
                let here = folder.join(format!("{}-{round}", candidate.name));
                match self.start(candidate, point.setup(), &targets, &here) {
                    Ok(mut running) => cell.samples.push(idle::sample(round, point, &mut running)),
                    Err(why) => cell.cannot = Some(why),
                }
            }
        }
        let mut result = PointResult { point: point.clone(), rate: None, cells };
        result.sum_up();
        Ok(result)
    }
}

/// The same load as fast as it is answered, without its label and who disturbs it.
fn closed(point: &Point) -> Point {
    Point {
        half_load: false,
        hostile_per_second: 0,
        stalled_streams: 0,
        label: String::new(),
        ..point.clone()
    }
}

fn facts(candidate: &Candidate) -> Facts {
    Facts {
        name: candidate.name.clone(),
        version: candidate.version.clone(),
        program: candidate.program.display().to_string(),
        stickiness: candidate.peer.stickiness.to_owned(),
    }
}

fn announce(scenario: &ScenarioResult) {
    let Some(point) = scenario.points.last() else { return };
    println!("\n{}: {}", scenario.title, report::heading(point));
    print!("{}", table::table(scenario, point).plain());
    if let Some(sentence) = table::sentence(point) {
        println!("{sentence}");
    }
}

/// What happens during a measurement, after a third and after two thirds of it.
struct Events<'a> {
    kind: Kind,
    seconds: f64,
    /// What new users ask after a reload.
    request: String,
    done: usize,
    targets: &'a mut Targets,
    /// Of the last reload.
    proof: Option<Proof>,
    /// What is wrong with the one before.
    unproven: Option<String>,
}

impl Events<'_> {
    fn at(&mut self, elapsed: Duration, running: &mut Running) -> Result<(), Failure> {
        let due =
            self.done < 2 && elapsed.as_secs_f64() > self.seconds * (self.done + 1) as f64 / 3.0;
        if !due {
            if let Some(proof) = &mut self.proof {
                proof.look(running.door(), &self.request, &self.targets.leaving_id());
            }
            return Ok(());
        }
        self.done += 1;
        match (self.kind, self.done) {
            (Kind::Load | Kind::Idle, _) => Ok(()),
            (Kind::Reload, 1) => self.reload(running, Awaited::Gone),
            (Kind::Reload, _) => self.reload(running, Awaited::Back),
            (Kind::TargetDeath, 1) => {
                self.targets.kill_first();
                Ok(())
            }
            (Kind::TargetDeath, _) => self.targets.revive_first(),
        }
    }

    fn reload(&mut self, running: &mut Running, awaited: Awaited) -> Result<(), Failure> {
        // What has not been seen of the reload before cannot be seen any more.
        self.unproven = self.fault();
        match awaited {
            Awaited::Gone => running.reload(&self.targets.staying())?,
            Awaited::Back => running.reload(self.targets.list())?,
        }
        self.proof = Some(Proof::new(awaited));
        Ok(())
    }

    /// Why the run does not count, if a reload did not take effect in its time.
    fn fault(&self) -> Option<String> {
        let last = self.proof.as_ref().and_then(Proof::fault);
        self.unproven.clone().or(last)
    }

    /// Brings back what a measurement that ended early left behind.
    fn restore(self, running: &mut Running) -> Result<(), Failure> {
        match (self.kind, self.done) {
            (Kind::Reload, 1) => running.reload(self.targets.list()),
            (Kind::TargetDeath, 1) => self.targets.revive_first(),
            _ => Ok(()),
        }
    }
}
