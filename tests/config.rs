//! The files in `config/`, the report of everything that is wrong with a file, and the promise that
//! `config/limpet.toml` names every setting with its true default.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use limpet::control::config::schema::{self, Default, Kind};
use limpet::control::config::{self, Problems};
use limpet::control::runtime::Control;
use limpet::stickiness::keyring::KeyRing;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn toml_files(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(directory)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

/// `config/limpet.toml` with every commented setting taken in.
fn uncommented() -> String {
    let setting = |line: &str| {
        let after = line.strip_prefix('#')?;
        after
            .starts_with(|first: char| first.is_ascii_lowercase() || first == '[')
            .then(|| after.to_owned())
    };
    let text = read("config/limpet.toml");
    text.lines().map(|line| setting(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

fn problems(text: &str) -> Vec<String> {
    match config::parse(text, "x.toml") {
        Ok(_) => Vec::new(),
        Err(Problems(problems)) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_file_of_the_config_folder_loads() {
    let files = toml_files("config");
    assert!(files.len() >= 3);
    for path in files {
        if let Err(error) = config::load(&path) {
            panic!("{error}");
        }
    }
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once() {
    let Err(report) = config::parse(&read("tests/config/bad.toml"), "bad.toml") else {
        panic!("bad.toml was accepted");
    };
    let expected = read("tests/config/bad.report");
    let report = format!("{report}\n");
    if let Ok(path) = std::env::var("LIMPET_WRITE_REPORT") {
        fs::write(path, &report).unwrap();
    }
    for (got, want) in report.lines().zip(expected.lines()) {
        assert_eq!(got, want);
    }
    assert_eq!(report, expected);
}

/// Follows a path of the listing ("listener.rule.when") through a document; lists are searched whole.
fn stated<'d>(document: &'d toml::Value, path: &str) -> Option<&'d toml::Value> {
    let (key, rest) = path.split_once('.').unwrap_or((path, ""));
    let values: Vec<&toml::Value> = match document {
        toml::Value::Array(elements) => {
            return elements.iter().find_map(|element| stated(element, path));
        }
        toml::Value::Table(table) if key == "*" => table.values().collect(),
        toml::Value::Table(table) => table.get(key).into_iter().collect(),
        _ => return None,
    };
    let found = |value| if rest.is_empty() { Some(value) } else { stated(value, rest) };
    values.into_iter().find_map(found)
}

#[test]
fn limpet_toml_names_every_setting_with_its_true_default() {
    let document: toml::Value = toml::from_str(&uncommented()).unwrap();
    let listing = schema::listing();
    assert!(listing.len() > 120, "{}", listing.len());
    for listed in listing {
        // A listener's own action has the settings of a rule's, which stand there.
        let in_rule = listed.path.replacen("listener.", "listener.rule.", 1);
        let path = if stated(&document, &listed.path).is_some() { &listed.path } else { &in_rule };
        let value = stated(&document, path);
        let value = value.unwrap_or_else(|| panic!("{} is not named", listed.path));
        if let Default::Is(default) = listed.setting.default
            && !matches!(listed.setting.kind, Kind::Sections(_) | Kind::SectionByName { .. })
        {
            // Conditions and trusted networks are shown by example where their default is "none".
            if listed.path.starts_with("listener.rule.when.") {
                continue;
            }
            // A weight can only be shown in a list of groups.
            if listed.path == "listener.rule.forward.groups.weight"
                || listed.path == "listener.forward.groups.weight"
            {
                continue;
            }
            let expected: toml::Value =
                toml::from_str::<toml::Table>(&format!("value = {default}")).unwrap()["value"]
                    .clone();
            assert_eq!(value, &expected, "{}", listed.path);
        }
    }
}

#[test]
fn limpet_toml_sets_nothing_but_defaults() {
    let as_it_is = config::parse(&read("config/limpet.toml"), "limpet.toml").unwrap();
    let bare = r#"
        [[listener]]
        name = "web"
        address = "0.0.0.0:8080"
        forward = "app"
        [[target_group]]
        name = "app"
        target = [{ address = "127.0.0.1:9001" }]
    "#;
    let bare = config::parse(bare, "bare.toml").unwrap();
    assert_eq!(as_it_is.process, bare.process);
    assert_eq!(as_it_is.access_log, bare.access_log);
    assert_eq!(as_it_is.admin, bare.admin);
    assert_eq!(as_it_is.stickiness_keys, bare.stickiness_keys);
    assert_eq!(as_it_is.target_groups[0], bare.target_groups[0]);
    let mut listener = as_it_is.listeners[0].clone();
    listener.rules.clear();
    assert_eq!(listener, bare.listeners[0]);
}

#[test]
fn everything_in_limpet_toml_is_accepted_together_but_for_what_excludes_each_other() {
    // app_cookie, app_header, hash_on, tls, template, authorities and proxy_protocol_from have a meaning beside another
    // type, algorithm, protocol, format, mode and proxy_protocol only.
    let text = uncommented()
        .replace("\nproxy_protocol = \"off\"", "\nproxy_protocol = \"any\"")
        .replace("format = \"json\"", "format = \"template\"")
        .replace("protocol = \"http\"", "protocol = \"https\"")
        .replace("algorithm = \"round_robin\"", "algorithm = \"hash\"")
        .replace("mode = \"off\"", "mode = \"required\"");
    let (listeners, groups) = text.split_once("[[target_group]]").expect("a group");
    let by_field = |text: &str| text.replace("type = \"lb_cookie\"", "type = \"app_header\"");
    let by_cookie = |text: &str| text.replace("type = \"lb_cookie\"", "type = \"app_cookie\"");
    let without = |text: &str, key: &str| {
        let lines = text.lines().filter(|line| !line.starts_with(&format!("{key} =")));
        lines.collect::<Vec<_>>().join("\n")
    };
    for groups in
        [by_cookie(&without(groups, "app_header")), by_field(&without(groups, "app_cookie"))]
    {
        let text = format!("{}[[target_group]]{groups}", by_field(listeners));
        assert_eq!(problems(&text), Vec::<String>::new());
    }
}

#[test]
fn where_proxy_headers_are_taken_their_senders_are_named() {
    let with = |lines: &str| {
        format!(
            "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n{lines}\nforward = \"app\"\n\
             [[target_group]]\nname = \"app\"\ntarget = [{{ address = \"127.0.0.1:1\" }}]\n"
        )
    };
    for (lines, at, what) in [
        (
            "proxy_protocol = \"v2\"",
            "4:18: listener[web].proxy_protocol",
            "is on, and nothing says whose headers are taken; allowed: proxy_protocol_from = [\"10.0.0.0/8\"] \
             beside it, the addresses of the balancers in front; or proxy_protocol_from = \"any\", which lets \
             everybody who connects name any client",
        ),
        (
            "proxy_protocol_from = \"any\"",
            "4:23: listener[web].proxy_protocol_from",
            "has no effect: no headers are taken; found \"any\"; allowed: proxy_protocol = \"v1\", \"v2\" or \"any\" \
             beside it",
        ),
        (
            "proxy_protocol = \"v2\"\nproxy_protocol_from = []",
            "5:23: listener[web].proxy_protocol_from",
            "is empty; found []; allowed: an IP address, a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", \
             \"unix\" for peers on a Unix socket, or \"any\"; or a list of such texts",
        ),
        (
            "proxy_protocol = \"v2\"\nproxy_protocol_from = \"all\"",
            "5:23: listener[web].proxy_protocol_from",
            "is none of these; limpet's word for it is \"any\"; found \"all\"; allowed: an IP address, a network such \
             as \"10.0.0.0/8\" or \"2001:db8::/32\", \"unix\" for peers on a Unix socket, or \"any\"",
        ),
    ] {
        assert_eq!(problems(&with(lines)), [format!("x.toml:{at}: {what}")]);
    }
    for from in ["\"any\"", "[\"any\"]", "\"10.0.0.1\"", "[\"10.0.0.0/8\", \"unix\"]"] {
        let lines = format!("proxy_protocol = \"any\"\nproxy_protocol_from = {from}");
        assert_eq!(problems(&with(&lines)), Vec::<String>::new());
    }
}

/// A file with a rule that has these lines, and a group `app` with those.
fn with_rule(rule: &str, group: &str) -> String {
    format!(
        "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\nforward = \"app\"\n\
         [[listener.rule]]\npriority = 10\nforward = \"app\"\n{rule}\n\
         [[target_group]]\nname = \"app\"\ntarget = [{{ address = \"127.0.0.1:1\" }}]\n{group}\n"
    )
}

/// An allow-list that a template left empty must not open the door.
#[test]
fn an_empty_list_where_nothing_would_read_as_any_is_refused() {
    let key = "x.toml:8:%: listener[web].rule[#1].when.";
    for (rule, column, what) in [
        ("when.host = []", 13, "host: is empty; found []; allowed: a list of one or more texts"),
        ("when.path = []", 13, "path: is empty; found []; allowed: a list of one or more texts"),
        ("when.method = []", 15, "method: is empty; found []; allowed: a list of one or more"),
        ("when.source = []", 15, "source: is empty; found []; allowed: a list of one or more"),
        ("when.query = []", 14, "query: is empty; found []; allowed: a list of one or more tables"),
        ("when.header = {}", 15, "header: is empty; found {}; allowed: a table from a field name"),
        ("when.header.X = []", 17, "header.X: is empty; found []; allowed: a list of one or more"),
    ] {
        let problems = problems(&with_rule(rule, ""));
        assert_eq!(problems.len(), 1, "{rule}: {problems:#?}");
        let expected = format!("{}{what}", key.replace('%', &column.to_string()));
        assert!(problems[0].starts_with(&expected), "{expected} is not {}", problems[0]);
    }
    assert_eq!(problems(&with_rule("when = {}", "")), Vec::<String>::new());
    let no_listener = problems("listener = []");
    assert!(no_listener[0].contains("listener: is empty"), "{no_listener:#?}");
    assert_eq!(no_listener.len(), 1);
}

#[test]
fn a_list_all_of_whose_values_are_refused_is_not_called_empty() {
    for (rule, group, count) in [
        ("", "health_check.expect = [200, 301]", 2),
        ("when.host = [\"a b\"]", "", 1),
        ("when.header.X = [1]", "", 1),
    ] {
        let problems = problems(&with_rule(rule, group));
        assert_eq!(problems.len(), count, "{problems:#?}");
        assert!(problems.iter().all(|problem| !problem.contains("empty")), "{problems:#?}");
    }
}

/// The one problem that these lines cause in a rule and in a group.
fn told(rule: &str, group: &str) -> String {
    let problems = problems(&with_rule(rule, group));
    assert_eq!(problems.len(), 1, "{rule} {group}: {problems:#?}");
    problems[0].clone()
}

#[test]
fn words_of_other_balancers_are_answered_with_limpets() {
    for (rule, group, words) in [
        ("", "algorithm = \"leastconn\"", "limpet's word for it is \"least_outstanding_requests\""),
        ("", "algorithm = \"least_conn\"", "\"least_outstanding_requests\""),
        ("", "algorithm = \"ip_hash\"", "\"hash\" with hash_on = \"source\""),
        ("", "algorithm = \"roundrobin\"", "\"round_robin\""),
        ("", "ip_hash = true", "algorithm = \"hash\" with hash_on = \"source\" of a target group"),
        ("", "maxconn = 100", "\"connection_limit\" of a target group"),
        ("", "backup = true", "it has no backup targets"),
        ("", "stickiness.type = \"cookie\"", "\"lb_cookie\""),
        ("", "health_check.type = \"https\"", "\"http\""),
        ("", "max_fails = 3", "\"ejection.errors\" of a target group"),
        ("", "stickiness = true", "is true or false, not a table; write { enabled = true }"),
        ("", "health_check = \"/up\"", "write { type = \"http\", path = \"/up\" }"),
        ("proxy_pass = \"http://app\"", "", "\"forward\" of a listener or a rule"),
        ("server_name = \"a.example\"", "", "\"when.host\" of a rule"),
        ("location = \"/api\"", "", "\"when.path\" of a [[listener.rule]]"),
        ("strip_prefix = \"/api\"", "", "did you mean \"rewrite.strip_prefix\"?"),
        ("interval = \"5s\"", "", "did you mean \"target_group.health_check.interval\"?"),
    ] {
        let told = told(rule, group);
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    let text = with_rule("", "").replace("forward = \"app\"\nrule", "").replacen(
        "forward = \"app\"",
        "redirect = \"https://a.example/\"",
        1,
    );
    let problems = problems(&text);
    assert!(problems[0].contains("write { to = \"https://a.example/\" }"), "{problems:#?}");
}

/// What would be taken word by word, and was never meant so.
#[test]
fn values_that_only_other_balancers_understand_are_refused() {
    for (rule, group, words) in [
        ("when.method = [\"get\"]", "", "methods are told apart by case; write \"GET\""),
        ("when.method = [\"*\"]", "", "where method is left out, any matches"),
        ("when.path = [\"/users/[0-9]+\"]", "", "is a regular expression"),
        ("when.path = [\"/search?q=x\"]", "", "has a query, which is no part of a path"),
        ("when.path = [\"!/admin/*\"]", "", "nothing is negated"),
        ("when.host = [\"!a.example\"]", "", "nothing is negated"),
        ("when.source = [\"!10.0.0.0/8\"]", "", "nothing is negated"),
        ("when.source = [\"10.0.0.0/255.0.0.0\"]", "", "write \"10.0.0.0/8\""),
        ("rewrite.path = \"/app/$1\"", "", "nothing of the request can stand here"),
        ("rewrite.host = \"$host\"", "", "nothing of the request can stand here"),
        ("", "health_check.method = \"head\"", "write \"HEAD\""),
        ("", "stickiness.domain = \".example.com\"", "write \"example.com\""),
    ] {
        let told = told(rule, group);
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    for (action, words) in [
        ("redirect = { to = \"https://$host$request_uri\" }", "write \"#{host}\""),
        ("respond = { status = 301 }", "is a redirect without a Location"),
        ("respond.status = 308", "redirect = { status = 308, to = \"…\" } in its place"),
    ] {
        let text = with_rule("", "").replacen("forward = \"app\"", action, 1);
        let problems = problems(&text);
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].contains(words), "{words:?} is not in {problems:#?}");
    }
    for template in ["$remote_addr - {status}", "{header:X-Foo}", "%h %l %u"] {
        let log = format!("[access_log]\nformat = \"template\"\ntemplate = '{template}'\n");
        let problems = problems(&(log + &with_rule("", "")));
        assert_eq!(problems.len(), 1, "{template}: {problems:#?}");
    }
}

/// TOML gives what follows [[target_group.target]] to the target.
#[test]
fn a_setting_behind_a_table_that_it_is_not_of_is_told_where_it_belongs() {
    let behind = "[[target_group.target]]\naddress = \"127.0.0.1:2\"\nalgorithm = \"hash\"";
    let text = with_rule("", behind)
        .replace("target = [{ address = \"127.0.0.1:1\" }]", "health_check.type = \"tcp\"");
    let told = problems(&text);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].contains(
            "algorithm: is a setting of target_group[app], not of target_group[app].target[#1]; write it \
             above [[target_group.target]]"
        ),
        "{told:#?}"
    );
    let told = problems(&with_rule("", "[target_group.timeouts]\nqueue = 5"));
    assert!(told[0].contains("write it above [target_group.timeouts]"), "{told:#?}");
    let told = problems(&with_rule("[listener.rule.when]\nforward = \"app\"", ""));
    assert!(told[0].contains("is a setting of listener[web].rule[#1]"), "{told:#?}");
}

/// What is only misspelt has no errors in its wake that are not true.
#[test]
fn one_mistake_causes_one_report() {
    let right = with_rule("", "");
    for (from, to, words) in [
        ("forward = \"app\"\n\n[[", "forwrd = \"app\"\n\n[[", "did you mean \"forward\"?"),
        ("[[target_group]]", "[target_group]", "is one table, not a list of tables"),
        ("[[target_group]]", "[[target_groups]]", "did you mean \"target_group\"?"),
    ] {
        let wrong = right.replacen(from, to, 1);
        assert_ne!(wrong, right, "{from}");
        let problems = problems(&wrong);
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].contains(words), "{problems:#?}");
    }
}

/// What is left out is there, under a name that has been reported.
#[test]
fn a_misspelt_key_is_not_reported_as_missing_as_well() {
    let right = "
        [stickiness_keys]
        keys = [{ id = 1, secret = \"bGltcGV0cyBmaW5kIHRoZWlyIGhvbWUgc2NhciBhZ2E=\" }]
        [access_log]
        format = \"template\"
        template = \"{status}\"
        [admin]
        address = \"0.0.0.0:9901\"
        token = \"0123456789abcdef\"
        tls.directory = \"/tls\"
        [[listener]]
        name = \"web\"
        address = \"127.0.0.1:80\"
        forward = \"app\"
        answers.503.body = \"later\"
        [[listener.rule]]
        priority = 1
        when.query = [{ value = \"x\" }]
        redirect = { to = \"/a\" }
        [[listener.rule]]
        priority = 2
        when.path = [\"/b/*\"]
        rewrite.replace_prefix = { prefix = \"/b\", with = \"/c\" }
        forward = { groups = [{ group = \"app\" }] }
        [[target_group]]
        name = \"app\"
        algorithm = \"hash\"
        hash_on = \"source\"
        stickiness = { enabled = true, type = \"app_cookie\", app_cookie = \"SID\" }
        target = [{ address = \"127.0.0.1:9001\" }]
    ";
    assert_eq!(problems(right), Vec::<String>::new());
    for (from, to) in [
        ("{ id = 1,", "{ ids = 1,"),
        (" secret =", " secrt ="),
        ("template = \"{", "templat = \"{"),
        ("token =", "tokn ="),
        ("[[listener]]", "[[listeners]]"),
        ("[[listener]]\n        name", "[[listener]]\n        nme"),
        ("[[listener]]\n        name", "[[listener]]\n        NAME"),
        ("address = \"127.0.0.1:80\"", "adress = \"127.0.0.1:80\""),
        ("address = \"127.0.0.1:80\"", "bind = \"127.0.0.1:80\""),
        ("address = \"127.0.0.1:80\"", "socket.address = \"127.0.0.1:80\""),
        ("forward = \"app\"", "forwad = \"app\""),
        ("forward = \"app\"", "proxy_pass = \"app\""),
        ("503.body", "503.bdy"),
        ("priority = 1", "priorty = 1"),
        ("{ value =", "{ vaule ="),
        ("redirect = { to", "redirct = { to"),
        ("redirect = { to = \"/a\" }", "to = \"/a\""),
        ("redirect = { to", "redirect = { too"),
        ("{ prefix =", "{ prefx ="),
        ("with =", "wiht ="),
        ("forward = { groups", "forwrd = { groups"),
        ("forward = { groups", "forward = { group"),
        ("forward = { groups = [{ group = \"app\" }] }", "groups = [{ group = \"app\" }]"),
        ("[{ group =", "[{ grop ="),
        ("[[target_group]]", "[[target_groups]]"),
        ("[[target_group]]", "[[upstream]]"),
        ("[[target_group]]", "[[listener.target_group]]"),
        ("[[target_group]]\n        name", "[[target_group]]\n        nam"),
        ("[[target_group]]\n        name", "[[target_group]]\n        limits.name"),
        ("hash_on =", "hashon ="),
        ("hash_on =", "hash_key ="),
        (" app_cookie =", " app_cooky ="),
        ("[{ address =", "[{ adress ="),
        ("[{ address =", "[{ server ="),
        ("[{ address =", "[{ host ="),
    ] {
        let wrong = right.replacen(from, to, 1);
        assert_ne!(wrong, right, "{from}");
        let problems = problems(&wrong);
        assert_eq!(problems.len(), 1, "{to}: {problems:#?}");
        assert!(!problems[0].contains("is missing"), "{to}: {problems:#?}");
    }
}

/// A key that cannot be what is missing hides nothing.
#[test]
fn what_is_missing_beside_another_mistake_is_still_reported() {
    for (from, to, expected) in [
        ("address = \"127.0.0.1:0\"", "nonsense = 1", "web].address: is missing"),
        ("address = \"127.0.0.1:1\"", "wight = 1", "target[#1].address: is missing"),
        ("address = \"127.0.0.1:1\"", "listen = 1", "target[#1].address: is missing"),
        ("priority = 10\nforward", "priority = 10\n\nnonsense", "has nothing for the action"),
    ] {
        let right = with_rule("", "");
        let wrong = right.replacen(from, to, 1);
        assert_ne!(wrong, right, "{from}");
        let problems = problems(&wrong);
        assert_eq!(problems.len(), 2, "{to}: {problems:#?}");
        let found = problems.iter().any(|problem| problem.contains(expected));
        assert!(found, "{to}: {problems:#?}");
    }
}

/// Nothing is concluded from what stands in the place of a value that was refused or left out.
#[test]
fn a_refused_value_has_no_errors_in_its_wake() {
    let group = |name: &str, more: &str| format!("[[target_group]]\nname = \"{name}\"\n{more}\n");
    let sticky = |more: &str| {
        format!(
            "forward = {{ groups = [{{ group = \"app\" }}], sticky = {{ enabled = true, {more} }} }}"
        )
    };
    let with_rules = |one: &str, other: &str| {
        with_rule("", "").replacen(
            "priority = 10\nforward = \"app\"",
            &format!("{one}\n[[listener.rule]]\n{other}"),
            1,
        )
    };
    let twice = |one: &str, other: &str| {
        let targets = format!("target = [{{ {one} }}, {{ {other} }}]");
        with_rule("", "").replacen("target = [{ address = \"127.0.0.1:1\" }]", &targets, 1)
    };
    let rule = |wrong: &str| with_rule("", "").replacen("forward = \"app\"\n\n", wrong, 1);
    for (text, count) in [
        // Elements that are no tables.
        ("listener = [\"web\"]".to_owned(), 1),
        // A list of groups that is left out is not one that sends requests nowhere.
        (rule("forward = {}\n\n"), 1),
        (rule("rewrite.strip_prefix = \"/a\"\n\n"), 1),
        (rule("rewrite.strip_prefix = \"/a\"\nforwrd = \"app\"\n\n"), 1),
        (rule("forward = \"app\"\nrespnd = { status = 204 }\n\n"), 1),
        // Names that would follow from refused priorities.
        (
            with_rules(
                &format!("priority = 0\n{}", sticky("duration = \"1h\"")),
                &format!(
                    "priority = -1\n{}",
                    sticky("duration = \"1h\"")
                        .replace("\"app\" }", "\"app\" }, { group = \"b\" }")
                ),
            ) + &group("b", ""),
            2,
        ),
        // Cookies that would have one name if the refused one were left out.
        (
            with_rules(
                &format!("priority = 1\n{}", sticky("cookie_name = \"limpet_rule-2\"")),
                &format!("priority = 2\n{}", sticky("cookie_name = \"a b\"")),
            ),
            1,
        ),
        (
            with_rule("", "stickiness = { enabled = true, cookie_name = \"c\" }")
                + &group(
                    "b",
                    "stickiness = { enabled = true, cookie_name = \"c\", paht = \"/b\" }",
                ),
            1,
        ),
        // Targets that their ids would tell apart.
        (
            twice(
                "address = \"127.0.0.1:1\", id = \"a b\"",
                "address = \"127.0.0.1:1\", id = \"c d\"",
            ),
            2,
        ),
        // Groups that stand in a list by a wrong name, beside one by the right name.
        (
            with_rule("", "").replacen("forward = \"app\"", "forward = \"b\"", 1)
                + "[[target_grup]]\nname = \"b\"\n",
            1,
        ),
    ] {
        let problems = problems(&text);
        assert_eq!(problems.len(), count, "{text}\n{problems:#?}");
    }
}

/// A default gives way to what is written beside it.
#[test]
fn a_default_never_contradicts_what_is_written() {
    for (group, key, expected) in [
        ("health_check.interval = \"2s\"", "health_check.timeout", "2s"),
        ("health_check.interval = \"1m\"", "health_check.timeout", "5s"),
        ("stickiness.max_age = \"1h\"", "stickiness.duration", "1h"),
        ("stickiness.max_age = \"30d\"", "stickiness.duration", "1d"),
        ("ejection.time_max = \"10s\"", "ejection.time", "10s"),
        ("ejection.time = \"10m\"", "ejection.time_max", "10m"),
    ] {
        let parsed = config::parse_complete(with_rule("", group), "x.toml");
        let parsed = parsed.unwrap_or_else(|problems| panic!("{group}: {problems}"));
        let complete = toml::Value::Table(parsed.complete);
        let value = stated(&complete, &format!("target_group.{key}"));
        assert_eq!(value.and_then(toml::Value::as_str), Some(expected), "{group}");
    }
    let sticky = "forward = { groups = [{ group = \"app\" }], sticky.max_age = \"1h\" }";
    let text = with_rule("", "").replacen("forward = \"app\"", sticky, 1);
    assert_eq!(problems(&text), Vec::<String>::new());
    let both = with_rule("", "health_check = { interval = \"2s\", timeout = \"5s\" }");
    assert!(problems(&both)[0].contains("lets a check take longer"), "{:#?}", problems(&both));
}

/// Who comes from another balancer is told how the same thing is written here.
#[test]
fn quantities_and_addresses_say_how_they_are_written() {
    let told = |rule: &str, group: &str, words: &str| {
        let problems = problems(&with_rule(rule, group));
        assert_eq!(problems.len(), 1, "{group}: {problems:#?}");
        assert!(problems[0].contains(words), "{words:?} is not in {}", problems[0]);
    };
    told("", "timeouts.connect = 5", "for seconds write \"5s\", units are ms, s, m, h, d and w");
    told("", "timeouts.connect = \"5\"", "has no unit after 5; units are ms, s, m, h, d and w");
    told("", "slow_start = \"1min\"", "did you mean \"m\"? units are ms, s, m, h, d and w");
    told("", "limits.response_head = 8192", "for bytes write \"8192B\", units are B, KiB, MiB");
    told("", "limits.response_head = \"8k\"", "did you mean \"KiB\"? units are B, KiB");
    told("", "health_check.expect = [301]", "is a whole number, not a text; write \"301\"");
    told("when.host = \"a.example\"", "", "is a text, not a list of texts; write [\"a.example\"]");
    told("", "upgrades = \"on\"", "is a text, not true or false; write true");
    told("", "upgrades = 0", "is a whole number, not true or false; write false");
    told("", "queue = \"12\"", "is a text, not a whole number; write 12");
    for (address, words) in [
        ("localhost:9001", "write \"127.0.0.1:9001\""),
        ("app.internal:9001", "names are not resolved: write the address"),
        ("http://10.0.0.1:9001", "write \"10.0.0.1:9001\""),
        ("/run/app.sock", "is written \"unix:/run/app.sock\""),
    ] {
        let wrong = with_rule("", "").replace("127.0.0.1:1", address);
        assert!(problems(&wrong)[0].contains(words), "{address}");
    }
}

/// Every mistake is found wherever it stands: one is made in a right file, and reported at its line.
#[test]
fn each_single_mistake_is_reported_once_at_its_place() {
    let right = read("config/edge.toml");
    assert_eq!(problems(&right), Vec::<String>::new());
    for (from, to, expected) in [
        (
            "grace_period",
            "grace_perod",
            "process.grace_perod: is an unknown key, did you mean \"grace_period\"?",
        ),
        (
            "\"10.0.0.0/8\"",
            "\"10.0.0.0/33\"",
            "listener[public].trusted_proxies[#1]: is not a network",
        ),
        (
            "priority = 31",
            "priority = 30",
            "rule[admin-from-elsewhere].priority: is taken already (line",
        ),
        (
            "group = \"api-next\"",
            "group = \"api-nxt\"",
            "is no target group, did you mean \"api-next\"?",
        ),
        ("status = 301", "status = 200", "redirect.status: is none of these"),
        ("unix:/run/limpet/local.sock", "0.0.0.0:443", "collides with listener \"public\""),
        ("unix_mode = \"0600\"", "unix_mode = 600", "unix_mode: is a whole number, not a text"),
        ("duration = \"30m\"", "duration = \"30\"", "stickiness.duration: has no unit after 30"),
        (
            "max_age = \"12h\"",
            "max_age = \"10m\"",
            "stickiness.max_age: lets duration (30m) outlast max_age",
        ),
        ("id = \"shop-2\"", "id = \"shop-1\"", "target[shop-1].id: is taken already (line"),
        (
            "app_cookie = \"JSESSIONID\"",
            "app_cookie = \"J;\"",
            "stickiness.app_cookie: is not a token",
        ),
        ("hash_on = \"header:Host\"\n", "", "algorithm: is \"hash\", and no hash_on"),
        (
            "[target_group.retries]",
            "[target_group.retry]",
            "target_group[api].retry: is an unknown key",
        ),
        (
            "algorithm = \"hash\"",
            "algorithm = \"hush\"",
            "algorithm: is none of these, did you mean \"hash\"?",
        ),
        ("{ id = 2,", "{ id = 1,", "keys[#2].id: is taken already (line"),
        (
            "rewrite.strip_prefix = \"/v2\"",
            "rewrite.strip_prefix = \"/../v2\"",
            "rewrite.strip_prefix: ",
        ),
        ("queue = 500", "queue = 500\nqueue = 501", "is not TOML: duplicate key"),
        ("[process]", "[process", "is not TOML: "),
    ] {
        let wrong = right.replacen(from, to, 1);
        assert_ne!(wrong, right, "{from}");
        let problems = problems(&wrong);
        assert_eq!(problems.len(), 1, "{from}: {problems:#?}");
        let at = right.find(from).unwrap();
        let line = right[..at].matches('\n').count() + 1;
        assert!(problems[0].contains(expected), "{expected:?} is not in {:?}", problems[0]);
        let lines = [line, line + 1, line.saturating_sub(1)].map(|line| format!("x.toml:{line}:"));
        assert!(lines.iter().any(|line| problems[0].starts_with(line)), "{line}: {}", problems[0]);
    }
}

#[test]
fn a_secret_is_never_shown() {
    let text = "stickiness_keys.keys = [{ id = 1, secret = \"hush-hush\" }, { id = 2, secret = [\"hush-hush\"] }]";
    let problems = problems(text);
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(problems.iter().all(|problem| !problem.contains("hush")), "{problems:#?}");
    for token in ["1234567890123456", "[\"1234567890123456\"]"] {
        let problems = self::problems(&format!("admin.token = {token}"));
        assert!(problems.iter().all(|problem| !problem.contains("1234")), "{problems:#?}");
    }
}

#[test]
fn a_missing_name_causes_no_errors_about_what_might_refer_to_it() {
    let text = "
        [[listener]]
        name = \"web\"
        address = \"127.0.0.1:0\"
        forward = \"app\"
        [[target_group]]
        nam = \"app\"
    ";
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].contains("did you mean \"name\"?"), "{problems:#?}");
}

#[test]
fn listeners_collide_as_the_kernel_would_see_it() {
    let verdict = |one: &str, other: &str| {
        let listener = |name: &str, rest: &str| {
            format!("[[listener]]\nname = \"{name}\"\nrespond = {{}}\n{rest}\n")
        };
        problems(&(listener("a", one) + &listener("b", other))).len()
    };
    for (one, other, collide) in [
        ("address = '0.0.0.0:80'", "address = '0.0.0.0:80'", true),
        ("address = '0.0.0.0:80'", "address = '127.0.0.1:80'", true),
        ("address = '127.0.0.1:80'", "address = '0.0.0.0:80'", true),
        ("address = '127.0.0.1:80'", "address = '127.0.0.2:80'", false),
        ("address = '0.0.0.0:80'", "address = '0.0.0.0:81'", false),
        ("address = '0.0.0.0:0'", "address = '0.0.0.0:0'", false),
        ("address = '[::]:80'", "address = '[::1]:80'", true),
        ("address = '[::]:80'", "address = '0.0.0.0:80'", false),
        ("address = '[::]:80'\nsocket.ipv6_only = false", "address = '0.0.0.0:80'", true),
        ("address = '127.0.0.1:80'", "address = '[::]:80'\nsocket.ipv6_only = false", true),
        ("address = '[::1]:80'\nsocket.ipv6_only = false", "address = '127.0.0.1:80'", false),
        (
            "address = '127.0.0.1:80'",
            "address = '[::ffff:127.0.0.1]:80'\nsocket.ipv6_only = false",
            true,
        ),
        ("address = 'unix:/run/a'", "address = 'unix:/run/a'", true),
        ("address = 'unix:/run/a'", "address = 'unix:/run//a'", true),
        ("address = 'unix:/run/a'", "address = 'unix:/run/b'", false),
    ] {
        assert_eq!(verdict(one, other), usize::from(collide), "{one} | {other}");
    }
}

#[test]
fn the_admin_api_collides_with_a_listener_as_two_listeners_do() {
    let told = |admin: &str, listener: &str| {
        let rest = "[[listener]]\nname = \"web\"\nrespond = {}\n";
        let token = "token = \"0123456789abcdef\"";
        // Without an address, TLS would be a mistake of its own.
        let tls = if admin.contains("address") { "tls.directory = \"/tls\"" } else { "" };
        problems(&format!("[admin]\n{token}\n{tls}\n{admin}\n{rest}{listener}\n"))
    };
    for (admin, listener, key) in [
        ("address = '127.0.0.1:80'", "address = '127.0.0.1:80'", "admin.address"),
        ("address = '127.0.0.1:80'", "address = '0.0.0.0:80'", "admin.address"),
        ("address = '0.0.0.0:80'", "address = '127.0.0.9:80'", "admin.address"),
        ("address = '[::]:80'", "address = '127.0.0.1:80'", "admin.address"),
        ("socket = '/run/a'", "address = 'unix:/run/a'", "admin.socket"),
    ] {
        let told = told(admin, listener);
        let expected = format!("{key}: collides with listener \"web\" (line 8)");
        assert_eq!(told.len(), 1, "{admin} | {listener}: {told:#?}");
        assert!(told[0].contains(&expected), "{expected}: {told:#?}");
    }
    for (admin, listener) in [
        ("address = '127.0.0.1:81'", "address = '127.0.0.1:80'"),
        ("address = '127.0.0.1:0'", "address = '127.0.0.1:0'"),
        ("address = '127.0.0.1:80'", "address = '[::]:80'"),
        ("socket = '/run/b'", "address = 'unix:/run/a'"),
    ] {
        let told = told(admin, listener);
        assert!(told.is_empty(), "{admin} | {listener}: {told:#?}");
    }
}

/// The mistakes in a listener's table of TLS.
fn of_tls(settings: &str) -> Vec<String> {
    let text = format!(
        "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:443\"\nrespond = {{}}\n[listener.tls]\n{settings}"
    );
    problems(&text)
}

#[test]
fn mistakes_between_the_settings_of_tls_are_told_once_at_their_place() {
    const DIRECTORY: &str = "directory = \"/tls\"";
    let cases = [
        ("", "has no certificate to present"),
        (
            "certificates = [{ chain = \"/a.pem\" }, { chain = \"/a.pem\" }]",
            "is listed twice (line 6)",
        ),
        ("DIR\npolicy = \"modern\"\nminimum_version = \"1.2\"", "contradicts \"modern\""),
        (
            "DIR\nminimum_version = \"1.3\"\ncipher_suites = [\"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\"]",
            "leaves no cipher suite",
        ),
        ("DIR\ncipher_suites = [\"TLS_RSA_WITH_RC4_128_SHA\"]", "is no cipher suite that is safe"),
        ("DIR\ngroups = [\"ffdhe2048\"]", "is no group that limpet knows"),
        ("DIR\nalpn = [\"h3\"]", "is no protocol that limpet speaks"),
        ("DIR\nalpn = []", "is empty"),
        ("DIR\nclient.mode = \"required\"", "nothing says whose are accepted"),
        ("DIR\nclient.crls = [\"/a.crl\"]", "no client is asked for a certificate"),
        (
            "DIR\nclient = { mode = \"optional\", authorities = \"/a\", fingerprints = [\"00\"] }",
            "is no SHA-256",
        ),
        (
            "DIR\nclient = { mode = \"optional\", authorities = \"/a\", subjects = [\"/CN=a\"] }",
            "old form",
        ),
        ("DIR\nprofile = [{ names = [\"a.b.*\"] }]", "is no name of a server"),
        ("DIR\nprofile = [{ names = [] }]", "is empty"),
        (
            "DIR\nprofile = [{ names = [\"a.example\"] }, { names = [\"*.b.example\", \"A.example\"] }]",
            "has a profile already (line 7)",
        ),
        (
            "DIR\nprofile = [{ names = [\"a.example\"], client = { mode = \"required\" } }]",
            "whose are accepted",
        ),
    ];
    for (settings, expected) in cases {
        let problems = of_tls(&settings.replace("DIR", DIRECTORY));
        assert_eq!(problems.len(), 1, "{settings}: {problems:?}");
        assert!(problems[0].contains(expected), "{settings}: {problems:?}");
    }
    let right = "policy = \"modern\"\nclient = { mode = \"required\", authorities = \"/a\", fingerprints = [\"FP\"] }";
    let right = format!("{DIRECTORY}\n{}", right.replace("FP", &"AB:".repeat(32)));
    assert_eq!(of_tls(&right), [""; 0]);
}

/// The mistakes in a target group with these settings, behind a rule for two hosts.
fn of_targets(settings: &str, rule: &str) -> Vec<String> {
    let text = format!(
        "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:80\"\nrespond = {{}}\n\
         [[listener.rule]]\npriority = 1\n{rule}\n\
         [[target_group]]\nname = \"app\"\n{settings}\n\
         [[target_group.target]]\naddress = \"127.0.0.1:9001\""
    );
    problems(&text)
}

const BY_HOST: &str = "when.host = [\"a.example\", \"B.example\"]\nforward = \"app\"";

#[test]
fn mistakes_between_the_settings_of_tls_with_targets_are_told_once_at_their_place() {
    let cases = [
        ("protocol = \"https\"", "nothing names whom the targets must prove to be"),
        ("protocol = \"tls\"", "\"http\" or \"https\""),
        ("tls.server_name = \"a.example\"", "has no effect: targets are spoken to in clear"),
        ("timeouts.handshake = \"1s\"", "has no effect: targets are spoken to in clear"),
        ("HTTPS\ntls.sever_name = \"a.example\"", "did you mean \"server_name\"?"),
        ("HTTPS\ntls.server_name = \"a b\"", "is no name of a server"),
        ("HTTPS\ntls.server_name = \"*.example\"", "is no name of a server"),
        ("NAMED\ntls.sni = \"127.0.0.1\"", "is an address, which is never sent"),
        ("NAMED\ntls.verify = \"peer\"", "\"full\", \"chain\" or \"none\""),
        ("NAMED\ntls.authorities = \"ca.pem\"", "\"system\" or an absolute path"),
        ("NAMED\ntls.key = \"/a.key\"", "has no effect: there is no certificate"),
        ("NAMED\ntls.verify = \"none\"\ntls.crls = [\"/a.crl\"]", "nobody is verified"),
        ("NAMED\ntls.verify = \"none\"\ntls.authorities = \"/a.pem\"", "nobody is verified"),
        ("NAMED\ntls.minimum_version = \"1.1\"", "\"1.2\" or \"1.3\""),
        ("HTTPS\ntls.server_name = \"{host}\"\ntls.sni = \"a.example\"", "is one name"),
    ];
    for (settings, expected) in cases {
        let settings = settings
            .replace("NAMED", "HTTPS\ntls.server_name = \"a.example\"")
            .replace("HTTPS", "protocol = \"https\"");
        let problems = of_targets(&settings, BY_HOST);
        assert_eq!(problems.len(), 1, "{settings}: {problems:?}");
        assert!(problems[0].contains(expected), "{settings}: {problems:?}");
    }
    for right in [
        "tls.server_name = \"a.example\"",
        "tls.server_name = \"127.0.0.1\"\ntls.sni = \"a.example\"",
        "tls.server_name = \"{host}\"\ntls.sni = \"\"",
        "tls.verify = \"chain\"",
        "tls.verify = \"none\"",
        "tls.server_name = \"a\"\ntls.certificate = \"/a.pem\"\ntls.crls = [\"/a.crl\"]",
    ] {
        let settings = format!("protocol = \"https\"\n{right}");
        assert_eq!(of_targets(&settings, BY_HOST), [""; 0], "{right}");
    }
}

#[test]
fn names_follow_hosts_only_where_every_rule_lists_them() {
    const FOLLOWS: &str = "protocol = \"https\"\ntls.server_name = \"{host}\"";
    let many: Vec<String> = (0..65).map(|at| format!("\"{at}.example\"")).collect();
    let many = format!("when.host = [{}]\nforward = \"app\"", many.join(", "));
    for (rule, expected) in [
        ("when.path = [\"/\"]\nforward = \"app\"", "has no when.host"),
        ("when.host = [\"*.example\"]\nforward = \"app\"", "is not one name"),
        ("respond = {}", "no rule forwards to the group"),
        (
            "when.host = [\"a.example\"]\nforward = \"app\"\nrewrite = { host = \"b.example\" }",
            "rule \"rule-1\" of listener \"web\" replaces",
        ),
        ("forward = { groups = [{ group = \"app\" }] }", "has no when.host"),
        (many.as_str(), "stands for 65 names"),
    ] {
        let problems = of_targets(FOLLOWS, rule);
        assert_eq!(problems.len(), 1, "{rule}: {problems:?}");
        assert!(problems[0].contains(expected), "{rule}: {problems:?}");
    }
    assert_eq!(of_targets(FOLLOWS, BY_HOST), [""; 0]);
}

#[test]
fn mistakes_between_the_settings_of_the_admin_api_are_told_once_at_their_place() {
    let told = |admin: &str| {
        let listener = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:80\"\nrespond = {}";
        let admin = admin.replace("TOKEN", "token = \"0123456789abcdef\"");
        let admin =
            admin.replace("CLIENT", "client = { mode = \"optional\", authorities = \"/ca\" }");
        problems(&format!("[admin]\n{admin}\n{listener}"))
    };
    let (others, loopback) = ("address = \"10.0.0.1:9901\"", "address = \"127.0.0.1:9901\"");
    let tls = "[admin.tls]\ndirectory = \"/tls\"";
    for (settings, expected) in [
        (others.to_owned(), "there is no token; found \"10.0.0.1:9901\"; allowed: a loopback"),
        (format!("{others}\nTOKEN"), "the token would cross the network in the clear"),
        (format!("{others}\n{tls}"), "[[admin.tls.role]] for client certificates"),
        (format!("{others}\n{tls}\nCLIENT"), "there is no token"),
        (format!("TOKEN\n{tls}"), "has no effect: there is no address"),
        (format!("{loopback}\n[admin.tls]"), "admin.tls: has no certificate to present"),
        (format!("{loopback}\n{tls}\nalpn = [\"h2\"]"), "that the admin API speaks"),
        (
            format!("{loopback}\n{tls}\nclient.mode = \"required\""),
            "admin.tls.client.mode: asks for certificates",
        ),
        (
            format!(
                "{loopback}\n{tls}\nrole = [{{ role = \"attributes\", subjects = [\"CN=a\"] }}]"
            ),
            "no client is asked for a certificate",
        ),
        (
            format!("{loopback}\n{tls}\nCLIENT\nrole = [{{ role = \"everything\" }}]"),
            "names no certificate: any of the authorities' would have the role",
        ),
        (
            format!("{loopback}\n{tls}\nCLIENT\nrole = [{{ subjects = [\"CN=a\"] }}]"),
            "role: is missing",
        ),
        (
            format!(
                "{loopback}\n{tls}\nCLIENT\nrole = [{{ role = \"everything\", subjects = [\"CN=a\"] }}, \
                 {{ role = \"attributes\", subjects = [\"CN=b\", \"CN=a\"] }}]"
            ),
            "subjects[#2]: has a role already (line 6)",
        ),
    ] {
        let problems = told(&settings);
        assert_eq!(problems.len(), 1, "{settings}: {problems:?}");
        assert!(problems[0].contains(expected), "{settings}: {problems:?}");
    }
    let role = "role = [{ role = \"everything\", subjects = [\"CN=a\"] }]";
    for right in [
        loopback.to_owned(),
        format!("{loopback}\nTOKEN"),
        format!("{loopback}\n{tls}"),
        format!("{others}\nTOKEN\n{tls}"),
        format!("{others}\n{tls}\nCLIENT\n{role}"),
    ] {
        assert_eq!(told(&right), [""; 0], "{right}");
    }
}

#[test]
fn mistakes_in_the_settings_of_acme_are_told_once_at_their_place() {
    const RIGHT: &str = "directory = \"https://ca.example/dir\", names = [\"a.example\"]";
    let names = (0..101).map(|number| format!("\"n{number}.example\"")).collect::<Vec<_>>();
    let names = format!("directory = \"https://ca.example\", names = [{}]", names.join(", "));
    let cases = [
        ("names = [\"a.example\"]", "directory: is missing"),
        ("directory = \"http://ca.example/dir\", names = [\"a.example\"]", "\"https://\""),
        ("directory = \"https://u@ca.example/\", names = [\"a.example\"]", "names a user"),
        ("directory = \"https://ca.example\", names = []", "is empty"),
        ("directory = \"https://ca.example\", names = [\"*.a.example\"]", "(dns-01)"),
        ("directory = \"https://ca.example\", names = [\"192.0.2.1\"]", "is an address"),
        ("directory = \"https://ca.example\", names = [\"a..b\"]", "is no name of a host"),
        ("directory = \"https://ca.example\", names = [\"müsli.example\"]", "\"xn--\""),
        ("directory = \"https://ca.example\", names = [\"a.b\", \"A.b\"]", "twice (line 6)"),
        (&names, "has 101 names"),
        ("RIGHT, contact = [\"ops@a.example\"]", "\"mailto:\""),
        ("RIGHT, contact = [\"mailto:a@b,c@d\"]", "is not one address"),
        ("RIGHT, challenge = \"dns-01\"", "is none of these"),
        ("RIGHT, challenge = \"http-01\"", "every listener has TLS"),
        ("RIGHT, external_account = { key_id = \"k\" }", "key_file: is missing"),
        ("RIGHT, shared_directory = \"acme\"", "does not begin with \"/\""),
    ];
    for (settings, expected) in cases {
        let problems = of_tls(&format!("acme = {{ {} }}", settings.replace("RIGHT", RIGHT)));
        assert_eq!(problems.len(), 1, "{settings}: {problems:?}");
        assert!(problems[0].contains(expected), "{settings}: {problems:?}");
    }
    assert_eq!(of_tls(&format!("acme = {{ {RIGHT} }}")), [""; 0], "no other certificate is needed");
}

#[test]
fn the_admin_api_may_have_a_certificate_of_an_authority_where_somebody_can_prove_its_name() {
    let text = |challenge: &str, listener: &str| {
        format!(
            "[admin]\naddress = \"127.0.0.1:9901\"\n[admin.tls.acme]\nnames = [\"lb.example\"]\n\
             directory = \"https://ca.example\"\nchallenge = \"{challenge}\"\n\
             [[listener]]\nname = \"a\"\naddress = \"127.0.0.1:8080\"\nrespond = {{}}\n{listener}"
        )
    };
    let secure = "tls.directory = \"/tls\"";
    // The address of the API itself answers handshakes.
    assert_eq!(problems(&text("tls-alpn-01", "")), [""; 0]);
    assert_eq!(problems(&text("http-01", "")), [""; 0]);
    let told = problems(&text("http-01", secure));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("admin.tls.acme.challenge: is answered on plain"), "{told:?}");
    let without = text("tls-alpn-01", "").replace("address = \"127.0.0.1:9901\"\n", "");
    let told = problems(&without);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("there is no address"), "{told:?}");
    let notes = |port: u16| {
        let text = text("tls-alpn-01", "").replace("9901", &port.to_string());
        config::notes(&config::parse(&text, "x.toml").unwrap())
    };
    assert!(notes(9901).iter().any(|note| note.contains("tls-alpn-01 on port 443")));
    assert!(!notes(443).iter().any(|note| note.contains("tls-alpn-01")));
}

#[test]
fn tables_of_one_directory_of_acme_share_one_account() {
    let text = |second: &str| {
        let listener = |name: &str, port: u16, more: &str| {
            format!(
                "[[listener]]\nname = \"{name}\"\naddress = \"127.0.0.1:{port}\"\nrespond = {{}}\n\
                 [listener.tls.acme]\ndirectory = \"https://ca.example\"\nnames = [\"{name}.example\"]\n{more}\n"
            )
        };
        problems(&(listener("a", 443, "") + &listener("b", 444, second)))
    };
    assert_eq!(text("challenge = \"tls-alpn-01\""), [""; 0]);
    assert_eq!(text("contact = [\"mailto:o@b.example\"]\nshared_directory = \"/b\""), [""; 0]);
    let problems = text("contact = [\"mailto:o@b.example\"]");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("they share one account"), "{problems:?}");
}

#[test]
fn zero_needs_no_unit_where_it_means_off() {
    let text = "
        [[listener]]
        name = \"web\"
        address = \"127.0.0.1:0\"
        respond = {}
        timeouts = { connection_age = 0, content_minimum_rate = 0, head = 0 }
        limits = { content = 0, head = 0 }
    ";
    let problems = problems(text);
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems.iter().all(|problem| problem.contains(".head: ")), "{problems:#?}");
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in ".*") {
        let _ = config::parse(&text, "x.toml");
    }

    /// A right file with a piece cut out or doubled is judged without a panic, and what is right compiles.
    #[test]
    fn no_damaged_file_panics(start in 0usize..6000, length in 0usize..200, doubled: bool) {
        // Without certificates, whose files are elsewhere.
        let text = read("config/edge.toml");
        let lines = text.lines().filter(|line| {
            !line.starts_with("[listener.tls]") && !line.starts_with("certificates = ")
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        let at = |wanted: usize| {
            let wanted = wanted.min(text.len());
            (0..=wanted).rev().find(|at| text.is_char_boundary(*at)).unwrap()
        };
        let (start, end) = (at(start), at(start + length));
        let piece = if doubled { &text[start..end] } else { "" };
        let damaged = [&text[..start], piece, piece, &text[end..]].concat();
        if let Ok(parsed) = config::parse_complete(damaged, "x.toml") {
            let ring = KeyRing::from_secrets(&[(1, [7; 32])]).unwrap();
            Control::new(parsed, None, Arc::new(ring)).unwrap();
        }
    }
}

#[test]
fn a_session_field_is_one_that_nobody_else_has_a_use_for() {
    let with = |field: &str, listener: &str| {
        problems(&format!(
            "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\nforward = \"app\"\n{listener}\n\
             [[target_group]]\nname = \"app\"\ntarget = [{{ address = \"127.0.0.1:1\" }}]\n\
             stickiness = {{ type = \"app_header\", app_header = \"{field}\" }}\n"
        ))
    };
    assert_eq!(with("Mcp-Session-Id", ""), Vec::<String>::new());
    for field in ["Cookie", "host", "Location", "ETag", "Last-Event-ID", "", "a b"] {
        assert_eq!(with(field, "").len(), 1, "{field}");
    }
    let taken = with("x-request-ID", "");
    assert!(taken.len() == 1 && taken[0].contains("forwarded.request_id"), "{taken:?}");
    assert_eq!(with("X-Request-Id", "forwarded.request_id = \"\""), Vec::<String>::new());
    assert_eq!(with("X-Trace", "forwarded.request_id = \"x-trace\"").len(), 1);
    let of_rule = |place: &str, other: &str| {
        let sticky = "{ enabled = true, type = \"app_header\", app_header = \"X-Trace\" }";
        let forward =
            format!("forward = {{ groups = [{{ group = \"app\" }}], sticky = {sticky} }}");
        let (own, rule) = match place {
            "default" => (forward, String::new()),
            _ => ("respond = {}".into(), format!("[[listener.rule]]\npriority = 1\n{forward}")),
        };
        problems(&format!(
            "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n{own}\n\
             forwarded.request_id = \"X-{other}\"\n{rule}\n\
             [[target_group]]\nname = \"app\"\ntarget = [{{ address = \"127.0.0.1:1\" }}]\n"
        ))
    };
    for place in ["default", "rule"] {
        assert_eq!(of_rule(place, "Other"), Vec::<String>::new(), "{place}");
        let taken = of_rule(place, "trace");
        assert!(taken.len() == 1 && taken[0].contains("sticky.app_header"), "{place}: {taken:?}");
    }
}

#[test]
fn every_setting_of_limpet_toml_has_a_sentence_above_it() {
    let text = read("config/limpet.toml");
    let is_sentence = |line: &str| line.starts_with("# ");
    let is_setting = |line: &str| {
        let line = line.strip_prefix('#').unwrap_or(line);
        line.starts_with(|first: char| first.is_ascii_lowercase()) && line.contains(" = ")
    };
    let mut above = "";
    for line in text.lines() {
        assert!(!is_setting(line) || is_sentence(above), "{line}");
        above = line;
    }
}
