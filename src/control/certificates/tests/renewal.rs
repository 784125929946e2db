//! Files that change while limpet runs: each bad one keeps its own old one, and holds up no other.

use rcgen::{
    BasicConstraints, CertificateRevocationListParams, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::ClientConnection;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::Acceptor;
use serde_json::json;

use super::*;
use crate::control::acme::test_client::Anyone;
use crate::control::change::{By, ChangeError, Edit, Keep};
use crate::tls::listener::TlsListener;

const BY: By<'static> = By { actor: "test", if_version: None };
const RENEWED: &str = "listener \"secure\": its certificates are read anew";

/// A listener "secure" with these settings, another one, and a group.
fn text(site: &Site, settings: &str, more: &str) -> String {
    let text = format!(
        "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:1001\"\nforward = \"app\"\n\
         [listener.tls]\n{settings}\n{more}\n\
         [[target_group]]\nname = \"app\"\ntarget = [{{ id = \"one\", address = \"127.0.0.1:1\" }}]\n"
    );
    text.replace("HOME", &site.home.path().display().to_string())
}

const OTHER: &str = "[[listener]]\nname = \"other\"\naddress = \"127.0.0.1:1002\"\nrespond = {}\n\
    [listener.tls]\ncertificates = [{ chain = \"HOME/o.pem\", key = \"HOME/o.key\" }]";
const TWO: &str = "certificates = [{ chain = \"HOME/a.pem\", key = \"HOME/a.key\" }, \
    { chain = \"HOME/b.pem\", key = \"HOME/b.key\" }]";

/// A process whose files are watched.
struct Process {
    control: Control,
    watch: Watch,
    number: u64,
    home: String,
}

impl Process {
    fn of(site: &Site, text: String) -> Process {
        let path = site.path("limpet.toml");
        fs::write(&path, &text).unwrap();
        let parsed = config::load(&path).unwrap();
        let control = Control::new(parsed, Some(&path), Arc::clone(&site.ring)).unwrap();
        let home = site.home.path().display().to_string();
        let mut process = Process { control, watch: Watch::default(), number: 0, home };
        assert_eq!(process.told(), [""; 0]);
        process
    }

    /// The events of two looks; a change is taken up at the second one that sees it.
    fn told(&mut self) -> Vec<String> {
        self.watch.look(&self.control);
        self.watch.look(&self.control);
        let new = self.control.events().after(self.number, 100);
        self.number = new.last().map_or(self.number, |event| event.number);
        new.into_iter().map(|event| event.text.replace(&self.home, "HOME")).collect()
    }

    /// The only event of two looks.
    #[track_caller]
    fn tells(&mut self, start: &str, end: &str) {
        let told = self.told();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(start) && told[0].ends_with(end), "{}", told[0]);
    }

    fn tls(&self, listener: &str) -> Arc<TlsListener> {
        let snapshot = self.control.snapshot();
        let found = snapshot.listeners.iter().find(|one| one.name.as_ref() == listener).unwrap();
        found.tls.clone().unwrap()
    }

    /// What a client that asks a listener for a name is shown.
    fn shown(&self, listener: &str, name: &'static str) -> Vec<u8> {
        shake(&self.tls(listener), Anyone::client(name, &[b"http/1.1"])).unwrap()
    }

    fn fault(&self) -> Option<String> {
        self.control.last_certificate_reading().fault
    }
}

/// The certificate that a client is shown; an error of the server's.
fn shake(tls: &TlsListener, mut client: ClientConnection) -> Result<Vec<u8>, rustls::Error> {
    let (mut acceptor, mut hello) = (Acceptor::default(), Vec::new());
    client.write_tls(&mut hello).unwrap();
    acceptor.read_tls(&mut &hello[..]).unwrap();
    let accepted = acceptor.accept().unwrap().unwrap();
    let config = tls.choose(&accepted.client_hello()).unwrap();
    let mut server = accepted.into_connection(config).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets().unwrap();
        wire.clear();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets()?;
    }
    Ok(client.peer_certificates().unwrap()[0].to_vec())
}

#[test]
fn certificates_are_read_anew_when_their_files_have_changed() {
    let site = Site::new();
    site.issue("a", "a.example", 90);
    let mut process = Process::of(&site, text(&site, LISTED, ""));
    let first = process.tls("secure");
    site.issue("a", "a.example", 80);
    assert_eq!(process.told(), [RENEWED]);
    assert!(!Arc::ptr_eq(&first, &process.tls("secure")));
    assert_eq!(process.control.version(), 1, "the configuration is the same");
    site.issue("a", "a.example", 20);
    let said = process.told();
    assert_eq!(said[0], RENEWED);
    assert!(said[1].contains("a.pem expires in "), "{said:?}");
}

