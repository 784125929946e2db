use crate::group::room::*;
use crate::group::state::Health::{self, *};
use crate::group::target_group::tests::{parts, targets};
use crate::group::target_group::{Algorithm, Target};
use crate::stickiness::sketch::Life;

const NOW_S: u64 = 1_700_000_000;

/// A group of these weights and healths in which so many sessions live at each target.
fn group(of: &[(u32, Health)], loads: &[u64]) -> TargetGroup {
    let group = TargetGroup::new(parts(Algorithm::RoundRobin, of)).expect("valid");
    for (target, load) in group.targets.iter().zip(loads) {
        target.state.newcomers().publish(None, 0, || *load);
    }
    group
}

/// Places so many sessions one by one; how many live at each target then.
fn place(group: &TargetGroup, count: u64) -> Vec<u64> {
    for number in 0..count {
        let random = [mix(number), mix(number + 1_000_000)];
        let picked = group.pick_with_room(random, &[]).expect("a target");
        group.targets[picked].state.newcomers().place(u128::from(number), 0);
    }
    group.targets.iter().map(|target| target.state.newcomers().load()).collect()
}

/// Greatest above smallest.
fn spread_percent(loads: &[u64]) -> u64 {
    let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
    (most - least) * 100 / least
}

#[test]
fn targets_that_come_with_a_scale_out_fill_until_all_have_as_many() {
    let old = group(&[(1, Healthy); 2], &[]);
    let loads = place(&old, 1_000);
    assert!(spread_percent(&loads) <= 1, "{loads:?}");
    let scaled = group(&[(1, Healthy); 4], &[loads[0], loads[1], 0, 0]);
    let loads = place(&scaled, 1_000);
    assert!(spread_percent(&loads) <= 1, "{loads:?}");
    let loads = place(&scaled, 10_000);
    assert!(spread_percent(&loads) <= 1, "and stay so: {loads:?}");
}

#[test]
fn no_target_but_the_new_ones_gets_anybody_before_they_have_caught_up() {
    let group = group(&[(1, Healthy); 3], &[500, 500, 0]);
    assert_eq!(place(&group, 490), [500, 500, 490]);
}

#[test]
fn sessions_live_in_proportion_to_weights() {
    let weighted = group(&[(1, Healthy), (3, Healthy)], &[]);
    let loads = place(&weighted, 4_000);
    assert!((980..=1_020).contains(&loads[0]), "{loads:?}");
    let loads = place(&group(&[(1, Healthy), (3, Healthy)], &[1_000, 0]), 3_000);
    assert!((980..=1_020).contains(&loads[0]), "{loads:?}");
}

#[test]
fn who_takes_no_new_requests_gets_none_however_few_live_there() {
    let of = [(1, Healthy), (1, Draining), (1, Unhealthy), (0, Healthy), (1, Unused), (1, Initial)];
    let loads = place(&group(&of, &[1_000]), 100);
    assert_eq!(loads, [1_100, 0, 0, 0, 0, 0]);
    assert_eq!(group(&[(0, Healthy), (1, Draining)], &[]).pick_with_room([1, 2], &[]), None);
}

#[test]
fn who_was_tried_or_is_full_is_passed_over() {
    let mut parts = parts(Algorithm::RoundRobin, &[(1, Healthy); 3]);
    parts.options.connection_limit = 1;
    let group = TargetGroup::new(parts).expect("valid");
    let slots: Vec<u32> = group.targets.iter().map(|target| target.state.slot).collect();
    assert!(group.targets[2].state.try_acquire(1));
    for number in 0..100 {
        let random = [mix(number), mix(number + 1_000_000)];
        assert_eq!(group.pick_with_room(random, &slots[..1]), Some(1));
        assert_eq!(group.pick_with_room(random, &slots[..2]), None);
    }
    group.targets[2].state.release();
}

#[test]
fn equals_get_equally_many() {
    let group = group(&[(1, Healthy); 4], &[]);
    let mut picked = [0_u32; 4];
    for number in 0..8_000 {
        let random = [mix(number), mix(number + 1_000_000)];
        picked[group.pick_with_room(random, &[]).expect("a target")] += 1;
    }
    assert!(picked.iter().all(|count| (1_850..2_150).contains(count)), "{picked:?}");
}

#[test]
fn who_starts_slowly_gets_its_share_of_users_and_no_more() {
    let of = [(1, Healthy); 3];
    let mut parts = parts(Algorithm::RoundRobin, &of);
    parts.targets = targets(&of)
        .into_iter()
        .enumerate()
        .map(|(index, target)| {
            if index == 2 {
                target.state.set_share_percent(10);
            }
            Target::new(target.id, target.address, 1, target.state)
        })
        .collect();
    let group = TargetGroup::new(parts).expect("valid");
    group.targets[..2]
        .iter()
        .for_each(|target| target.state.newcomers().publish(None, 0, || 9_000));
    let loads = place(&group, 2_100);
    assert!((70..130).contains(&loads[2]), "a tenth of what the others may get: {loads:?}");
    let full = place(&group, 60_000)[2];
    assert!((2_000..3_200).contains(&full), "nor more sessions than its share: {full}");
}

