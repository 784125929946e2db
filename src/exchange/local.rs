//! The shard as an exchange sees it: time, chance, counters, the log, and whether the process stops.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::random::Random;
use crate::stickiness::memo::Memo;
use crate::telemetry::access_log::ShardLog;
use crate::telemetry::counters::{Counter, ShardCounters};
use crate::telemetry::record::Record;
use crate::telemetry::series::Places;
use crate::time::Time;
use crate::time::alarms::Alarms;
use crate::time::clock::Clock;
use crate::time::stop::Stop;

/// The parts of a shard that every exchange on it uses.
pub struct Local {
    /// Position of the shard.
    pub index: usize,
    pub clock: Rc<Clock>,
    pub alarms: Rc<Alarms>,
    pub random: Random,
    pub stop: Arc<Stop>,
    pub counters: Arc<ShardCounters>,
    pub opened: Memo,
    pub log: RefCell<ShardLog>,
}

impl Local {
    pub fn new(index: usize, time: Time, log: ShardLog, counters: Arc<ShardCounters>) -> Local {
        let Time { clock, alarms, stop } = time;
        Local {
            index,
            clock,
            alarms,
            random: Random::seeded(),
            stop,
            counters,
            opened: Memo::default(),
            log: RefCell::new(log),
        }
    }

    /// Counts a finished exchange and hands its record to the log.
    #[inline(always)]
    pub fn record(&self, record: &Record<'_>, places: &Places<'_>) {
        #[cfg(test)]
        crate::simulation::note(record);
        self.counters.request(record);
        places.count(self.index, record);
        if !self.log.borrow_mut().record(record) {
            self.counters.add(Counter::LogLinesDropped, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::exchange::doubles::{file, play};
    use crate::exchange::failure::Failure;

    #[test]
    fn a_finished_exchange_counts_for_its_shard_by_status_and_word() {
        play(&file("", "", 1), async |shard| {
            let (_, _, mut entry) = shard.plan("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            entry.refuse(Failure::NoTarget);
            let (local, caller) = (&shard.local, &shard.caller);
            entry.finish((local, caller), (&shard.view, &shard.listener), |record, places| {
                local.record(record, places);
            });
            let counted = local.counters.snapshot();
            assert_eq!((counted.requests(), counted.responses(5)), (1, 1));
            assert_eq!(counted.code("no_target"), 1);
        });
    }
}