#[test]
fn one_bad_certificate_holds_up_no_other_of_its_listener() {
    let site = Site::new();
    site.issue("a", "a.example", 90);
    site.issue("b", "b.example", 90);
    let mut process = Process::of(&site, text(&site, TWO, ""));
    let (a, b) = (process.shown("secure", "a.example"), process.shown("secure", "b.example"));

    site.issue("a", "a.example", 80);
    site.write("b.key", "half written");
    let told = process.told();
    assert_eq!(told[0], RENEWED);
    let (start, end) =
        ("listener \"secure\": HOME/b.key: has no private key;", "; the old certificate stays");
    assert!(told[1].starts_with(start) && told[1].ends_with(end), "{told:?}");
    assert_eq!(told.len(), 2);
    assert_ne!(process.shown("secure", "a.example"), a);
    assert_eq!(process.shown("secure", "b.example"), b);
    assert!(process.fault().is_some_and(|fault| fault.contains("b.key: has no private key")));

    // What stays as bad as it was is told once, also when others are renewed.
    let presented = process.tls("secure");
    assert_eq!(process.told(), [""; 0]);
    assert!(Arc::ptr_eq(&presented, &process.tls("secure")));
    site.issue("a", "a.example", 70);
    assert_eq!(process.told(), [RENEWED]);
    assert!(process.fault().is_some());

    site.issue("b", "b.example", 80);
    assert_eq!(process.told(), [RENEWED]);
    assert_ne!(process.shown("secure", "b.example"), b);
    assert_eq!(process.fault(), None);
}

#[test]
fn a_file_that_is_written_badly_once_more_is_told_once_more() {
    let site = Site::new();
    site.issue("a", "a.example", 90);
    let key = fs::read_to_string(site.path("a.key")).unwrap();
    let mut process = Process::of(&site, text(&site, LISTED, ""));
    let presented = process.tls("secure");
    for content in ["half written", "and again"] {
        site.write("a.key", content);
        process.tells("listener \"secure\": HOME/a.key: has no private key", "stays");
    }
    // The old content is back: nothing else is presented.
    site.write("a.key", &key);
    assert_eq!(process.told(), [""; 0]);
    assert_eq!(process.fault(), None);
    assert!(Arc::ptr_eq(&presented, &process.tls("secure")));
}

#[test]
fn one_listener_with_a_bad_certificate_holds_up_no_other() {
    let site = Site::new();
    site.issue("a", "a.example", 90);
    site.issue("o", "o.example", 90);
    let mut process = Process::of(&site, text(&site, LISTED, OTHER));
    let (secure, other) = (process.tls("secure"), process.tls("other"));
    fs::remove_file(site.path("a.pem")).unwrap();
    site.issue("o", "o.example", 80);
    let told = process.told();
    assert_eq!(told[0], "listener \"other\": its certificates are read anew");
    assert_eq!(
        told[1],
        "listener \"secure\": HOME/a.pem: does not exist; the old certificate stays"
    );
    assert!(Arc::ptr_eq(&secure, &process.tls("secure")));
    assert!(!Arc::ptr_eq(&other, &process.tls("other")));
}

#[test]
fn a_bad_new_file_of_a_directory_is_not_presented_and_a_deleted_one_goes() {
    let site = Site::new();
    fs::create_dir(site.path("d")).unwrap();
    site.issue("d/a", "a.example", 90);
    site.issue("d/b", "b.example", 90);
    let mut process = Process::of(&site, text(&site, "directory = \"HOME/d\"", ""));
    let b = process.shown("secure", "b.example");
    site.write("d/c.pem", "half written");
    process.tells("listener \"secure\": HOME/d/c.pem: has no cert", "; it is not presented");
    site.issue("d/c", "c.example", 90);
    assert_eq!(process.told(), [RENEWED]);
    site.issue("d/e", "e.example", -1);
    process.tells("listener \"secure\": HOME/d/e.pem: expired on ", "; it is not presented");

    for name in ["b", "e"] {
        fs::remove_file(site.path(&format!("d/{name}.pem"))).unwrap();
    }
    assert_eq!(process.told(), [RENEWED]);
    assert_ne!(process.shown("secure", "b.example"), b);
    assert_eq!(process.fault(), None);

    // The last ones stay.
    let presented = process.tls("secure");
    for name in ["a", "c"] {
        fs::remove_file(site.path(&format!("d/{name}.pem"))).unwrap();
    }
    process.tells("listener \"secure\": HOME/d: has no certificate;", "; the old ones stay");
    fs::rename(site.path("d"), site.path("gone")).unwrap();
    assert_eq!(process.told(), [""; 0], "nothing changes in what is seen");
    assert!(Arc::ptr_eq(&presented, &process.tls("secure")));
    assert_eq!(process.control.certificates().shown().len(), 2);
}

