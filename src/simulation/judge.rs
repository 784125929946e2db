//! The rules that every run must keep, whatever happened in it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Board;
use super::Noted;
use super::client;
use super::fate::Fate;
use super::message::{self, End};
use super::plan::{Cut, Framing, Plan, Request};
use super::{table, target};
use crate::snapshot::Snapshot;
use crate::telemetry::counters::{Counter, CounterSnapshot};
use crate::telemetry::ended::{By, Cause, Ended, Phase};
use crate::uring::simulated::{Faults, Left};

/// How much later than it happened an event may be seen, in microseconds: because of late completions, and the tick of
/// deadlines.
const SEEN_LATE_US: u64 = 400_000;

/// How much later a client's reset may be seen where limpet does not listen for it, but looks from time to time.
const UNTOLD_US: u64 = 500_000;

/// The resources that limpet still holds when all peers have gone.
#[derive(Debug)]
pub(super) struct Held {
    pub is_quiet: bool,
    pub connections: usize,
    pub places: usize,
    pub alarms: usize,
    pub pooled: usize,
}

/// One run that is over.
pub(super) struct Run<'a> {
    pub plan: &'a Plan,
    pub fates: BTreeMap<u32, Fate>,
    pub board: &'a Board,
    pub snapshot: &'a Arc<Snapshot>,
    pub held: Held,
    pub left: Left,
    pub noted: Vec<Noted>,
}

/// The events of all runs.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub runs: u64,
    pub requests: u64,
    pub complete: u64,
    /// Requests that nothing could disturb.
    pub undisturbed: u64,
    /// Ends of exchanges by phase and cause.
    pub ends: BTreeMap<(u8, u8, u8), u64>,
    pub faults: Faults,
}

impl Report {
    pub(super) fn add(&mut self, other: &Report) {
        self.runs += other.runs;
        self.requests += other.requests;
        self.complete += other.complete;
        self.undisturbed += other.undisturbed;
        for (end, count) in &other.ends {
            *self.ends.entry(*end).or_default() += count;
        }
        for (cell, count) in &other.faults {
            *self.faults.entry(*cell).or_default() += count;
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { runs, requests, complete, undisturbed, .. } = self;
        writeln!(f, "{runs} runs, {requests} requests, {complete} complete responses of targets")?;
        writeln!(f, "{undisturbed} requests that nothing could disturb")?;
        table::write(&self.faults, f)?;
        for ((by, phase, cause), count) in &self.ends {
            let code = [*by, *phase, *cause].map(char::from);
            writeln!(f, "{:>16} {count}", code.iter().collect::<String>())?;
        }
        Ok(())
    }
}

type Verdict = Result<(), String>;

fn must(holds: bool, broken: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(broken()) }
}

pub(super) fn judge(run: &Run<'_>, counters: &CounterSnapshot) -> Result<Report, String> {
    nothing_is_left(run, counters)?;
    for seen in run.board.clients.borrow().iter() {
        client(run, seen).map_err(|broken| format!("client {}: {broken}", seen.index))?;
    }
    for (id, attempts) in run.board.targets.borrow().iter() {
        targets(run, *id, attempts).map_err(|broken| format!("request {id}: {broken}"))?;
    }
    let by_path = records(run)?;
    blame(run)?;
    Ok(report(run, by_path.len() as u64))
}

/// Every place, buffer, operation and connection has been given back.
fn nothing_is_left(run: &Run<'_>, counters: &CounterSnapshot) -> Verdict {
    let Run { held, left, snapshot, .. } = run;
    must(left.broken.is_empty(), || left.broken.join("; "))?;
    must(held.is_quiet, || format!("somebody is still there: {held:?}"))?;
    must((held.connections, held.places) == (0, 0), || format!("places are held: {held:?}"))?;
    must((held.alarms, held.pooled) == (0, 0), || format!("something is held: {held:?}"))?;
    must((left.operations, left.ends) == (0, 0), || format!("operations or sockets: {left:?}"))?;
    for target in snapshot.groups.iter().flat_map(|group| &group.targets) {
        let (places, tunnels) = (target.state.in_flight(), target.state.tunnels());
        must((places, tunnels) == (0, 0), || {
            format!("{} has {places} places taken, {tunnels} tunnels", target.id)
        })?;
    }
    let (accepted, closed) =
        (counters.get(Counter::ConnectionsAccepted), counters.get(Counter::ConnectionsClosed));
    must(accepted == closed, || format!("{accepted} connections came, {closed} went"))?;
    let (opened, closed) = (
        counters.get(Counter::TargetConnectionsOpened),
        counters.get(Counter::TargetConnectionsClosed),
    );
    must(opened == closed, || format!("{opened} connections to targets opened, {closed} closed"))
}

