//! The words that users of nginx, HAProxy, Envoy, Caddy, Traefik or ALB write by habit, and limpet's words for them.
//!
//! Used only for text that was refused, so that no word here can change the meaning of a correct file. An answer names
//! settings by their path; a test beside it checks that these exist.

use toml::Spanned;
use toml::de::DeValue;

/// limpet's setting for a key of another balancer.
pub(super) fn key(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    KEYS.iter().find(|(words, _)| words.split(' ').any(|word| word == name)).map(|(_, is)| *is)
}

/// limpet's value for `text` as a value of the setting `key`.
pub(super) fn value(key: &str, text: &str) -> Option<&'static str> {
    let text = text.to_ascii_lowercase().replace('-', "_");
    let mut of_key = VALUES.iter().filter(|(name, ..)| *name == key);
    of_key.find(|(_, words, _)| words.split(' ').any(|word| word == text)).map(|(.., is)| *is)
}

/// How to write the table of the setting `key` that has only this `value`.
pub(super) fn table(key: &str, value: &DeValue<'_>) -> Option<String> {
    Some(match (key, value) {
        ("redirect", DeValue::String(to)) => format!("{{ to = {to:?} }}"),
        ("respond", DeValue::Integer(status)) => format!("{{ status = {status} }}"),
        ("respond", DeValue::String(body)) => format!("{{ body = {body:?} }}"),
        ("stickiness" | "sticky", DeValue::Boolean(on)) => format!("{{ enabled = {on} }}"),
        ("health_check", DeValue::Boolean(true)) => "{ type = \"http\" }".to_owned(),
        ("health_check", DeValue::String(path)) if path.starts_with('/') => {
            format!("{{ type = \"http\", path = {path:?} }}")
        }
        ("access_log", DeValue::String(output)) => format!("{{ output = {output:?} }}"),
        ("admin", DeValue::String(address)) => format!("{{ address = {address:?} }}"),
        ("target", DeValue::String(address)) => format!("{{ address = {address:?} }}"),
        ("groups", DeValue::String(group)) => format!("{{ group = {group:?} }}"),
        ("forward", DeValue::Array(groups)) => {
            let name = |group: &Spanned<DeValue<'_>>| match group.get_ref() {
                DeValue::String(name) => Some(format!("{{ group = {name:?} }}")),
                _ => None,
            };
            let groups: Option<Vec<String>> = groups.iter().map(name).collect();
            format!("{{ groups = [{}] }}", groups?.join(", "))
        }
        _ => return None,
    })
}

