//! Settings of health checks that are set and say nothing, by how the targets are checked. Tested beside it.

use super::file::{HealthCheck, HealthCheckType, TargetGroup};

/// What a check may be told besides its times, and whether it is.
fn told(check: &HealthCheck) -> [(&'static str, bool); 8] {
    [
        ("path", check.path != "/"),
        ("method", check.method != "GET"),
        ("host", !check.host.is_empty()),
        ("port", check.port.is_some()),
        ("expect", check.expect != ["200"]),
        ("body", !check.body.is_empty()),
        ("grpc_service", !check.grpc_service.is_empty()),
        ("grpc_codes", check.grpc_codes != ["0"]),
    ]
}

/// What a check of this kind looks at.
fn looked_at(check: &HealthCheck) -> &'static [&'static str] {
    match check.kind {
        HealthCheckType::Off => &[],
        HealthCheckType::Http => &["path", "method", "host", "port", "expect", "body"],
        HealthCheckType::Tcp => &["port"],
        HealthCheckType::Grpc if check.path == "/" => {
            &["path", "host", "port", "grpc_service", "grpc_codes"]
        }
        HealthCheckType::Grpc => &["path", "host", "port", "grpc_codes"],
    }
}

fn useless(check: &HealthCheck) -> Vec<&'static str> {
    let told = told(check).into_iter().filter(|(_, is_told)| *is_told);
    told.map(|(name, _)| name).filter(|name| !looked_at(check).contains(name)).collect()
}

/// Whether a check is described that nobody makes.
pub(super) fn is_check_forgotten(check: &HealthCheck) -> bool {
    check.kind == HealthCheckType::Off && !useless(check).is_empty()
}

/// What is said of a group's check, if anything.
pub(super) fn note(group: &TargetGroup) -> Option<String> {
    let (name, check) = (&group.name, &group.health_check);
    if is_check_forgotten(check) {
        return Some(format!(
            "target group {name:?} says how it is checked and is not: health_check.type is \"off\""
        ));
    }
    let how = match check.kind {
        HealthCheckType::Off | HealthCheckType::Http => "a request",
        HealthCheckType::Tcp => "a connection alone",
        HealthCheckType::Grpc if check.path == "/" => "the health service of gRPC",
        HealthCheckType::Grpc => "a call of gRPC to health_check.path",
    };
    let useless = useless(check);
    let last = useless.last()?;
    let names: Vec<String> = useless.iter().map(|name| format!("health_check.{name}")).collect();
    let (names, verb) = match names.as_slice() {
        [_] => (format!("health_check.{last}"), "has"),
        several => (several.join(", "), "have"),
    };
    Some(format!(
        "{names} of target group {name:?} {verb} no effect: its targets are checked by {how}"
    ))
}

#[cfg(test)]
mod tests {
    use crate::control::config::{amiss, parse};

    #[test]
    fn what_a_check_does_not_look_at_is_named() {
        let said = |check: &str| {
            let text = format!(
                "listener = [{{ name = \"w\", address = \"127.0.0.1:0\", http2 = true, forward = \"a\" }}]\n\
                 target_group = [{{ name = \"a\", protocol_version = \"grpc\", health_check = {{ {check} }},\n\
                 target = [{{ address = \"127.0.0.1:1\" }}] }}]"
            );
            amiss(&parse(&text, "x").unwrap()).join("\n")
        };
        for (check, note) in [
            ("", ""),
            ("type = \"http\", path = \"/up\", expect = [\"204\"], body = \"x\", port = 9", ""),
            ("type = \"grpc\", grpc_service = \"shop.Cart\", grpc_codes = [\"0-1\"]", ""),
            ("type = \"grpc\", path = \"/shop.Cart/Ping\", host = \"shop\"", ""),
            ("type = \"tcp\", port = 9", ""),
            (
                "grpc_codes = [\"12\"]",
                "target group \"a\" says how it is checked and is not: health_check.type is \"off\"",
            ),
            (
                "type = \"http\", grpc_service = \"shop.Cart\", grpc_codes = [\"12\"]",
                "health_check.grpc_service, health_check.grpc_codes of target group \"a\" have no effect: its targets \
                 are checked by a request",
            ),
            (
                "type = \"tcp\", path = \"/up\"",
                "health_check.path of target group \"a\" has no effect: its targets are checked by a connection alone",
            ),
            (
                "type = \"grpc\", body = \"ok\"",
                "health_check.body of target group \"a\" has no effect: its targets are checked by the health service \
                 of gRPC",
            ),
            (
                "type = \"grpc\", path = \"/shop.Cart/Ping\", grpc_service = \"shop.Cart\"",
                "health_check.grpc_service of target group \"a\" has no effect: its targets are checked by a call of \
                 gRPC to health_check.path",
            ),
        ] {
            assert_eq!(said(check), note, "{check}");
        }
    }
}