/// How the target cuts its response, if it does.
fn is_cut(request: &Request) -> Option<Cut> {
    let (message, _) = target::response(request, request.is_tunnel());
    request.response.cut.filter(|(after, _)| *after < message.len()).map(|(_, how)| how)
}

fn client(run: &Run<'_>, seen: &client::Seen) -> Verdict {
    must(seen.fault.is_none(), || format!("{:?}", seen.fault))?;
    let requests = &run.plan.clients[seen.index].requests;
    must(seen.responses.len() <= requests.len(), || "more responses than requests".to_owned())?;
    for (at, request) in requests.iter().enumerate() {
        let Some(fate) = run.fates.get(&request.id) else { continue };
        if fate.is_undisturbed() {
            undisturbed(run, request, (fate, seen.responses.get(at)))
                .map_err(|broken| format!("undisturbed {}: {broken}; {request:?}", request.id))?;
        }
    }
    for (request, response) in requests.iter().zip(&seen.responses) {
        answer(run, request, response, seen.cut).map_err(|broken| {
            let ends: Vec<String> =
                of(run, request.id).iter().map(|noted| noted.facts.ended.to_string()).collect();
            format!("response {}: {broken}; recorded as {ends:?}, asked by {request:?}", request.id)
        })?;
        recorded(run, seen, request, response)
            .map_err(|broken| format!("record of {}: {broken}", request.id))?;
    }
    Ok(())
}

/// A request that nothing disturbs succeeds, exactly as planned.
fn undisturbed(
    run: &Run<'_>,
    request: &Request,
    (fate, response): (&Fate, Option<&client::Response>),
) -> Verdict {
    let plan = &request.response;
    let Some(response) = response else { return Err("no response has come".to_owned()) };
    let is_tunnel = request.is_tunnel();
    let status = if is_tunnel { 101 } else { plan.status };
    must(response.status == status && response.id == Some(request.id), || {
        format!("the client got {} of {:?}", response.status, response.id)
    })?;
    let length = if target::has_content(request) { plan.length } else { 0 };
    let whole = if is_tunnel { told(request) } else { message::content(request.id, true, length) };
    must(response.content == whole, || {
        format!("{} of {} bytes came", response.content.len(), whole.len())
    })?;
    must(matches!(response.end, End::Complete | End::ByClose), || {
        format!("it ended {:?}", response.end)
    })?;
    must(!fate.is_kept || !response.closes, || "the connection is not kept".to_owned())?;
    let records = of(run, request.id);
    let [record] = records.as_slice() else { return Err(format!("{} records", records.len())) };
    let facts = &record.facts;
    must(facts.ended == Ended::default(), || format!("it is recorded as {}", facts.ended))?;
    let uploaded = request.content.map_or(0, |(_, length)| length as u64);
    let counted = (facts.content_bytes_in, facts.content_bytes_out);
    must(is_tunnel || counted == (uploaded, length as u64), || {
        format!("{counted:?} bytes of content are recorded, not {:?}", (uploaded, length))
    })?;
    must(!fate.reuses || facts.target_reused == Some(true), || {
        "it had a connection of its own, though one was kept".to_owned()
    })?;
    let attempts = run.board.targets.borrow();
    let [attempt] = attempts.get(&request.id).map_or(&[][..], Vec::as_slice) else {
        return Err("it did not come to one target once".to_owned());
    };
    let is_heard = attempt.tunnel == (asked(request), Some(End::Short));
    must(!is_tunnel || is_heard, || {
        format!("the target heard {} bytes of a tunnel", attempt.tunnel.0.len())
    })?;
    let is_read = attempt.end == Some(End::Complete) || request.content.is_none();
    must(is_read && attempt.is_answered, || {
        format!(
            "the target read it to {:?}, and has answered: {}",
            attempt.end, attempt.is_answered
        )
    })
}

/// All bytes that the client sends in a tunnel.
fn asked(request: &Request) -> Vec<u8> {
    message::content(request.id, false, request.tunnel.early + request.tunnel.late)
}

fn told(request: &Request) -> Vec<u8> {
    let mut told = message::content(request.id, true, request.tunnel.greets);
    told.extend_from_slice(&asked(request));
    told
}