#[test]
fn a_directory_that_cannot_be_read_holds_up_no_listed_certificate() {
    let site = Site::new();
    fs::create_dir(site.path("d")).unwrap();
    site.issue("a", "a.example", 90);
    site.issue("d/b", "b.example", 90);
    let both = format!("{LISTED}\ndirectory = \"HOME/d\"");
    let mut process = Process::of(&site, text(&site, &both, ""));
    let b = process.shown("secure", "b.example");
    fs::rename(site.path("d"), site.path("gone")).unwrap();
    site.issue("a", "a.example", 80);
    let told = process.told();
    assert_eq!(told[0], RENEWED);
    assert!(told[1].contains("HOME/d: cannot be read as a directory"), "{told:?}");
    assert_eq!(process.shown("secure", "b.example"), b);
}

#[test]
fn a_wrong_date_is_refused_in_the_file_of_a_certificate_that_serves() {
    let site = Site::new();
    site.issue("a", "a.example", 90);
    let mut process = Process::of(&site, text(&site, LISTED, ""));
    let presented = process.tls("secure");
    site.issue("a", "a.example", -1);
    process.tells("listener \"secure\": HOME/a.pem: expired on ", "; the old certificate stays");
    assert!(Arc::ptr_eq(&presented, &process.tls("secure")));
    assert_eq!(process.control.certificates().invalid(now_s()), [""; 0]);
}

#[test]
fn a_certificate_that_came_too_early_is_taken_when_its_time_comes() {
    let site = Site::new();
    site.issue("a", "a.example", 90);
    let file = site.file(LISTED);
    let running = site.load(&file, None).unwrap();
    let (now, later) = (now_s(), now_s() + DAY_S);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let begins = std::time::Duration::from_secs(u64::try_from(later).unwrap());
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + begins;
    site.write("a.pem", &params.self_signed(&key).unwrap().pem());
    site.write("a.key", &key.serialize_pem());
    let early = site.renew(&file, &running, now).unwrap();
    assert!(early.kept()[0].text.contains("is not valid before"), "{:?}", early.kept());
    assert!(early.renewed(&running).is_empty());
    assert!(!early.are_due(later - 1) && early.are_due(later));
    let due = site.renew(&file, &early, later).unwrap();
    assert_eq!(due.renewed(&early), [RENEWED]);
    assert!(due.kept().is_empty() && !due.are_due(i64::MAX));
}

/// An authority of clients: its certificate, and what it issues.
struct Clients {
    params: CertificateParams,
    key: KeyPair,
}

impl Clients {
    fn new() -> Clients {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Clients { params, key: KeyPair::generate().unwrap() }
    }

    fn pem(&self) -> String {
        self.params.self_signed(&self.key).unwrap().pem()
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    /// A client that asks for `name` and shows a certificate with this serial number.
    fn client(&self, name: &'static str, serial: u64) -> ClientConnection {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(SerialNumber::from(serial));
        let certificate = params.signed_by(&key, &self.issuer()).unwrap();
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        Anyone::client_with(name, &[b"http/1.1"], Some((chain, key)))
    }

    fn revoke(&self, serial: u64) -> String {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: rcgen::date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer()).unwrap().pem().unwrap()
    }
}