#[test]
fn where_all_start_slowly_they_fill_as_ever() {
    let of = [(1, Healthy); 2];
    let mut parts = parts(Algorithm::RoundRobin, &of);
    for target in &mut parts.targets {
        target.state.set_share_percent(5);
        target.share = 5;
    }
    let group = TargetGroup::new(parts).expect("valid");
    group.targets[0].state.newcomers().publish(None, 0, || 50);
    assert_eq!(place(&group, 50), [50, 50]);
}

#[test]
fn a_large_group_is_looked_at_in_parts_and_its_new_targets_fill_all_the_same() {
    let of = [(1, Healthy); 200];
    let group = group(&of, &[100; 198]);
    let loads = place(&group, 1_000);
    assert!(loads[198..].iter().all(|load| (90..=105).contains(load)), "{:?}", &loads[198..]);
    assert!(loads.iter().all(|load| *load <= 112), "{loads:?}");
}

/// The node that a user comes to, by its first one and a random number.
type NodeOf = fn(usize, u64) -> usize;

/// Four nodes in front of the same targets, each with its own counts.
struct Fleet {
    nodes: Vec<TargetGroup>,
    /// Session and home of every user.
    users: Vec<(u128, usize)>,
    random: u64,
}

impl Fleet {
    const DAY: Life = Life { tag: 7, duration_s: 86_400 };

    fn of(targets: usize) -> Fleet {
        let nodes = (0..4).map(|_| group(&vec![(1, Healthy); targets], &[])).collect();
        Fleet { nodes, users: Vec::new(), random: 0 }
    }

    /// The same nodes when targets come: what is known of the others stays.
    fn scaled_to(self, targets: usize) -> Fleet {
        let scaled = |old: TargetGroup| {
            let mut parts = parts(Algorithm::RoundRobin, &vec![(1, Healthy); targets]);
            for (new, old) in parts.targets.iter_mut().zip(old.targets) {
                new.state = old.state;
            }
            TargetGroup::new(parts).expect("valid")
        };
        Fleet { nodes: self.nodes.into_iter().map(scaled).collect(), ..self }
    }

    fn draw(&mut self) -> u64 {
        self.random += 1;
        mix(self.random)
    }

    /// New users come, 50 between two publications, and then come back so many times each.
    fn come(&mut self, count: usize, visits: usize, node_of: NodeOf) {
        for _ in 0..count / 50 {
            let first = self.users.len();
            for number in 0..50 {
                let (random, session) = ([self.draw(), self.draw()], [self.draw(), self.draw()]);
                let session = u128::from(session[0]) << 64 | u128::from(session[1]);
                let node = &self.nodes[number % 4];
                let home = node.pick_with_room(random, &[]).expect("a target");
                node.targets[home].state.newcomers().place(session, NOW_S);
                self.users.push((session, home));
            }
            self.publish();
            for number in 0..50 {
                let (session, home) = self.users[first + number];
                for _ in 0..visits {
                    let node = node_of(number % 4, self.draw());
                    self.nodes[node].targets[home].state.note_session(session, Fleet::DAY, NOW_S);
                }
            }
            self.publish();
        }
    }

    fn publish(&self) {
        for target in self.nodes.iter().flat_map(|node| &node.targets) {
            let known = target.state.sessions();
            let live = || known.map_or(0, |known| known.estimate(NOW_S, &[Fleet::DAY]));
            target.state.newcomers().publish(known, NOW_S, live);
        }
    }

    fn at_each(&self) -> Vec<u64> {
        let targets = 0..self.nodes[0].targets.len();
        let at = |target| self.users.iter().filter(|(_, home)| *home == target).count() as u64;
        targets.map(at).collect()
    }
}

#[test]
fn four_nodes_that_do_not_talk_fill_the_new_targets_together() {
    let stays: NodeOf = |first, _| first;
    let roams: NodeOf = |_, random| random as usize % 4;
    for (way, node_of) in [("users stay with a node", stays), ("requests go anywhere", roams)] {
        let mut fleet = Fleet::of(2);
        fleet.come(1_000, 12, node_of);
        let mut fleet = fleet.scaled_to(4);
        fleet.come(1_000, 12, node_of);
        let users = fleet.at_each();
        println!("{way}: {users:?}");
        assert!(spread_percent(&users) <= 10, "{way}: {users:?}");
    }
}
