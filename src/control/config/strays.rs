//! Values that other balancers interpret and limpet would take literally: variables, regular expressions, negations,
//! methods in lower case.
//!
//! A value that may be intended literally is not refused here (see `notes`). Each function returns the predicate of a
//! sentence, as `checks` does. Tested beside it.

/// Other balancers' variables, without "$" and braces, and limpet's for a redirect and for a log line.
const VARIABLES: [(&str, &str, &str); 30] = [
    ("host", "#{host}", "{host}"),
    ("http_host", "#{host}", "{host}"),
    ("hostname", "#{host}", "{host}"),
    ("server_name", "#{host}", "{host}"),
    ("request_uri", "/#{path}?#{query}", "{path}"),
    ("uri", "/#{path}", "{path}"),
    ("document_uri", "/#{path}", "{path}"),
    ("path", "/#{path}", "{path}"),
    ("request", "/#{path}?#{query}", "{method} {path} {version}"),
    ("request_path", "/#{path}", "{path}"),
    ("args", "#{query}", "{path}"),
    ("query_string", "#{query}", "{path}"),
    ("is_args", "?#{query}", "{path}"),
    ("query", "#{query}", "{path}"),
    ("scheme", "#{protocol}", "{scheme}"),
    ("proto", "#{protocol}", "{scheme}"),
    ("server_port", "#{port}", "{listener}"),
    ("port", "#{port}", "{listener}"),
    ("remote_addr", "", "{client}"),
    ("binary_remote_addr", "", "{client}"),
    ("remote_port", "", "{client_port}"),
    ("time_local", "", "{time}"),
    ("time_iso8601", "", "{time}"),
    ("msec", "", "{time}"),
    ("status", "", "{status}"),
    ("request_method", "", "{method}"),
    ("server_protocol", "", "{version}"),
    ("body_bytes_sent", "", "{content_bytes_out}"),
    ("bytes_sent", "", "{bytes_out}"),
    ("request_time", "", "{total_us}"),
];

/// Further ones for a log line only.
const LOG_VARIABLES: [(&str, &str); 12] = [
    ("request_length", "{bytes_in}"),
    ("upstream_addr", "{target_address}"),
    ("upstream_status", "{target_status}"),
    ("upstream_response_time", "{first_byte_us}"),
    ("upstream_connect_time", "{connect_us}"),
    ("upstream_header_time", "{first_byte_us}"),
    ("http_referer", "{referer}"),
    ("http_user_agent", "{user_agent}"),
    ("http_x_forwarded_for", "{client}"),
    ("request_id", "{request_id}"),
    ("realip_remote_addr", "{peer}"),
    ("remote_user", ""),
];

/// A variable by "$" in `text`, as written, and its name in lower case.
fn variable(text: &str) -> Option<(String, String)> {
    text.match_indices('$').find_map(|(at, _)| {
        let after = text.get(at + 1..)?;
        let inner = after.strip_prefix('{').unwrap_or(after);
        let length = inner.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let name = inner.get(..length)?.to_ascii_lowercase();
        let braces = if after.starts_with('{') { 2 } else { 0 };
        let shown = text.get(at..(at + 1 + length + braces).min(text.len()))?.to_owned();
        let is_capture = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        (is_capture || known(&name)).then_some((shown, name))
    })
}