#[test]
fn a_bad_list_of_revoked_clients_keeps_the_old_one_as_strict_as_it_was() {
    let site = Site::new();
    let clients = Clients::new();
    site.issue("a", "a.example", 90);
    site.write("clients.crt", &clients.pem());
    site.write("own.crl", &clients.revoke(7));
    site.write("profile.crl", &clients.revoke(8));
    let strict = format!(
        "{LISTED}\n[listener.tls.client]\nmode = \"required\"\nauthorities = \"HOME/clients.crt\"\n\
         crls = [\"HOME/own.crl\"]\n[[listener.tls.profile]]\nnames = [\"p.example\"]\n\
         client = {{ mode = \"required\", authorities = \"HOME/clients.crt\", crls = [\"HOME/profile.crl\"] }}"
    );
    let mut process = Process::of(&site, text(&site, &strict, ""));
    let connects = |process: &Process, name, serial| {
        shake(&process.tls("secure"), clients.client(name, serial)).is_ok()
    };
    let asked = [("a.example", 7), ("a.example", 8), ("p.example", 7), ("p.example", 8)];
    let all = |process: &Process| asked.map(|(name, serial)| connects(process, name, serial));
    assert_eq!(all(&process), [false, true, true, false]);

    let before = process.shown_to(clients.client("a.example", 1));
    site.issue("a", "a.example", 80);
    site.write("own.crl", "no list");
    let told = process.told();
    assert_eq!(told[0], RENEWED);
    let (start, end) = ("listener \"secure\": HOME/own.crl: is no list", "stays as it was");
    assert!(told[1].starts_with(start) && told[1].ends_with(end), "{told:?}");
    assert_ne!(process.shown_to(clients.client("a.example", 1)), before);
    assert_eq!(all(&process), [false, true, true, false]);

    // The profile's list is renewed beside it; an authority that is gone opens nothing either.
    site.write("profile.crl", &clients.revoke(7));
    assert_eq!(process.told(), [RENEWED]);
    assert_eq!(all(&process), [false, true, false, true]);
    fs::remove_file(site.path("clients.crt")).unwrap();
    site.write("own.crl", &clients.revoke(8));
    let told = process.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(all(&process), [false, true, false, true], "files of one client go together");
    site.write("clients.crt", &clients.pem());
    assert_eq!(process.told(), [RENEWED]);
    assert_eq!(all(&process), [true, false, false, true]);
}

impl Process {
    fn shown_to(&self, client: ClientConnection) -> Vec<u8> {
        shake(&self.tls("secure"), client).unwrap()
    }
}

#[test]
fn a_group_with_a_bad_file_keeps_all_its_old_ones() {
    let site = Site::new();
    site.issue("ca", "ca.example", 90);
    site.issue("own", "own.example", 90);
    let group = "[[target_group]]\nname = \"safe\"\nprotocol = \"https\"\n\
        target = [{ id = \"one\", address = \"127.0.0.1:1\" }]\n\
        tls = { server_name = \"a.example\", authorities = \"HOME/ca.pem\", \
        certificate = \"HOME/own.pem\", key = \"HOME/own.key\" }\n";
    site.issue("a", "a.example", 90);
    let mut process = Process::of(&site, text(&site, LISTED, group));
    let of = |process: &Process| {
        let certificates = process.control.certificates();
        let own = certificates.shown().iter().find(|one| one.presenter.target_group().is_some());
        let own = own.unwrap().certificate.facts.fingerprint;
        (Arc::clone(certificates.of_targets("safe").unwrap()), own)
    };
    let before = of(&process);
    site.write("ca.pem", "no authority");
    site.issue("own", "own.example", 80);
    process.tells("target group \"safe\": HOME/ca.pem: has no", "; the old files stay in use");
    let kept = of(&process);
    assert!(Arc::ptr_eq(&before.0, &kept.0) && before.1 == kept.1);

    // A wrong date is refused in a group that is known, too.
    site.issue("ca", "ca.example", 91);
    site.issue("own", "own.example", -1);
    process
        .tells("target group \"safe\": HOME/own.pem: expired on ", "; the old files stay in use");
    assert!(Arc::ptr_eq(&before.0, &of(&process).0));
    site.issue("own", "own.example", 80);
    assert_eq!(process.told(), ["target group \"safe\": its certificates are read anew"]);
    let after = of(&process);
    assert!(before.0.id() != after.0.id() && before.1 != after.1);
}