/// Every end before its time has a cause in the plan.
fn blame(run: &Run<'_>) -> Verdict {
    for noted in &run.noted {
        let id = noted.path.strip_prefix("/r/").and_then(|id| id.parse().ok());
        let Some((id, fate)) = id.and_then(|id: u32| Some((id, run.fates.get(&id)?))) else {
            continue;
        };
        let Ended { by, cause, .. } = noted.facts.ended;
        let is_normal = noted.facts.ended == Ended::default();
        must(is_normal || fate.causes.contains(&(by, cause)), || {
            let request = run.plan.request(id);
            format!("request {id}: ended {}, and nobody did that; {request:?}", noted.facts.ended)
        })?;
        must(!(is_normal && fate.is_too_late), || {
            format!("request {id}: answered later than its deadline allows")
        })?;
    }
    Ok(())
}

/// A response belongs to its request, and none that was cut ends as if it were whole.
fn answer(
    run: &Run<'_>,
    request: &Request,
    response: &client::Response,
    cut: Option<Cut>,
) -> Verdict {
    let Some(id) = response.id else { return Ok(()) };
    if id == target::UNASKED {
        let is_clean = response.end != End::ByReset && response.end != End::Short;
        // A client without content, and one that has closed, does not see the end that its target made.
        let is_struck = cut.is_some() || run.board.has_target_closed.get();
        let is_seen = !is_struck && request.method != "HEAD";
        return must(!is_clean || !is_seen, || "it was cut off, and ends as if whole".to_owned());
    }
    must(id == request.id, || format!("it tells of request {id}"))?;
    if response.status == 101 {
        let whole = told(request);
        must(whole.starts_with(&response.content), || "its tunnel says another's".to_owned())?;
        let is_clean = response.end == End::ByClose;
        let is_struck = cut.is_some() || run.board.has_target_closed.get();
        // A target that stalls until its client has sent everything makes a good end.
        let is_rude = run.plan.records.is_target_rude();
        let is_cut =
            is_cut(request).is_some_and(|how| how == Cut::Stall || !is_rude && how != Cut::Reset);
        return must(!is_clean || is_struck || is_cut || response.content == whole, || {
            format!("{} of {} bytes of a tunnel end", response.content.len(), whole.len())
        });
    }
    let plan = &request.response;
    must(response.status == plan.status, || format!("its status is {}", response.status))?;
    if !target::has_content(request) {
        return Ok(());
    }
    let whole = message::content(id, true, plan.length);
    must(whole.starts_with(&response.content), || "its content is another's".to_owned())?;
    let is_whole = response.content.len() == whole.len();
    // A client that has closed sees an end that it made itself.
    let ends_well = response.end == End::Complete
        || response.end == End::ByClose && !matches!(cut, Some(Cut::Close | Cut::Reset));
    // Content that ends by closing does not show a cut, unless there is a record of the end.
    let is_rude = run.plan.records.is_target_rude();
    let is_unseen = plan.framing == Framing::Close
        && (!is_rude && matches!(is_cut(request), Some(Cut::Close | Cut::HalfClose))
            || run.board.has_target_closed.get());
    must(!ends_well || is_whole || is_unseen, || {
        format!("{} of {} bytes end {:?}", response.content.len(), whole.len(), response.end)
    })
}

fn of(run: &Run<'_>, id: u32) -> Vec<Noted> {
    let path = format!("/r/{id}");
    run.noted.iter().filter(|noted| noted.path == path).cloned().collect()
}

fn recorded(
    run: &Run<'_>,
    seen: &client::Seen,
    request: &Request,
    response: &client::Response,
) -> Verdict {
    let records = of(run, request.id);
    let [record] = records.as_slice() else {
        // A head that could not be read has no path.
        let is_known = seen.heads_sent.contains(&request.id) || response.id.is_some();
        return must(!is_known, || format!("there are {}", records.len()));
    };
    let facts = &record.facts;
    must(facts.status == response.status, || {
        format!("it says {}, the client saw {}", facts.status, response.status)
    })?;
    told_at_once(run, seen, record)?;
    let by = facts.ended.by;
    let is_its_fault = match response.status {
        _ if response.id.is_some() => true,
        502 | 504 => by == By::Target,
        503 => by == By::Limpet,
        _ => by == By::Client,
    };
    must(is_its_fault, || format!("limpet answers {}, ended {}", facts.status, facts.ended))?;
    let began_us =
        seen.sent.iter().find(|(id, _)| *id == request.id).map(|(_, began_us)| *began_us);
    let (Some(began_us), Some(_), None) = (began_us, response.id, seen.cut) else {
        return Ok(());
    };
    let is_unasked = response.id == Some(target::UNASKED);
    if response.end != End::Complete || response.status == 101 || is_unasked {
        return Ok(());
    }
    // Only the close of a target after an early response may be noted.
    if request.response.early.is_none() {
        must(facts.ended == Ended::default(), || format!("it ended {}", facts.ended))?;
    }
    let took_us = response.ended_us - began_us;
    let total_us = facts.timings.total_us;
    must(total_us <= took_us + SEEN_LATE_US, || {
        format!("it took {total_us} us, the client saw {took_us}")
    })
}

