use crate::control::drain::machine::*;

const DELAY: Duration = Duration::from_secs(300);

fn load(requests: u32, tunnels: u32, sessions: Option<u64>) -> Load {
    Load { requests, tunnels, sessions, knows_all_sessions: true }
}

fn sessions(at_most: u64) -> Until {
    Until::Sessions { at_most }
}

/// "waits for 12 sessions, 20 s" or "finished: …", some seconds after the start.
fn judged(until: Until, deadline_s: Option<u64>, after_s: f64, load: &Load) -> String {
    let started = Instant::now();
    let options = DrainOptions { until, deadline: deadline_s.map(Duration::from_secs) };
    let now = started + Duration::from_secs_f64(after_s);
    match Drain::new(options, started).judge(DELAY, now, load) {
        Progress::Waiting { remaining, reason } => match remaining {
            Some(remaining) => format!("{reason}, {} s", remaining.as_secs_f64()),
            None => format!("{reason}, no end"),
        },
        Progress::Finished { reason } => format!("finished: {reason}"),
    }
}

#[test]
fn every_kind_of_drain_waits_for_what_it_says() {
    use Until::{Delay, Idle};
    let busy = load(3, 1, Some(12));
    let bound = load(0, 0, Some(12));
    let empty = load(0, 0, Some(0));
    let plain = load(2, 0, None);
    let none = load(0, 0, None);
    let idle = "finished: no request is in flight and no tunnel is open";
    for (until, deadline_s, after_s, load, wanted) in [
        // The delay ends early only when nothing at all is left.
        (Delay, None, 0.0, &busy, "the deregistration delay ends in 5m, 300 s"),
        (Delay, None, 12.5, &busy, "the deregistration delay ends in 4m48s, 287.5 s"),
        (Delay, None, 299.9, &bound, "the deregistration delay ends in 1s, 0.1 s"),
        (
            Delay,
            None,
            300.0,
            &busy,
            "finished: the deregistration delay is over; left: 12 sessions, 3 requests and 1 tunnel",
        ),
        (
            Delay,
            None,
            301.0,
            &bound,
            "finished: the deregistration delay is over; left: 12 sessions",
        ),
        (Delay, None, 1.0, &empty, "finished: no request, no tunnel and no session is left"),
        (Delay, None, 1.0, &plain, "the deregistration delay ends in 4m59s, 299 s"),
        (Delay, None, 0.0, &none, idle),
        // A deadline before the delay, after it, and at once.
        (Delay, Some(60), 10.0, &busy, "the deadline comes in 50s, 50 s"),
        (Delay, Some(600), 10.0, &busy, "the deregistration delay ends in 4m50s, 290 s"),
        (Delay, Some(0), 0.0, &plain, "finished: the deadline has come; left: 2 requests"),
        // Idle.
        (Idle, None, 9_000.0, &busy, "waits for 3 requests and 1 tunnel, no end"),
        (Idle, Some(60), 1.0, &load_of_one(), "waits for 1 request, 59 s"),
        (
            Idle,
            Some(60),
            60.0,
            &load_of_one(),
            "finished: the deadline has come; left: 3 sessions and 1 request",
        ),
        (Idle, None, 0.0, &bound, idle),
        (Idle, Some(60), 61.0, &none, idle),
        // Sessions.
        (sessions(0), None, 9_000.0, &busy, "waits for 12 sessions, no end"),
        (sessions(0), None, 0.0, &load(9, 9, Some(1)), "waits for 1 session, no end"),
        (sessions(5), Some(60), 10.0, &busy, "waits for 12 sessions to become 5, 50 s"),
        (sessions(12), None, 0.0, &busy, "finished: it has 12 sessions"),
        (sessions(0), None, 0.0, &load(1, 1, Some(0)), "finished: it has 0 sessions"),
        (
            sessions(0),
            Some(60),
            60.0,
            &busy,
            "finished: the deadline has come; left: 12 sessions, 3 requests and 1 tunnel",
        ),
        (sessions(0), None, 0.0, &plain, "finished: its group is not sticky"),
    ] {
        let context = format!("{until:?} {deadline_s:?} {after_s} {load:?}");
        assert_eq!(judged(until, deadline_s, after_s, load), wanted, "{context}");
    }
}

fn load_of_one() -> Load {
    load(1, 0, Some(3))
}

#[test]
fn a_delay_does_not_end_early_on_sessions_that_may_be_unknown() {
    let unknown = Load { knows_all_sessions: false, ..load(0, 0, Some(0)) };
    assert_eq!(
        judged(Until::Delay, None, 10.0, &unknown),
        "the deregistration delay ends in 4m50s, 290 s"
    );
    let over = judged(Until::Delay, None, 300.0, &unknown);
    assert_eq!(over, "finished: the deregistration delay is over; nothing was left");
}

#[test]
fn the_deadline_counts_from_the_command_and_the_delay_from_the_start() {
    let started = Instant::now();
    let at = |seconds| started + Duration::from_secs(seconds);
    let mut drain = Drain::new(DrainOptions::default(), started);
    drain.asked = at(100);
    drain.options.deadline = Some(Duration::from_secs(150));
    let remaining = |drain: &Drain, seconds| match drain.judge(DELAY, at(seconds), &load_of_one()) {
        Progress::Waiting { remaining, .. } => remaining.map(|left| left.as_secs()),
        Progress::Finished { .. } => None,
    };
    assert_eq!(remaining(&drain, 100), Some(150));
    drain.options.deadline = Some(Duration::from_secs(250));
    assert_eq!(remaining(&drain, 100), Some(200));
    // A change of the delay takes effect at once, also while it runs.
    let judged = drain.judge(Duration::from_secs(90), at(100), &load_of_one());
    assert!(matches!(judged, Progress::Finished { .. }), "{judged:?}");
}