/// Keys in lower case with "_" for "-", several of one meaning in one text.
static KEYS: [(&str, &str); 78] = [
    ("listen bind port ports entrypoint", "\"address\" of a listener"),
    ("frontend frontends entrypoints virtualserver", "[[listener]]"),
    (
        "upstream upstreams backend backends cluster clusters service services pool_name loadbalancer",
        "[[target_group]]",
    ),
    (
        "server servers endpoint endpoints lb_endpoints member members node nodes url urls",
        "[[target_group.target]] with an \"address\"",
    ),
    (
        "host hostname ip uri dial",
        "\"address\" of a target, \"when.host\" of a rule, or \"health_check.host\"",
    ),
    (
        "server_name server_names domains virtual_hosts virtualhost host_header sni",
        "\"when.host\" of a rule",
    ),
    (
        "location locations path_pattern path_prefix path_beg pathprefix prefix uri_path",
        "\"when.path\" of a [[listener.rule]], such as [\"/api/*\"]",
    ),
    ("acl acls match matches condition conditions if filter_rules", "\"when\" of a rule"),
    (
        "route routes router routers use_backend ingress",
        "[[listener.rule]] with \"when\" and \"forward\"",
    ),
    (
        "target_group group proxy_pass reverse_proxy default_backend backend_name fastcgi_pass uwsgi_pass proxypass",
        "\"forward\" of a listener or a rule, with the name of a target group",
    ),
    (
        "weighted_clusters split_clients weighted split",
        "\"forward\" with groups, such as { groups = [{ group = \"a\", weight = 9 }, { group = \"b\" }] }",
    ),
    ("action actions", "\"forward\", \"redirect\" or \"respond\""),
    (
        "return redir rewrite_url host_redirect https_redirect",
        "\"redirect\" or \"respond\" of a rule",
    ),
    (
        "direct_response fixed_response static_response deny block",
        "\"respond\" of a rule, such as { status = 403 }",
    ),
    (
        "allow source_ip src whitelist allowlist blacklist remote_ip ip_allow_list",
        "\"when.source\" of a rule",
    ),
    ("http_request_method http_method verb", "\"when.method\" of a rule"),
    ("http_header hdr", "\"when.header\" of a rule"),
    ("query_string url_param args params", "\"when.query\" of a rule"),
    (
        "stripprefix strip_path_prefix handle_path uri_strip_prefix",
        "\"rewrite.strip_prefix\" of a rule",
    ),
    (
        "prefix_rewrite replacepath path_rewrite replacepathregex",
        "\"rewrite.replace_prefix\" or \"rewrite.path\" of a rule",
    ),
    ("host_rewrite host_rewrite_literal header_up_host", "\"rewrite.host\" of a rule"),
    (
        "balance lb_policy lb_algo load_balancing_algorithm lb_method strategy load_balancing",
        "\"algorithm\" of a target group",
    ),
    (
        "leastconn least_conn least_request least_time",
        "algorithm = \"least_outstanding_requests\" of a target group",
    ),
    ("roundrobin", "algorithm = \"round_robin\" of a target group"),
    ("random", "algorithm = \"weighted_random\" of a target group"),
    ("ip_hash source", "algorithm = \"hash\" with hash_on = \"source\" of a target group"),
    (
        "hash hash_policy ring_hash maglev hash_key consistent_hash hash_type",
        "algorithm = \"hash\" with \"hash_on\" of a target group",
    ),
    (
        "sticky sticky_cookie stick stick_table session_affinity sessionaffinity affinity persistence cookie appsession stickysession",
        "\"stickiness\" of a target group, such as { enabled = true }",
    ),
    (
        "stateful_session session_header sticky_header sticky_learn learn stick_on stick_match mcp mcp_session_id",
        "\"stickiness\" of a target group, such as { enabled = true, type = \"app_header\", app_header = \"Mcp-Session-Id\" }",
    ),
    (
        "maxconn max_conn",
        "\"process.connections\" for all clients, \"connection_limit\" of a target group for each target",
    ),
    (
        "max_conns max_connections max_requests fullconn circuit_breakers circuit_breaker",
        "\"connection_limit\" of a target group",
    ),
    ("maxqueue max_pending_requests max_queue backlog_queue", "\"queue\" of a target group"),
    ("timeout_queue", "\"queue_timeout\" of a target group"),
    (
        "backup backup_server fallback failover",
        "nothing in limpet: it has no backup targets; weight = 0 keeps new users away from a target",
    ),
    (
        "down disabled drain draining maint maintenance status enabled_state admin_state",
        "\"state\" of a target, such as \"draining\"",
    ),
    (
        "check httpchk option_httpchk health_checks healthchecks health health_uri active_health_check health_check_path",
        "\"health_check\" of a target group, such as { type = \"http\", path = \"/up\" }",
    ),
    ("inter health_interval check_interval", "\"health_check.interval\" of a target group"),
    ("healthy_threshold healthy_threshold_count passes", "\"health_check.rise\" of a target group"),
    (
        "unhealthy_threshold unhealthy_threshold_count fails",
        "\"health_check.fall\" of a target group",
    ),
    (
        "matcher expected_statuses expected_codes success_codes health_status http_check",
        "\"health_check.expect\" of a target group, such as [\"200-399\"]",
    ),
    (
        "grpc_code grpc_status service_name",
        "\"health_check.grpc_codes\" and \"health_check.grpc_service\" of a target group",
    ),
    (
        "max_fails outlier_detection passive_health_check observe error_limit consecutive_5xx",
        "\"ejection.errors\" of a target group",
    ),
    ("fail_timeout base_ejection_time", "\"ejection.time\" of a target group"),
    ("slowstart", "\"slow_start\" of a target group"),
    (
        "connect_timeout proxy_connect_timeout timeout_connect dial_timeout",
        "\"timeouts.connect\" of a target group",
    ),
    (
        "read_timeout proxy_read_timeout timeout_server response_timeout request_timeout proxy_timeout response_header_timeout",
        "\"timeouts.response\" and \"timeouts.content_idle\" of a target group",
    ),
    ("timeout_tunnel websocket_timeout", "\"timeouts.tunnel_idle\" of a target group"),
    (
        "timeout_http_request client_header_timeout read_header_timeout request_headers_timeout",
        "\"timeouts.head\" of a listener",
    ),
    ("client_body_timeout read_body_timeout", "\"timeouts.content_idle\" of a listener"),
    (
        "timeout_client send_timeout proxy_send_timeout write_timeout",
        "\"timeouts.send_idle\" of a listener",
    ),
    (
        "keepalive_timeout timeout_http_keep_alive idle_timeout",
        "\"timeouts.keep_alive\" of a listener, \"timeouts.idle\" of a target group",
    ),
    ("timeout", "\"timeouts\" of a listener or a target group, \"health_check.timeout\""),
    ("max_connection_duration keepalive_time", "\"timeouts.connection_age\" of a listener"),
    (
        "keepalive_requests max_requests_per_connection",
        "\"limits.requests_per_connection\" of a listener",
    ),
    (
        "keepalive keep_alive pool_size http_reuse pool_max_conn",
        "\"pool.idle_per_shard\" of a target group",
    ),
    (
        "client_max_body_size max_body_size request_body max_request_body_size max_request_bytes",
        "\"limits.content\" of a listener",
    ),
    (
        "large_client_header_buffers client_header_buffer_size max_header_size max_request_headers_kb max_headers_count",
        "\"limits.head\" and \"limits.fields\" of a listener",
    ),
    ("proxy_buffer_size max_response_headers_kb", "\"limits.response_head\" of a target group"),
    (
        "proxy_next_upstream retry_policy retry retry_on option_redispatch",
        "\"retries\" of a target group",
    ),
    (
        "proxy_next_upstream_tries num_retries attempts tries lb_retries",
        "\"retries.count\" of a target group",
    ),
    ("upgrade websocket websockets upgrade_configs", "\"upgrades\" of a target group"),
    (
        "send_proxy send_proxy_v2 send_proxy_v2_ssl check_send_proxy proxy_protocol_version",
        "\"send_proxy_protocol\" of a target group",
    ),
    ("accept_proxy proxyprotocol", "\"proxy_protocol\" and \"proxy_protocol_from\" of a listener"),
    (
        "set_real_ip_from real_ip_header real_ip_recursive xff_num_trusted_hops use_remote_address trusted_ips forwarded_headers",
        "\"trusted_proxies\" of a listener",
    ),
    (
        "forwardfor option_forwardfor x_forwarded xff proxy_set_header header_up request_headers_to_add set_header",
        "\"forwarded\" of a listener for X-Forwarded-For and its kin, \"rewrite.host\" of a rule for Host",
    ),
    ("limit_conn limit_conn_zone maxconn_per_ip", "\"process.connections_per_client\""),
    (
        "error_page errorfile errorfiles handle_errors error_pages local_reply_config",
        "\"answers\" of a listener, by status",
    ),
    ("log_format", "\"access_log.format\", and \"access_log.template\" for a line of your own"),
    ("log logs logging accesslog customlog", "[access_log]"),
    ("error_log loglevel", "\"process.log_level\""),
    (
        "worker_processes nbthread nbproc concurrency threads workers worker_threads thread",
        "\"process.shards\"",
    ),
    ("worker_connections ulimit_n", "\"process.connections\""),
    (
        "grace graceful_timeout drain_timeout hard_stop_after worker_shutdown_timeout gracetimeout shutdown_timeout",
        "\"process.grace_period\"",
    ),
    (
        "global defaults main http events stream",
        "[process] for the process, [[listener]] for clients, [[target_group]] for servers",
    ),
    ("stats stats_socket dashboard api admin_api", "[admin]"),
    (
        "deregistration_delay_timeout deregistration_timeout drain_time",
        "\"deregistration_delay\" of a target group",
    ),
    (
        "ssl tls ssl_certificate ssl_certificate_key certificate certificates cert crt tls_context",
        "\"certificates\" in [listener.tls]",
    ),
    (
        "root index try_files file_server autoindex alias",
        "nothing in limpet: it serves no files, a target does",
    ),
];

