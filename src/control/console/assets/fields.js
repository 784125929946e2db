// The attributes of a target group as the console lays them out: sections of fields, each with its key in the file.
// Pure: reads attributes, and finds what an edit changes.

const ALGORITHMS = [
  ["round_robin", "Round robin"], ["least_outstanding_requests", "Least outstanding requests"],
  ["weighted_random", "Weighted random"], ["hash", "Hash"]];
const ON_FULL = [["queue", "Queue: wait for a place"], ["spill", "Spill: another target this once"],
  ["restick", "Restick: another target from now on"], ["reject", "Reject with 503"]];
const FAILBACK = [["never", "Never: stay on the new target"], ["healthy", "When the first target is healthy again"]];
const NEW_SESSIONS = [["algorithm", "As the algorithm says"], ["least_sessions", "Where the fewest live (least_sessions)"]];
const SAME_SITE = [["lax", "Lax"], ["strict", "Strict"], ["none", "None (only over TLS)"]];
const CHECKS = [["off", "Off"], ["http", "HTTP request"], ["tcp", "TCP connection"], ["grpc", "gRPC call (grpc.health.v1)"]];
export const TYPES = [
  ["lb_cookie", "limpet's own cookie (lb_cookie)", "Every user of the group is kept."],
  ["app_cookie", "The application's cookie (app_cookie)", "A user is kept as long as the application's cookie lives."],
  ["app_header", "A session id in a field (app_header)", "For clients without cookies: a session is kept by the id that the application hands out in a response field. MCP servers: the field is Mcp-Session-Id; with 404 for a lost session, clients begin anew."]];

const checked = (of) => of("health_check.type") !== "off";
const byField = (of) => of("stickiness.type") === "app_header";
const byCookie = (of) => !byField(of);
const asked = (of) => of("health_check.type") === "http";
const called = (of) => of("health_check.type") === "grpc";
const requested = (of) => asked(of) || called(of);

/**
 * [key, label, kind, more]: kind is flag, choice, radio, text, count, duration, size, list or either (a word or a
 * count); `zero` is what 0 means, `unset` what holds without the setting, which goes where it does not apply.
 */