/// The exchange of a client that resets ends at once; a little later where limpet cannot listen for the reset.
fn told_at_once(run: &Run<'_>, seen: &client::Seen, record: &Noted) -> Verdict {
    if seen.cut != Some(Cut::Reset) || record.at_us <= seen.cut_us {
        return Ok(());
    }
    let later_us = record.at_us - seen.cut_us;
    let client = &run.plan.clients[seen.index];
    // A tunnel does not listen to a side that it has bytes of, which the other side does not take.
    let is_tunnel = record.facts.ended.phase == Phase::Tunnel;
    let is_simple = client.requests.iter().all(|request| request.content.is_none());
    let is_told = is_simple && !client.pipelines && !is_tunnel;
    let untold_us = if is_told { 0 } else { UNTOLD_US };
    must(later_us <= SEEN_LATE_US + untold_us, || {
        format!("its client had reset {later_us} us before it ended {}", record.facts.ended)
    })
}

/// The targets have seen one request as planned.
fn targets(run: &Run<'_>, id: u32, attempts: &[target::Seen]) -> Verdict {
    for seen in attempts {
        must(seen.fault.is_none(), || format!("{:?}", seen.fault))?;
    }
    let Some(request) = run.plan.request(id) else { return Err("nobody has asked it".to_owned()) };
    let length = request.content.map_or(0, |(_, length)| length);
    let whole = message::content(id, false, length);
    for seen in attempts {
        must(whole.starts_with(&seen.content), || "its content is another's".to_owned())?;
        let is_whole = seen.content.len() == whole.len();
        must(seen.end != Some(End::Complete) || is_whole, || "short content ends well".to_owned())?;
        // A target that closes sees an end that it made itself.
        must(seen.end != Some(End::Short) || run.board.has_target_closed.get(), || {
            format!("{} of {length} bytes end cleanly", seen.content.len())
        })?;
    }
    let clients = run.board.clients.borrow();
    let mut enders = clients.iter().filter(|seen| seen.has_ended);
    let has_ended = enders
        .any(|seen| run.plan.clients[seen.index].requests.iter().any(|request| request.id == id));
    let heard = asked(request);
    for (bytes, end) in attempts.iter().map(|seen| &seen.tunnel) {
        must(heard.starts_with(bytes), || "its tunnel is told another's".to_owned())?;
        // A target that has closed has ended its side.
        let is_said = has_ended || run.board.has_target_closed.get();
        must(*end != Some(End::Short) || is_said || *bytes == heard, || {
            format!("{} of {} bytes to a tunnel end cleanly", bytes.len(), heard.len())
        })?;
    }
    must(request.method != "POST" || attempts.len() < 2, || {
        format!("a POST was sent {} times", attempts.len())
    })?;
    let records = of(run, id).len();
    must(records == 1, || format!("it was forwarded, and has {records} records"))
}

/// No request has two records.
fn records<'r>(run: &'r Run<'_>) -> Result<BTreeMap<&'r str, u32>, String> {
    let mut by_path: BTreeMap<&str, u32> = BTreeMap::new();
    for noted in run.noted.iter().filter(|noted| !noted.path.is_empty()) {
        let count = by_path.entry(&noted.path).or_default();
        *count += 1;
        must(*count == 1, || format!("{} has two records", noted.path))?;
    }
    Ok(by_path)
}

fn report(run: &Run<'_>, requests: u64) -> Report {
    let mut report = Report { runs: 1, requests, ..Report::default() };
    let clients = run.board.clients.borrow();
    let responses = clients.iter().flat_map(|client| &client.responses);
    let complete =
        responses.filter(|response| response.id.is_some() && response.end == End::Complete);
    report.complete = complete.count() as u64;
    report.undisturbed = run.fates.values().filter(|fate| fate.is_undisturbed()).count() as u64;
    for noted in &run.noted {
        let Ended { by, phase, cause } = noted.facts.ended;
        *report
            .ends
            .entry((by.letter(), Phase::letter(phase), Cause::letter(cause)))
            .or_default() += 1;
    }
    report.faults.clone_from(&run.left.faults);
    report
}