/// Key of the setting, words in lower case with "_" for "-", limpet's word.
static VALUES: [(&str, &str, &str); 40] = [
    (
        "algorithm",
        "leastconn least_conn least_connections least_connection least_request least_requests least_outstanding least_time lor p2c",
        "\"least_outstanding_requests\"",
    ),
    (
        "algorithm",
        "rr wrr roundrobin weighted_round_robin static_rr weighted_roundrobin dynamic_round_robin default",
        "\"round_robin\"",
    ),
    ("algorithm", "random random_choose weighted", "\"weighted_random\""),
    (
        "algorithm",
        "ip_hash iphash source source_ip src client_ip client_ip_hash source_hash source_ip_hash",
        "\"hash\" with hash_on = \"source\"",
    ),
    (
        "algorithm",
        "uri url_hash uri_hash ring_hash maglev consistent_hash consistent rendezvous hdr header url_param query rdp_cookie",
        "\"hash\" with hash_on = \"header:NAME\", \"cookie:NAME\", \"query:KEY\" or \"source\"",
    ),
    (
        "algorithm",
        "sticky cookie session persistence",
        "any of them, with stickiness.enabled = true beside it",
    ),
    (
        "algorithm",
        "first first_available failover backup",
        "none of them: limpet has no order of preference among targets, but for their weights",
    ),
    (
        "hash_on",
        "ip client client_ip remote_addr $remote_addr $binary_remote_addr source_ip src ip_hash",
        "\"source\"",
    ),
    (
        "hash_on",
        "uri url path $request_uri $uri",
        "none of them: hash a header, a cookie or a query value",
    ),
    ("state", "up ready active healthy enabled on in_use", "\"in_service\""),
    (
        "state",
        "down maint maintenance drain disabled offline off out_of_service backup inactive",
        "\"draining\"",
    ),
    ("type", "https h1 http1 http_check httpchk http_get", "\"http\""),
    ("type", "grpc_health_check grpc_health grpcs grpc_check", "\"grpc\""),
    ("protocol_version", "h2 h2c http_2 2", "\"http2\""),
    ("protocol_version", "h1 http_1 http1.1 1 1.1", "\"http1\""),
    ("on", "unavailable grpc_unavailable", "\"grpc:unavailable\""),
    ("type", "tcp_check tcp_connect connect ping port", "\"tcp\""),
    ("type", "none false disabled", "\"off\""),
    ("type", "cookie lbcookie insert duration load_balancer source_ip", "\"lb_cookie\""),
    ("type", "prefix rewrite appsession application appcookie passive", "\"app_cookie\""),
    ("type", "learn", "\"app_cookie\", or \"app_header\" where the session id is in a field"),
    (
        "type",
        "header request_header app_field field mcp mcp_session_id session_id",
        "\"app_header\" with app_header = \"NAME\", the field with the application's session id",
    ),
    ("proxy_protocol", "on true yes", "\"any\", which takes v1 and v2"),
    ("proxy_protocol", "1 v1.0", "\"v1\""),
    ("proxy_protocol", "2 v2.0", "\"v2\""),
    ("proxy_protocol_from", "all everybody anybody *", "\"any\""),
    (
        "mode",
        "http tcp stream",
        "strictness: limpet speaks HTTP only, so that mode can be left out",
    ),
    ("format", "clf common apache nginx main ncsa default", "\"combined\""),
    ("format", "custom text logfmt line", "\"template\" with a template beside it"),
    ("log_level", "warning notice_warning", "\"warn\""),
    ("log_level", "crit critical alert emerg fatal", "\"error\""),
    ("log_level", "notice verbose", "\"info\" or \"debug\""),
    (
        "on_lost",
        "new next other another another_target spill failover fail_over rebalance none",
        "\"balance\"",
    ),
    ("on_lost", "error fail reject gone not_found 404 410", "a number without quotes, such as 404"),
    ("on_full", "wait", "\"queue\""),
    ("on_full", "redispatch next overflow other", "\"spill\""),
    ("on_full", "503 error fail", "\"reject\""),
    ("x_forwarded_for", "off none false delete", "\"remove\""),
    ("x_forwarded_for", "on true add", "\"append\""),
    ("x_forwarded_for", "set overwrite", "\"replace\""),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::schema;
    use crate::control::config::habits::*;

    #[test]
    fn every_setting_that_an_answer_names_exists() {
        let paths: Vec<String> = schema::listing().into_iter().map(|one| one.path).collect();
        let exists = |name: &str| {
            let tail = format!(".{name}");
            paths.iter().any(|path| path == name || path.ends_with(&tail))
        };
        for (_, answer) in &KEYS {
            for name in answer.split('"').skip(1).step_by(2) {
                let is_name =
                    name.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte));
                // limpet's own words occur as values of the settings before them.
                let is_value = answer.contains(&format!("= \"{name}\"")) || name == "draining";
                assert!(!is_name || is_value || exists(name), "{name} in {answer}");
            }
            for table in
                answer.split('[').filter_map(|part| part.split_once(']')).map(|(name, _)| name)
            {
                assert!(
                    table.starts_with(['"', '{']) || table.is_empty() || exists(table),
                    "{table}"
                );
            }
        }
        for (setting, ..) in &VALUES {
            assert!(exists(setting), "{setting}");
        }
    }

    #[test]
    fn words_for_sessions_in_fields_lead_to_app_header() {
        for word in ["stateful_session", "Sticky-Learn", "stick_on", "mcp-session-id"] {
            assert!(key(word).unwrap().contains("type = \"app_header\""), "{word}");
        }
        for word in ["header", "Mcp-Session-Id", "learn"] {
            assert!(value("type", word).unwrap().contains("\"app_header\""), "{word}");
        }
        assert_eq!(value("on_lost", "failover"), Some("\"balance\""));
        assert_eq!(value("on_lost", "404"), Some("a number without quotes, such as 404"));
    }

    #[test]
    fn no_word_has_two_answers() {
        let mut seen = HashSet::new();
        for word in KEYS.iter().flat_map(|(words, _)| words.split(' ')) {
            assert!(seen.insert(word), "{word}");
        }
    }
}
