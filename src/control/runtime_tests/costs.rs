//! The costs of changes: compiled groups and instructions, never time.

use crate::control::drain::sessions::Sessions;
use crate::control::runtime::tests::*;

#[test]
fn an_edit_among_ten_thousand_targets_compiles_one_group() {
    use std::fmt::Write as _;
    let mut text = FILE.to_owned();
    for number in 0..10_000_u32 {
        if number.is_multiple_of(100) {
            let _ = writeln!(text, "[[target_group]]\nname = \"g{number}\"");
        }
        let (host, port) = (number % 250, 1 + number);
        let address = format!("10.0.0.{host}:{port}");
        let _ = writeln!(text, "[[target_group.target]]\naddress = \"{address}\"");
    }
    let begun = Instant::now();
    let parsed = config::parse_complete(text, "test.toml").unwrap();
    println!("reading 10 000 targets: {:?}", begun.elapsed());
    let control = Control::new(parsed, None, ring()).unwrap();
    let before = control.snapshot();
    assert_eq!(before.groups.iter().map(|group| group.targets.len()).sum::<usize>(), 10_003);
    let begun = Instant::now();
    overlay(&control, &set_target("a", "two", json!({"weight": 5})));
    println!("one edit among them: {:?}", begun.elapsed());
    let after = control.snapshot();
    let pairs = before.groups.iter().zip(&after.groups);
    assert_eq!(pairs.filter(|(one, other)| !Arc::ptr_eq(one, other)).count(), 1);
}

/// Reloads that remove all but one of so many groups, and bring them back.
fn reload_all_but_one(count: usize) {
    use std::fmt::Write as _;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("limpet.toml");
    let (mut rules, mut groups) = (String::new(), String::new());
    for number in 0..count {
        let _ = write!(
            rules,
            "[[listener.rule]]\npriority = {}\nforward = \"g{number}\"\nwhen.path = [\"/{number}\"]\n",
            number + 100
        );
        let _ = write!(
            groups,
            "[[target_group]]\nname = \"g{number}\"\nstickiness.enabled = {}\n\
             target = [{{ address = \"127.0.0.1:1\" }}, {{ address = \"127.0.0.1:2\" }}]\n",
            number % 2 == 0,
        );
    }
    let (head, tail) = FILE.split_once("[[target_group]]").unwrap();
    let all = format!("{head}{rules}[[target_group]]{tail}{groups}");
    fs::write(&path, &all).unwrap();
    let control = Control::new(config::load(&path).unwrap(), Some(&path), ring()).unwrap();
    let sessions = Sessions::new(control.published());
    control.set_session_estimate(Arc::new(move |group, target| {
        sessions.of_target_named(group, target, 1_700_000_000)
    }));
    for text in [FILE, &all, FILE] {
        fs::write(&path, text).unwrap();
        control.reload(&BY).unwrap();
    }
}

/// Tells a run of these tests whose instructions are counted how many groups to use.
const COUNTED_GROUPS: &str = "LIMPET_TEST_COUNTED_GROUPS";

/// Instructions of those reloads, counted by valgrind, which other load does not affect; `None` where there is no
/// valgrind.
fn instructions_of_reloads(count: usize) -> Option<u64> {
    let counted = std::process::Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "control::runtime::tests::costs::a_reload_costs_in_proportion_to_the_groups_it_removes",
        ])
        .env(COUNTED_GROUPS, count.to_string())
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&counted.stderr);
    assert!(counted.status.success(), "{said}{}", String::from_utf8_lossy(&counted.stdout));
    let words = |line: &str| line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let counts =
        said.lines().map(words).find(|words| words.starts_with(&["I".into(), "refs:".into()]));
    Some(counts.expect("a count")[2].replace(',', "").parse().unwrap())
}

#[test]
fn a_reload_costs_in_proportion_to_the_groups_it_removes() {
    const FEW: usize = 100;
    const TIMES: usize = 8;
    if let Ok(count) = std::env::var(COUNTED_GROUPS) {
        return reload_all_but_one(count.parse().unwrap());
    }
    // The cost of the process and its start is subtracted.
    let counts = [0, FEW, FEW * TIMES].map(instructions_of_reloads);
    let [Some(none), Some(few), Some(many)] = counts else {
        println!("not counted: there is no valgrind here");
        return;
    };
    let (few, many) = (few - none, many - none);
    println!("{FEW} groups: {few} instructions, {TIMES} times as many: {many}");
    // Sorting and the like may cost a twentieth more; a search among all groups for each of them would cost another
    // tenth even here.
    assert!(
        many * 20 <= few * TIMES as u64 * 21,
        "{FEW} groups: {few}, {TIMES} times as many: {many}"
    );
}