fn known(name: &str) -> bool {
    VARIABLES.iter().any(|(known, ..)| *known == name)
        || LOG_VARIABLES.iter().any(|(known, _)| *known == name)
        || ["http_", "arg_", "cookie_", "sent_http_", "upstream_http_", "ssl_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// For a path or host that replaces another one, which cannot use parts of the request.
pub(super) fn variables(text: &str) -> Result<(), String> {
    let stands = |shown: &str| format!("has {shown:?}, and nothing of the request can stand here");
    if let Some((shown, _)) = variable(text) {
        return Err(stands(&shown));
    }
    match text.find("#{") {
        Some(at) => Err(stands(text.get(at..).unwrap_or_default())),
        None => Ok(()),
    }
}

/// The target of a redirect.
pub(super) fn redirect(text: &str) -> Result<(), String> {
    if let Some((shown, name)) = variable(text) {
        let known = VARIABLES.iter().find(|(known, ..)| *known == name);
        return Err(match known.map(|(_, here, _)| *here).filter(|here| !here.is_empty()) {
            Some(here) => {
                format!("has {shown:?}, which would stand there as it is; write {here:?}")
            }
            None => format!("has {shown:?}, which would stand there as it is"),
        });
    }
    // "{host}" of Caddy, "%[hdr(host)]" of HAProxy, "%{HTTP_HOST}" of Apache.
    let braces =
        text.match_indices('{').find(|(at, _)| !text.get(..*at).is_some_and(|t| t.ends_with('#')));
    if let Some((at, _)) = braces {
        let rest = text.get(at + 1..).unwrap_or_default();
        let name = rest.split('}').next().unwrap_or_default().to_ascii_lowercase();
        let last = name.rsplit('.').next().unwrap_or_default();
        let known = VARIABLES.iter().find(|(known, ..)| *known == last);
        return Err(match known.map(|(_, here, _)| *here).filter(|here| !here.is_empty()) {
            Some(here) => format!("has {:?} without \"#\"; write {here:?}", format!("{{{name}}}")),
            None => format!("has {:?}, which is no placeholder", format!("{{{name}}}")),
        });
    }
    if text.contains("%[") {
        return Err("has a \"%[…]\" of another balancer, which is no placeholder".into());
    }
    Ok(())
}

/// A line of the access log.
pub(super) fn log_template(text: &str) -> Result<(), String> {
    if let Some((shown, name)) = variable(text) {
        let field = VARIABLES
            .iter()
            .map(|(known, _, field)| (*known, *field))
            .chain(LOG_VARIABLES)
            .find(|(known, field)| *known == name && !field.is_empty());
        return Err(match field {
            Some((_, field)) => {
                format!("has {shown:?}, which would stand in each line as it is; write {field:?}")
            }
            None => format!("has {shown:?}, which would stand in each line as it is"),
        });
    }
    let named = text.match_indices('{').find_map(|(at, _)| {
        let (name, _) = text.get(at + 1..)?.split_once('}')?;
        let (kind, of) = name.split_once(':')?;
        let kind = kind.to_ascii_lowercase();
        ["header", "request_header", "response_header", "field", "cookie", "http", "query"]
            .contains(&kind.as_str())
            .then(|| (format!("{{{name}}}"), of.to_ascii_lowercase()))
    });
    if let Some((shown, of)) = named {
        let near = match of.as_str() {
            "user-agent" => "; write \"{user_agent}\"",
            "referer" | "referrer" => "; write \"{referer}\"",
            "host" => "; write \"{host}\"",
            "x-forwarded-for" | "x-real-ip" => "; write \"{client}\"",
            "x-request-id" => "; write \"{request_id}\"",
            _ => ": of fields, only user_agent, referer, host and request_id are logged",
        };
        return Err(format!("has {shown:?}, which is no field of a line{near}"));
    }
    // "%h" of Apache, "%ci:%cp" of HAProxy, "%START_TIME%" of Envoy.
    let has_percent = text.split('%').skip(1).any(|rest| {
        rest.starts_with(|first: char| first.is_ascii_alphabetic() || first == '>' || first == '[')
    });
    match !text.contains('{') && has_percent {
        true => Err("has the \"%…\" of another server, which would stand in each line as it is; \
                     limpet's fields are in braces, such as \"{client} {status}\""
            .into()),
        false => Ok(()),
    }
}

/// The name of a method, which RFC 9110 §9.1 tells apart by case.
pub(super) fn method(text: &str) -> Result<(), String> {
    let any = "is no method; where method is left out, any matches";
    if matches!(text.to_ascii_uppercase().as_str(), "*" | "ANY" | "ALL") {
        return Err(any.into());
    }
    if let Some(rest) = text.strip_prefix('!') {
        return Err(format!(
            "is no method: nothing is negated; a rule for {rest:?} with a lower priority number takes those first"
        ));
    }
    let separators = ['|', ',', ' ', '/', ';'];
    let several: Vec<&str> = text.split(separators).filter(|part| !part.is_empty()).collect();
    if several.len() > 1 {
        let list: Vec<String> =
            several.iter().map(|part| format!("{:?}", part.to_ascii_uppercase())).collect();
        return Err(format!("is several methods in one text; write {}", list.join(", ")));
    }
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || !text.bytes().all(token) {
        return Err("is not a token".into());
    }
    if text.bytes().any(|byte| b"*^$".contains(&byte)) {
        return Err("is no method: a method has no pattern".into());
    }
    let upper = text.to_ascii_uppercase();
    if upper != text && (REGISTERED.contains(&upper.as_str())) {
        return Err(format!("is not {upper:?}: methods are told apart by case; write {upper:?}"));
    }
    match text {
        "CONNECT" | "TRACE" => Err("is refused (405) before any rule is asked".into()),
        _ => Ok(()),
    }
}

/// Known methods: RFC 9110 §9, RFC 5789, WebDAV (RFC 4918 and its kin).
const REGISTERED: [&str; 24] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "CONNECT",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
    "MKCALENDAR",
    "ACL",
    "QUERY",
    "LINK",
    "UNLINK",
    "PRI",
];

/// A pattern of hosts.
pub(super) fn host(text: &str) -> Result<(), String> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let rest = rest.split('/').next().unwrap_or_default();
        return Err(format!("has {scheme:?} before the host; write {rest:?}"));
    }
    if text == "_" {
        return Err("is no host: where host is left out, any matches".into());
    }
    if let Some(domain) = text.strip_prefix('.').filter(|domain| !domain.is_empty()) {
        return Err(format!("begins with a dot; write {domain:?}, {:?}", format!("*.{domain}")));
    }
    negation(text)?;
    regular_expression(text)
}