export const SECTIONS = [
  { title: "Target selection", fields: [
    ["algorithm", "Algorithm", "choice", { options: ALGORITHMS }],
    ["hash_on", "Hash on", "text", { optional: true, when: (of) => of("algorithm") === "hash" }],
    ["slow_start", "Slow start", "duration", { zero: "Off" }],
    ["deregistration_delay", "Deregistration delay", "duration", { zero: "None" }],
    ["connection_limit", "Requests in flight per target", "count", { zero: "No limit" }],
    ["queue", "Queue length", "count"],
    ["queue_timeout", "Longest wait in the queue", "duration"],
    ["upgrades", "Upgrades such as WebSocket", "flag"],
  ] },
  { title: "Stickiness", sticky: true, fields: [
    ["stickiness.enabled", "Stickiness", "flag", { on: "Turn on stickiness" }],
    ["stickiness.type", "Stickiness type", "radio", { options: TYPES }],
    ["stickiness.app_cookie", "App cookie name", "text", { optional: true, when: (of) => of("stickiness.type") === "app_cookie" }],
    ["stickiness.app_header", "Field name", "text", { optional: true, example: "Mcp-Session-Id", when: byField }],
    ["stickiness.on_lost", "When a session is lost", "either", { unset: "balance", when: byField }],
    ["stickiness.duration", "Stickiness duration", "duration", { when: byCookie }],
    ["stickiness.max_age", "Maximum age", "duration"],
    ["stickiness.cookie_name", "Cookie name", "text", { optional: true, when: byCookie }],
    ["on_full", "When the user's target is full", "choice", { options: ON_FULL }],
    ["stickiness.failback", "After a fail-over, go back", "choice", { options: FAILBACK, when: byCookie }],
    ["stickiness.new_sessions", "Where new users go", "choice", { options: NEW_SESSIONS }],
  ], more: { title: "More about stickiness", fields: [
    ["stickiness.domain", "Domain", "text", { when: byCookie }],
    ["stickiness.path", "Path", "text", { when: byCookie }],
    ["stickiness.same_site", "SameSite", "choice", { options: SAME_SITE, when: byCookie }],
    ["stickiness.partitioned", "Partitioned", "flag", { when: byCookie }],
    ["stickiness.cross_site_twin", "Twin for cross-site use", "flag", { when: byCookie }],
    ["stickiness.forward_cookie", "Targets see the cookie", "flag", { when: byCookie }],
    ["stickiness.session_cookies", "Session cookies to watch", "list", { when: byCookie }],
    ["stickiness.generation", "Generation", "count"],
  ] } },
  { title: "Health checks and ejection", fields: [
    ["health_check.type", "Check", "choice", { options: CHECKS }],
    ["health_check.path", "Path", "text", { when: requested }],
    ["health_check.method", "Method", "text", { when: asked }],
    ["health_check.host", "Host", "text", { when: requested }],
    ["health_check.port", "Port", "count", { optional: true, when: checked }],
    ["health_check.expect", "Statuses that pass", "list", { when: asked }],
    ["health_check.body", "Text in the response", "text", { when: asked }],
    ["health_check.grpc_service", "Service (empty: the server)", "text", { when: called }],
    ["health_check.grpc_codes", "gRPC statuses that pass", "list", { when: called }],
    ["health_check.interval", "Interval", "duration", { when: checked }],
    ["health_check.timeout", "Timeout", "duration", { when: checked }],
    ["health_check.rise", "Passes until healthy", "count", { when: checked }],
    ["health_check.fall", "Failures until unhealthy", "count", { when: checked }],
    ["fail_open.count", "Fail open below (targets)", "count", { zero: "Off" }],
    ["fail_open.percent", "Fail open below (percent)", "count", { zero: "Off" }],
    ["ejection.errors", "Eject after errors in a row", "count", { zero: "Off" }],
    ["ejection.time", "Ejected for", "duration", { when: (of) => Number(of("ejection.errors")) > 0 }],
    ["ejection.time_max", "Ejected for at most", "duration", { when: (of) => Number(of("ejection.errors")) > 0 }],
    ["ejection.percent_max", "Largest ejected share (percent)", "count", { when: (of) => Number(of("ejection.errors")) > 0 }],
  ] },
  { title: "Timeouts, pool and retries", folded: true, fields: [
    ["timeouts.connect", "Connect", "duration"],
    ["timeouts.response", "Response head", "duration"],
    ["timeouts.response_renewed_by_102", "A 102 renews it", "flag"],
    ["timeouts.idle", "Idle connection", "duration"],
    ["timeouts.content_idle", "Silence in content", "duration"],
    ["timeouts.stream_idle", "Silence in a stream of HTTP/2", "duration"],
    ["timeouts.tunnel_idle", "Silence in an upgrade", "duration"],
    ["limits.response_head", "Longest response head", "size"],
    ["pool.idle_per_shard", "Idle connections per shard", "count"],
    ["pool.connections_max", "HTTP/2 connections per shard, at most", "count"],
    ["pool.streams_per_connection", "HTTP/2 streams per connection", "count"],
    ["retries.count", "Retries", "count"],
    ["retries.budget_percent", "Retry budget (percent)", "count"],
    ["retries.budget_minimum", "Retry budget, at least", "count"],
    ["retries.on", "Retried gRPC statuses (grpc:unavailable)", "list"],
  ] },
];

export function fieldsOf(section) {
  return [...section.fields, ...(section.more?.fields ?? [])].map(([key, label, kind, more = {}]) => ({ key, label, kind, ...more }));
}

export const FIELDS = SECTIONS.flatMap(fieldsOf);

/** The value of a dotted key. */
export function read(attributes, key) {
  return key.split(".").reduce((table, name) => table?.[name], attributes) ?? null;
}

/** What the file calls keys that no section names, so that nothing is hidden from the operator. */
export function otherKeys(attributes, prefix = "") {
  const known = new Set(FIELDS.map((field) => field.key));
  return Object.entries(attributes).flatMap(([name, value]) => {
    const key = prefix + name;
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return otherKeys(value, `${key}.`);
    return known.has(key) || key === "name" ? [] : [key];
  });
}

/** The text of a control as a value of the file. What is no number is sent as it is, for the server to say why not. */
export function parse({ kind, optional }, input) {
  if (kind === "flag") return input;
  const text = input.trim();
  if (kind === "list") return text ? text.split(",").map((one) => one.trim()).filter(Boolean) : [];
  if (text === "" && (optional || kind !== "text")) return null;
  return (kind === "count" || kind === "either") && /^\d+$/.test(text) ? Number(text) : text;
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** The keys that an edit changes, ready for a PATCH. `of(key)` is what stands in the form. */
export function changes(attributes, of) {
  const set = {};
  for (const field of FIELDS) {
    const before = read(attributes, field.key);
    const applies = !field.when || field.when(of);
    if (!applies && !field.optional && !field.unset) continue;
    const after = applies ? parse(field, of(field.key)) : null;
    if (after === null && before === field.unset) continue;
    if (!same(before ?? (field.kind === "text" && !field.optional ? "" : null), after)) set[field.key] = after;
  }
  return set;
}

/** The key of a problem, below its group's table. */
export function ownKey(key) {
  return (key ?? "").replace(/^target_group(\[[^\]]*\])?\.?/, "");
}