#[test]
fn an_edit_elsewhere_passes_by_a_bad_file_and_a_configuration_does_not() {
    let site = Site::new();
    site.issue("a", "a.example", 90);
    site.issue("ca", "ca.example", 90);
    let group = "[[target_group]]\nname = \"safe\"\nprotocol = \"https\"\n\
        target = [{ id = \"one\", address = \"127.0.0.1:1\" }]\n\
        tls = { server_name = \"a.example\", authorities = \"HOME/ca.pem\" }\n";
    let mut process = Process::of(&site, text(&site, LISTED, group));
    let presented = process.tls("secure");
    let edit = |process: &Process, group: &str, set: serde_json::Value| {
        let set = set.as_object().unwrap().clone();
        let edit = Edit::SetGroup { group: group.to_owned(), set };
        process.control.edit(&edit, Keep::Overlay, &BY)
    };
    site.write("a.key", "half written");
    // The watch has not seen it yet.
    edit(&process, "app", json!({"slow_start": "1s"})).unwrap();
    let told = process.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("edit by test: ") && told[1].contains("HOME/a.key: "), "{told:?}");
    edit(&process, "app", json!({"slow_start": "2s"})).unwrap();
    let tls = |authorities: &str| {
        let tls =
            json!({"server_name": "a.example", "authorities": authorities, "verify": "chain"});
        json!({ "tls": tls })
    };
    let authorities = site.path("ca.pem").display().to_string();
    edit(&process, "safe", tls(&authorities)).unwrap();
    assert!(Arc::ptr_eq(&presented, &process.tls("secure")));
    assert!(process.fault().is_some(), "an edit does not mend a file");
    process.told();

    // What the edit touches is judged.
    let refused = edit(&process, "safe", tls("/gone.pem"));
    let Err(ChangeError::Compile(refused)) = refused else { panic!("{refused:?}") };
    let refused = refused.to_string();
    assert!(refused.starts_with("target group \"safe\": /gone.pem: does not exist"), "{refused}");
    assert_eq!(refused.lines().count(), 1);
    // Whoever reloads is told.
    let refused = process.control.reload(&BY).unwrap_err().to_string();
    assert!(refused.contains("a.key: has no private key"), "{refused}");
    assert!(Arc::ptr_eq(&presented, &process.tls("secure")));
    site.issue("a", "a.example", 80);
    process.control.reload(&BY).unwrap();
    assert!(!Arc::ptr_eq(&presented, &process.tls("secure")));
    assert_eq!(process.fault(), None);
}

#[test]
fn a_damaged_certificate_of_an_authority_leaves_the_good_one_in_use() {
    let site = Site::new();
    let file = site.file(ACME);
    let (pem, key) = issued("a.example", 90);
    write(&kept(&file), &(pem + &key));
    let before = site.load(&file, None).unwrap();
    write(&kept(&file), "half written");
    let after = site.renew(&file, &before, now_s()).unwrap();
    let end = "; the old certificate stays, and another is ordered";
    assert!(after.kept()[0].text.ends_with(end), "{:?}", after.kept());
    assert!(after.is_kept(&kept(&file)));
    fs::remove_file(kept(&file)).unwrap();
    let gone = site.renew(&file, &after, now_s()).unwrap();
    assert!(gone.kept()[0].text.contains("does not exist; the old"), "{:?}", gone.kept());
    assert!(Arc::ptr_eq(before.of("secure").unwrap(), gone.of("secure").unwrap()));
}

#[test]
fn a_bad_response_beside_a_certificate_keeps_the_old_one_until_its_next_update() {
    const RESPONSE: &[u8] = include_bytes!("../../../tls/tests/fixtures/ec.ocsp");
    let site = Site::new();
    site.write("a.pem", include_str!("../../../tls/tests/fixtures/ec.pem"));
    site.write("a.key", include_str!("../../../tls/tests/fixtures/ec.key"));
    fs::write(site.path("a.ocsp"), RESPONSE).unwrap();
    let file = site.file(LISTED);
    let stapled = |all: &Certificates| all.shown()[0].certificate.staple_until();
    let first = site.load(&file, None).unwrap();
    let until = stapled(&first).unwrap();
    // Half written, then as a responder's page of errors: the watch keeps what it had, however often it looks.
    let mut before = first;
    for bad in [&RESPONSE[..40], b"<html>503</html>".as_slice()] {
        fs::write(site.path("a.ocsp"), bad).unwrap();
        let renewed = site.renew(&file, &before, until).unwrap();
        assert_eq!(stapled(&renewed), Some(until));
        let kept: Vec<&str> = renewed.kept().iter().map(|fault| fault.text.as_str()).collect();
        let told = "a.ocsp: is no OCSP response in DER (RFC 6960); the old response is still sent";
        assert!(kept.len() == 1 && kept[0].ends_with(told), "{kept:?}");
        before = renewed;
    }
    let late = site.renew(&file, &before, until + 1).unwrap();
    assert_eq!(stapled(&late), None);
    // A response that is taken away is not sent, and neither is one of another certificate.
    fs::remove_file(site.path("a.ocsp")).unwrap();
    assert_eq!(stapled(&site.renew(&file, &before, until).unwrap()), None);
    fs::write(site.path("a.ocsp"), b"none").unwrap();
    site.issue("a", "a.example", 90);
    let other = site.renew(&file, &before, now_s()).unwrap();
    assert_eq!(stapled(&other), None);
    assert!(
        other.notes().iter().any(|note| note.ends_with("; it is not sent")),
        "{:?}",
        other.notes()
    );
}