/// A pattern of paths.
pub(super) fn path(text: &str) -> Result<(), String> {
    negation(text)?;
    for modifier in ["^~ ", "~* ", "~ ", "= ", "=/"] {
        if let Some(rest) = text.strip_prefix(modifier) {
            let rest = if modifier == "=/" { format!("/{rest}") } else { rest.to_owned() };
            return Err(match modifier {
                "= " | "=/" => {
                    format!("has a modifier; a path without * matches exactly, write {rest:?}")
                }
                "^~ " => format!("has a modifier; write {:?}", format!("{rest}*")),
                _ => "is a regular expression; paths have * (any run) and ? (one character)".into(),
            });
        }
    }
    // A "?" before "key=" begins a query.
    if let Some((_, query)) = text.split_once('?')
        && query.split('/').next().is_some_and(|query| query.contains('=') || query.contains('&'))
    {
        let (key, value) = query.split_once('=').unwrap_or((query, "*"));
        let value = value.split('&').next().unwrap_or_default();
        return Err(format!(
            "has a query, which is no part of a path; write when.query = [{{ key = {key:?}, value = {value:?} }}]"
        ));
    }
    regular_expression(text)
}

fn negation(text: &str) -> Result<(), String> {
    match text.strip_prefix('!') {
        None => Ok(()),
        Some(rest) => Err(format!(
            "begins with \"!\": nothing is negated; a rule for {:?} with a lower priority number takes those first",
            rest.trim_start()
        )),
    }
}

/// Refuses characters that belong to regular expressions and to no host or path.
fn regular_expression(text: &str) -> Result<(), String> {
    let starts = text.starts_with('^') || text.starts_with('~');
    let class = [
        "[0-9]", "[a-z", "[A-Z", "[^", "\\d", "\\w", "\\.", "\\/", "(?", ".*$", ")$", "(.*)",
        "(.+)",
    ];
    match starts || class.iter().any(|part| text.contains(part)) {
        true => {
            Err("is a regular expression; patterns have * (any run) and ? (one character)".into())
        }
        false => Ok(()),
    }
}

/// Why `text` is no network, and how to write what it means.
pub(super) fn network(text: &str) -> String {
    let what = "is not a network";
    if let Some(rest) = text.strip_prefix('!') {
        return format!(
            "{what}: nothing is negated; a rule for {rest:?} with a lower priority number takes those first"
        );
    }
    if matches!(text, "*" | "any" | "all" | "0" | "0/0" | "default") {
        return format!("{what}; for any address leave it out, or write \"0.0.0.0/0\", \"::/0\"");
    }
    if text.eq_ignore_ascii_case("localhost") {
        return format!("{what}; write \"127.0.0.0/8\", \"::1\"");
    }
    if let Some((address, mask)) = text.split_once('/')
        && let (Ok(_), Ok(mask)) =
            (address.parse::<std::net::Ipv4Addr>(), mask.parse::<std::net::Ipv4Addr>())
        && mask.to_bits().leading_ones().saturating_add(mask.to_bits().trailing_zeros()) == 32
    {
        return format!("{what}; write \"{address}/{}\"", mask.to_bits().leading_ones());
    }
    if let Some(octets) = text.strip_suffix(".*") {
        let octets = octets.trim_end_matches(".*");
        let count = octets.split('.').count();
        if count < 4 && octets.split('.').all(|octet| octet.parse::<u8>().is_ok()) {
            let zeros = ".0".repeat(4 - count);
            return format!("{what}; write \"{octets}{zeros}/{}\"", count * 8);
        }
    }
    if text.contains('-') && text.split('-').all(|end| end.parse::<std::net::IpAddr>().is_ok()) {
        return format!("{what} but a range; write the networks that it is made of");
    }
    what.to_owned()
}

