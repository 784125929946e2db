//! Certificates from files: what is refused, what is noted, what is taken over.

mod renewal;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use crate::control::certificate_watch::Watch;
use crate::control::certificates::watch::{Endings, Seen};
use crate::control::certificates::*;
use crate::control::compile::{Before, Material, compile};
use crate::control::config;
use crate::control::events::Tone;
use crate::control::runtime::Control;
use crate::group::state::Registry;

const DAY_S: i64 = 86_400;

struct Site {
    home: TempDir,
    ring: Arc<KeyRing>,
    process_keys: Arc<ProcessKeys>,
}

impl Site {
    fn new() -> Site {
        let ring = Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).unwrap());
        Site {
            home: tempfile::tempdir().unwrap(),
            ring,
            process_keys: Arc::new(ProcessKeys::new()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        write(&self.path(name), text);
    }

    /// NAME.pem and NAME.key, valid for so many days from now.
    fn issue(&self, name: &str, host: &str, days: i64) {
        let (pem, key) = issued(host, days);
        self.write(&format!("{name}.pem"), &pem);
        self.write(&format!("{name}.key"), &key);
    }

    /// A file with one listener, which has these settings of TLS.
    fn file(&self, settings: &str) -> File {
        let text = "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\nrespond = {}\n";
        let mut file = config::parse(text, "test.toml").unwrap();
        let home = self.home.path().display().to_string();
        let mut tls: toml::Table = settings.replace("HOME", &home).parse().unwrap();
        let defaults = "certificates = []\nminimum_version = \"1.2\"\npolicy = \"intermediate\"
            cipher_suites = []\ngroups = []\nalpn = [\"http/1.1\"]\nstrict_sni = false\ntickets = true
            host_match = \"client_auth\"\nprofile = []
            [client]\nmode = \"off\"\ncrls = []\ncrl_expired = \"accept\"\nverify_depth = 4
            subjects = []\nfingerprints = []";
        for (key, value) in defaults.parse::<toml::Table>().unwrap() {
            match (tls.get_mut(&key), value) {
                (Some(toml::Value::Table(stated)), toml::Value::Table(table)) => {
                    for (key, value) in table {
                        stated.entry(key).or_insert(value);
                    }
                }
                (Some(_), _) => {}
                (None, value) => drop(tls.insert(key, value)),
            }
        }
        file.listeners[0].tls = Some(tls.try_into().unwrap());
        file
    }

    fn load(
        &self,
        file: &File,
        before: Option<&Certificates>,
    ) -> Result<Certificates, CompileError> {
        self.load_at(Occasion::Configuration, file, before, now_s())
    }

    /// As the watch reads, at this time.
    fn renew(
        &self,
        file: &File,
        before: &Certificates,
        now: i64,
    ) -> Result<Certificates, CompileError> {
        self.load_at(Occasion::Renewal, file, Some(before), now)
    }

    fn load_at(
        &self,
        occasion: Occasion,
        file: &File,
        before: Option<&Certificates>,
        now: i64,
    ) -> Result<Certificates, CompileError> {
        let (ring, process_keys, challenges) = (&*self.ring, &self.process_keys, &Arc::default());
        let surroundings = Surroundings { occasion, ring, process_keys, challenges, before, now };
        Certificates::load(file, &surroundings)
    }

    #[track_caller]
    fn faults(&self, settings: &str) -> Vec<String> {
        let CompileError(text) = self.load(&self.file(settings), None).unwrap_err();
        let home = self.home.path().display().to_string();
        text.lines().map(|line| line.replace(&home, "HOME")).collect()
    }
}

const LISTED: &str = "certificates = [{ chain = \"HOME/a.pem\", key = \"HOME/a.key\" }]";
const DIRECTORY: &str = "directory = \"HOME\"";

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn issued(host: &str, days: i64) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    let end = u64::try_from(now_s() + days * DAY_S).unwrap();
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(end);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn listed_certificates_and_those_of_a_directory_are_read() {
    let site = Site::new();
    site.issue("a", "a.example", 90);
    site.issue("b", "b.example", 90);
    let (pem, key) = issued("c.example", 90);
    site.write("c.pem", &(pem + &key));
    site.write(".d.pem", "half written");
    site.write("e.txt", "no certificate");
    let all = site.load(&site.file(&format!("{LISTED}\n{DIRECTORY}")), None).unwrap();
    let shown: Vec<String> = all
        .shown()
        .iter()
        .map(|shown| {
            let name = shown.chain.file_name().unwrap().to_string_lossy();
            format!("{:?} {name} {}", shown.source, shown.certificate.facts.names[0])
        })
        .collect();
    let expected = [
        "Listed a.pem a.example",
        "Directory a.pem a.example",
        "Directory b.pem b.example",
        "Directory c.pem c.example",
    ];
    assert_eq!(shown, expected);
    assert_eq!(all.notes(), [""; 0]);
    assert!(all.of("secure").is_some() && all.of("other").is_none());
}

#[test]
fn every_fault_is_told_at_once_with_its_file() {
    let site = Site::new();
    site.issue("a", "a.example", 90);
    site.issue("b", "b.example", 90);
    site.write("b.key", "no key");
    site.write("c.pem", "no chain");
    let (_, other) = issued("d.example", 90);
    site.issue("d", "d.example", 90);
    site.write("d.key", &other);
    let settings = "certificates = [
        { chain = \"HOME/b.pem\", key = \"HOME/b.key\" },
        { chain = \"HOME/c.pem\" },
        { chain = \"HOME/d.pem\", key = \"HOME/d.key\" },
        { chain = \"HOME/gone.pem\" },
        { chain = \"HOME\" },
    ]
    [client]
    mode = \"required\"
    authorities = \"HOME/a.key\"
    crls = [\"HOME/a.pem\"]";
    let starts = [
        "listener \"secure\": HOME/b.key: has no private key;",
        "listener \"secure\": HOME/c.pem: has no certificate;",
        "listener \"secure\": HOME/d.key: does not match:",
        "listener \"secure\": HOME/gone.pem: does not exist",
        "listener \"secure\": HOME: is no file",
        "listener \"secure\": HOME/a.key: has no certificate of an authority;",
        "listener \"secure\": HOME/a.pem: is no list of revoked certificates:",
    ];
    let faults = site.faults(settings);
    assert_eq!(faults.len(), starts.len(), "{faults:#?}");
    for (fault, start) in faults.iter().zip(starts) {
        assert!(fault.starts_with(start), "{fault}");
    }
}

const ACME: &str = "[acme]
    directory = \"https://ca.example\"
    names = [\"a.example\"]
    contact = []
    challenge = \"tls-alpn-01\"
    shared_directory = \"HOME/acme\"";

/// Where the certificate of [`ACME`] is kept.
fn kept(file: &File) -> PathBuf {
    let path = issued_file(file).unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

fn issued_file(file: &File) -> Option<PathBuf> {
    super::issued(file.listeners[0].tls.as_ref()?, file)
}

#[test]
fn a_listener_whose_certificate_an_authority_is_to_issue_has_none_yet_and_then_that_one() {
    let site = Site::new();
    let file = site.file(ACME);
    let before = site.load(&file, None).unwrap();
    assert!(before.of("secure").is_some() && before.shown().is_empty());
    assert!(before.are_as_on_disk(&file));
    let path = kept(&file);
    let (pem, key) = issued("a.example", 90);
    write(&path, &(pem + &key));
    assert!(!before.are_as_on_disk(&file), "it is watched like other files");
    let after = site.load(&file, Some(&before)).unwrap();
    assert_eq!(after.shown()[0].source, Source::Acme);
    assert_eq!(after.renewed(&before).len(), 1);
}

#[test]
fn a_certificate_of_an_authority_that_is_damaged_or_has_ended_stops_nothing() {
    let site = Site::new();
    let file = site.file(ACME);
    write(&kept(&file), "half written");
    let before = site.load(&file, None).unwrap();
    assert!(before.notes()[0].ends_with("; another is ordered"), "{:?}", before.notes());
    let (pem, key) = issued("a.example", -1);
    write(&kept(&file), &(pem + &key));
    let after = site.load(&file, Some(&before)).unwrap();
    assert_eq!(after.shown().len(), 1);
    assert_eq!(after.invalid(now_s()), [""; 0], "limpet itself renews it");
}

#[test]
fn listeners_answer_the_challenges_that_some_listener_asks_for() {
    let site = Site::new();
    let of_plain = |all: &Certificates| all.challenges_of_plain_listeners().is_some();
    assert!(!of_plain(&site.load(&site.file(ACME), None).unwrap()));
    let file = site.file(&ACME.replace("tls-alpn-01", "http-01"));
    let all = site.load(&file, None).unwrap();
    assert!(of_plain(&all));
    let plain =
        File { listeners: vec![file::Listener { tls: None, ..file.listeners[0].clone() }], ..file };
    let material = Material { ring: &site.ring, certificates: Some(&all) };
    let snapshot = compile(&plain, &Registry::new(), material, None, &[]).unwrap();
    assert!(snapshot.listeners[0].challenges.is_some());
    let nothing = Certificates::default();
    let material = Material { ring: &site.ring, certificates: Some(&nothing) };
    let before = Before { file: &plain, snapshot: &snapshot, ring: &site.ring, changed: &[] };
    let without = compile(&plain, &Registry::new(), material, Some(before), &[]).unwrap();
    assert!(without.listeners[0].challenges.is_none(), "a listener follows what others ask for");
}

#[test]
fn a_directory_without_a_certificate_is_refused() {
    let site = Site::new();
    let fault = site.faults(DIRECTORY).remove(0);
    assert_eq!(fault, "listener \"secure\": HOME: has no certificate; NAME.pem is read");
    let fault = site.faults("directory = \"HOME/gone\"").remove(0);
    assert!(fault.contains("HOME/gone: cannot be read as a directory"), "{fault}");
}

#[test]
fn what_did_not_change_is_taken_over_and_what_did_is_said() {
    let site = Site::new();
    site.issue("a", "a.example", 90);
    let file = site.file(DIRECTORY);
    let first = site.load(&file, None).unwrap();
    let again = site.load(&file, Some(&first)).unwrap();
    assert!(Arc::ptr_eq(first.of("secure").unwrap(), again.of("secure").unwrap()));
    assert!(again.renewed(&first).is_empty());
    site.issue("b", "b.example", 90);
    let more = site.load(&file, Some(&again)).unwrap();
    assert!(!Arc::ptr_eq(first.of("secure").unwrap(), more.of("secure").unwrap()));
    assert_eq!(more.renewed(&again), ["listener \"secure\": its certificates are read anew"]);
    assert_eq!(more.shown().len(), 2);
}

#[test]
fn a_listener_follows_its_certificates_without_a_word_in_the_file() {
    let site = Site::new();
    site.issue("a", "a.example", 90);
    let (file, registry) = (site.file(LISTED), Registry::new());
    let ring = &site.ring;
    let first = site.load(&file, None).unwrap();
    let material = Material { ring, certificates: Some(&first) };
    let snapshot = compile(&file, &registry, material, None, &[]).unwrap();
    let before = Before { file: &file, snapshot: &snapshot, ring, changed: &[] };
    let same = compile(&file, &registry, material, Some(before), &[]).unwrap();
    assert!(Arc::ptr_eq(&snapshot.listeners[0], &same.listeners[0]));
    site.issue("a", "a.example", 60);
    let second = site.load(&file, Some(&first)).unwrap();
    let material = Material { ring, certificates: Some(&second) };
    let renewed = compile(&file, &registry, material, Some(before), &[]).unwrap();
    let presented = renewed.listeners[0].tls.as_ref().unwrap();
    assert!(Arc::ptr_eq(presented, second.of("secure").unwrap()));
    let without = compile(&file, &registry, ring, None, &[]).unwrap_err();
    assert!(without.to_string().contains("its certificates were not read"), "{without}");
}

#[test]
fn a_new_certificate_with_a_wrong_date_is_refused_and_one_that_serves_is_kept() {
    let site = Site::new();
    site.issue("a", "a.example", 90);
    let file = site.file(LISTED);
    let running = site.load(&file, None).unwrap();
    site.issue("a", "a.example", -1);
    let refused = site.load(&file, Some(&running)).unwrap_err().to_string();
    assert!(refused.contains("a.pem: expired on 20"), "{refused}");
    // A process that starts serves it all the same, and says so.
    let started = site.load(&file, None).unwrap();
    assert_eq!(started.notes().len(), 1);
    assert_eq!(started.notes(), started.invalid(now_s()));
    let later = site.load(&file, Some(&started)).unwrap();
    assert_eq!(later.notes(), started.notes());
}

#[test]
fn what_is_hardly_intended_is_noted() {
    let site = Site::new();
    site.issue("a", "a.example", 90);
    fs::set_permissions(site.path("a.key"), fs::Permissions::from_mode(0o644)).unwrap();
    site.write("a.ocsp", "no response");
    let mut file = site.file(LISTED);
    let rule = "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\nrespond = {}
        [[listener.rule]]\npriority = 1\nwhen.host = [\"*.example.com\"]\nrespond = {}";
    file.listeners[0].rules = config::parse(rule, "test.toml").unwrap().listeners.remove(0).rules;
    let all = site.load(&file, None).unwrap();
    let notes = all.notes();
    assert_eq!(notes.len(), 3, "{notes:#?}");
    assert!(notes[0].contains("a.key is readable by all"), "{}", notes[0]);
    assert!(notes[1].ends_with("a.ocsp is no OCSP response in DER (RFC 6960); it is not sent"));
    assert!(notes[2].contains("no rule is about a.example, which"), "{}", notes[2]);
}

#[test]
fn each_step_towards_the_end_of_a_certificate_is_told_once() {
    let site = Site::new();
    site.issue("a", "a.example", 40);
    // Two listeners with the same certificate.
    let mut file = site.file(LISTED);
    let mut other = file.listeners[0].clone();
    other.name = "other".into();
    file.listeners.push(other);
    let all = site.load(&file, None).unwrap();
    let end = all.shown()[0].certificate.not_after;
    let mut endings = Endings::default();
    let mut told = |left: i64| endings.due(&all, end - left);
    assert!(told(31 * DAY_S).is_empty());
    let mut said = Vec::new();
    for left in [30 * DAY_S, 20 * DAY_S, 14 * DAY_S, 7 * DAY_S, DAY_S, DAY_S / 2, 0, -1, -DAY_S] {
        said.extend(told(left).into_iter().map(|(tone, text)| (left, tone, text)));
    }
    let steps: Vec<(i64, Tone)> = said.iter().map(|(left, tone, _)| (*left, *tone)).collect();
    let expected = [
        (30 * DAY_S, Tone::Warn),
        (14 * DAY_S, Tone::Warn),
        (7 * DAY_S, Tone::Warn),
        (DAY_S, Tone::Warn),
        (-1, Tone::Bad),
    ];
    assert_eq!(steps, expected);
    assert!(said[0].2.contains("a.pem expires in 30 days, on 20"), "{}", said[0].2);
    assert!(said[4].2.contains("a.pem has expired on 20"), "{}", said[4].2);
}

#[test]
fn every_file_is_seen_that_a_listener_is_made_of() {
    let site = Site::new();
    site.issue("a", "a.example", 90);
    let (pem, _) = issued("authority.example", 90);
    site.write("clients.crt", &pem);
    let file = site.file(
        "directory = \"HOME\"
        [client]
        mode = \"required\"
        authorities = \"HOME/clients.crt\"
        crls = [\"HOME/clients.crl\"]",
    );
    let mut seen = Seen::of(&file);
    assert_eq!(seen, Seen::of(&file));
    for name in ["a.key", "a.ocsp", "b.pem", "clients.crt", "clients.crl"] {
        site.write(name, "something else, and longer than before");
        let now = Seen::of(&file);
        assert_ne!(now, seen, "{name}");
        seen = now;
    }
}

impl Site {
    /// A file with one group of one target under TLS, with these settings.
    fn targets(&self, settings: &str) -> File {
        let text = format!(
            "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\nforward = \"app\"\n\
             [[target_group]]\nname = \"app\"\nprotocol = \"https\"\ntls.server_name = \"a.example\"\n\
             {settings}\n[[target_group.target]]\naddress = \"127.0.0.1:1\""
        );
        let home = self.home.path().display().to_string();
        config::parse(&text.replace("HOME", &home), "test.toml").unwrap()
    }
}

const TRUSTING: &str = "tls.authorities = \"HOME/ca.pem\"";

#[test]
fn what_is_wrong_with_the_files_of_targets_is_told_with_file_and_reason() {
    let site = Site::new();
    site.issue("ca", "ca.example", 90);
    site.issue("own", "own.example", 90);
    site.issue("other", "other.example", 90);
    site.write("empty", "");
    for (settings, expected) in [
        ("tls.authorities = \"HOME/gone.pem\"", "HOME/gone.pem: does not exist"),
        ("tls.authorities = \"HOME/empty\"", "HOME/empty: has no certificate of an authority"),
        ("TRUST\ntls.crls = [\"HOME/ca.pem\"]", "HOME/ca.pem: is no list of revoked"),
        ("TRUST\ntls.certificate = \"HOME/own.pem\"", "HOME/own.pem: has no private key"),
        (
            "TRUST\ntls.certificate = \"HOME/own.pem\"\ntls.key = \"HOME/other.key\"",
            "HOME/other.key: does not match",
        ),
    ] {
        let file = site.targets(&settings.replace("TRUST", TRUSTING));
        let CompileError(text) = site.load(&file, None).unwrap_err();
        let text = text.replace(&site.home.path().display().to_string(), "HOME");
        let expected = format!("target group \"app\": {expected}");
        assert!(text.starts_with(&expected) && text.lines().count() == 1, "{text}");
    }
}

#[test]
fn what_a_group_presents_is_shown_and_its_end_is_told() {
    let site = Site::new();
    site.issue("ca", "ca.example", 90);
    site.issue("own", "own.example", 20);
    let own = "tls.certificate = \"HOME/own.pem\"\ntls.key = \"HOME/own.key\"";
    let file = site.targets(&format!("{TRUSTING}\n{own}"));
    let all = site.load(&file, None).unwrap();
    let [shown] = all.shown() else { panic!("{:?}", all.shown()) };
    assert_eq!(shown.presenter.target_group(), Some("app"));
    assert_eq!((shown.presenter.listener(), &shown.chain), (None, &site.path("own.pem")));
    let end = shown.certificate.not_after;
    let [(tone, text)] = &Endings::default().due(&all, end - DAY_S)[..] else { panic!() };
    assert_eq!(*tone, Tone::Warn);
    assert!(text.starts_with("target group \"app\": the certificate "), "{text}");
    site.issue("own", "own.example", -1);
    let started = site.load(&file, None).unwrap();
    assert_eq!(started.notes(), started.invalid(now_s()));
    assert!(started.notes()[0].starts_with("target group \"app\": "), "{:?}", started.notes());
}

#[test]
fn targets_prove_the_same_until_a_setting_or_a_file_of_theirs_has_changed() {
    let site = Site::new();
    site.issue("ca", "ca.example", 90);
    let file = site.targets(TRUSTING);
    let first = site.load(&file, None).unwrap();
    let again = site.load(&file, Some(&first)).unwrap();
    let of = |all: &Certificates| Arc::clone(all.of_targets("app").unwrap());
    assert!(Arc::ptr_eq(&of(&first), &of(&again)));
    assert_eq!(again.renewed(&first), [""; 0]);
    assert!(first.are_as_on_disk(&file));

    site.issue("ca", "ca.example", 91);
    assert!(!first.are_as_on_disk(&file));
    let renewed = site.load(&file, Some(&again)).unwrap();
    assert_ne!(of(&renewed).id(), of(&again).id());
    assert_eq!(renewed.renewed(&again), ["target group \"app\": its certificates are read anew"]);
    let chain = site.targets(&format!("{TRUSTING}\ntls.verify = \"chain\""));
    let changed = site.load(&chain, Some(&renewed)).unwrap();
    assert_ne!(of(&changed).id(), of(&renewed).id());
}

#[test]
fn a_snapshot_speaks_to_targets_as_their_group_says_and_takes_over_what_stays() {
    let site = Site::new();
    site.issue("ca", "ca.example", 90);
    let file = site.targets(TRUSTING);
    let registry = Registry::default();
    let first = site.load(&file, None).unwrap();
    let material = |certificates| Material { ring: &site.ring, certificates: Some(certificates) };
    let snapshot = compile(&file, &registry, material(&first), None, &[]).unwrap();
    let group = &snapshot.groups[0];
    assert_eq!(group.options.handshake_timeout, std::time::Duration::from_secs(5));
    let name = group.targets[0].tls().unwrap().only_name().unwrap();
    assert_eq!(name.server_name.to_str(), "a.example");
    let again = |certificates| {
        let before = Before { file: &file, snapshot: &snapshot, ring: &site.ring, changed: &[] };
        let next = compile(&file, &registry, material(certificates), Some(before), &[]).unwrap();
        Arc::ptr_eq(&next.groups[0], group)
    };
    assert!(again(&first));
    site.issue("ca", "ca.example", 91);
    let renewed = site.load(&file, Some(&first)).unwrap();
    assert!(!again(&renewed));
}

#[test]
fn an_edit_of_a_group_reads_nothing_and_files_of_targets_are_watched() {
    let site = Site::new();
    site.issue("ca", "ca.example", 90);
    let home = site.home.path().display().to_string();
    let file = site.targets(TRUSTING);
    let before = Seen::of(&file);
    site.issue("ca", "ca.example", 91);
    assert_ne!(Seen::of(&file), before, "{home}");
}