#[cfg(test)]
mod tests {
    use crate::control::config::strays::*;

    fn refused(check: fn(&str) -> Result<(), String>, values: &[(&str, &str)]) {
        for (text, words) in values {
            let what = check(text).expect_err(text);
            assert!(what.contains(words), "{text}: {words:?} is not in {what}");
        }
    }

    #[test]
    fn methods_are_names_in_their_own_case() {
        refused(
            method,
            &[
                ("get", "write \"GET\""),
                ("Post", "write \"POST\""),
                ("*", "where method is left out, any matches"),
                ("any", "where method is left out, any matches"),
                ("!GET", "nothing is negated"),
                ("GET|POST", "write \"GET\", \"POST\""),
                ("get, head", "write \"GET\", \"HEAD\""),
                ("G*", "no pattern"),
                ("TRACE", "405"),
                ("CONNECT", "405"),
                ("", "is not a token"),
            ],
        );
        for text in ["GET", "PATCH", "PURGE", "purge", "M-SEARCH"] {
            assert_eq!(method(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn variables_of_others_are_answered_with_limpets() {
        refused(
            redirect,
            &[
                ("https://$host$request_uri", "write \"#{host}\""),
                ("https://a.example$request_uri", "write \"/#{path}?#{query}\""),
                ("https://${host}/", "has \"${host}\""),
                ("https://a.example/$1", "has \"$1\""),
                ("https://{host}{uri}", "write \"#{host}\""),
                ("https://{http.request.host}/", "write \"#{host}\""),
                ("https://%[hdr(host)]/", "%[…]"),
                ("https://%{HTTP_HOST}/", "write \"#{host}\""),
            ],
        );
        for text in
            ["https://#{host}/#{path}?#{query}", "/$metadata", "/a$", "https://a.example/?a=$b"]
        {
            assert_eq!(redirect(text), Ok(()), "{text}");
        }
        refused(
            log_template,
            &[
                ("$remote_addr {status}", "write \"{client}\""),
                ("{status} $request_time", "write \"{total_us}\""),
                ("{status} $http_x_foo", "has \"$http_x_foo\""),
                ("{header:X-Foo}", "which is no field of a line"),
                ("{header:User-Agent}", "write \"{user_agent}\""),
                ("%h %l %u %t", "in braces"),
                ("%ci:%cp [%tr] %ft", "in braces"),
                ("[%START_TIME%]", "in braces"),
            ],
        );
        for text in ["{status} 5$", "{status} 100%", "{path:json}", "{status} %d", "100% plain"] {
            assert_eq!(log_template(text), Ok(()), "{text}");
        }
        refused(
            variables,
            &[("/app/$1", "nothing of the request"), ("/#{path}", "nothing of the request")],
        );
    }

    #[test]
    fn patterns_are_no_regular_expressions_and_have_no_negation() {
        refused(
            path,
            &[
                ("!/admin/*", "nothing is negated"),
                ("^/api", "regular expression"),
                ("~ \\.php$", "regular expression"),
                ("/users/[0-9]+", "regular expression"),
                ("/users/\\d+", "regular expression"),
                ("/(.*)", "regular expression"),
                ("= /exact", "write \"/exact\""),
                ("^~ /static/", "write \"/static/*\""),
                ("/search?q=*", "when.query = [{ key = \"q\", value = \"*\" }]"),
                ("/a?b&c=1", "no part of a path"),
            ],
        );
        for text in ["/v?/*.png", "/", "/api/*", "/a\\*b", "/x[0]", "/a.*", "/a=b", "/v?"] {
            assert_eq!(path(text), Ok(()), "{text}");
        }
        refused(
            host,
            &[
                ("_", "any matches"),
                (".example.com", "write \"example.com\", \"*.example.com\""),
                ("https://a.example/x", "write \"a.example\""),
                ("!a.example", "nothing is negated"),
                ("~^www", "regular expression"),
            ],
        );
    }

    #[test]
    fn networks_are_written_with_a_prefix() {
        for (text, words) in [
            ("!10.0.0.0/8", "nothing is negated"),
            ("any", "leave it out"),
            ("localhost", "127.0.0.0/8"),
            ("10.0.0.0/255.0.0.0", "write \"10.0.0.0/8\""),
            ("10.1.*", "write \"10.1.0.0/16\""),
            ("10.1.*.*", "write \"10.1.0.0/16\""),
            ("10.0.0.1-10.0.0.9", "a range"),
            ("nonsense", "is not a network"),
        ] {
            assert!(network(text).contains(words), "{text}: {}", network(text));
        }
    }
}
