#!/usr/bin/env bash
# The admin API of a limpet that runs, as others see it: schemathesis sends what its description allows and what it
# does not, promtool reads its metrics. Any finding ends this with an error.
#
#   tests/admin/real.sh LIMPET SCHEMATHESIS [SECONDS]      two programs, and about how long schemathesis may take
set -euo pipefail
readonly LIMPET="$1" SCHEMATHESIS="$2" SECONDS_MAX="${3:-90}"
# Without a token an address allows attributes alone.
readonly TOKEN="a-token-of-this-script"
readonly HERE="$(cd "$(dirname "$0")" && pwd)"

directory="$(mktemp -d)"
started=()
finish() {
    for id in "${started[@]}"; do kill "$id" 2>/dev/null || true; done
    wait
    rm -rf "$directory"
}
trap finish EXIT

# Starts a limpet with the file given and waits until it accepts.
start() {
    local name="$1"
    mkdir -p "$directory/$name.state"
    LIMPET_READY_FILE="$directory/$name.ready" NO_COLOR=1 \
        "$LIMPET" run --config "$directory/$name.toml" 2>"$directory/$name.stderr" &
    started+=("$!")
    for _ in $(seq 200); do
        if [ -e "$directory/$name.ready" ]; then return; fi
        sleep 0.05
    done
    cat "$directory/$name.stderr" >&2
    exit 1
}

# The address of a listener.
address() {
    awk -v name="$2" '$1 == name { print $2 }' "$directory/$1.ready"
}

common() {
    printf '[process]\nshards = 1\nstate_directory = "%s"\n[access_log]\noutput = "off"\n' "$directory/$1.state"
}

# What is balanced: listeners that answer by themselves.
{
    common targets
    for name in a b c; do
        printf '[[listener]]\nname = "%s"\naddress = "127.0.0.1:0"\nrespond.body = "%s"\n' "$name" "$name"
    done
} >"$directory/targets.toml"
start targets

{
    common edge
    printf '[admin]\naddress = "127.0.0.1:0"\ntoken = "%s"\naudit_log = "%s"\n' "$TOKEN" "$directory/audit.log"
    printf '[[listener]]\nname = "web"\naddress = "127.0.0.1:0"\nforward = "app"\n'
    for group in app other; do
        printf '[[target_group]]\nname = "%s"\nstickiness.enabled = true\n' "$group"
        printf 'health_check.type = "http"\nhealth_check.interval = "5s"\nhealth_check.timeout = "1s"\n'
        for name in a b c; do
            printf '[[target_group.target]]\nid = "%s"\naddress = "%s"\n' "$name" "$(address targets "$name")"
        done
    done
} >"$directory/edge.toml"
start edge
web="http://$(address edge web)"
admin="http://$(address edge @admin)"

echo "--- promtool"
for _ in $(seq 50); do curl --silent --fail --output /dev/null "$web/"; done
curl --silent --output /dev/null --request POST --data x "$web/"
sleep 1.5
curl --silent --fail --header "Authorization: Bearer $TOKEN" "$admin/metrics" >"$directory/metrics"
# An empty text would pass.
grep -q '^limpet_requests_total{' "$directory/metrics"
promtool check metrics <"$directory/metrics"
echo "$(grep -c '^# TYPE' "$directory/metrics") families, $(grep -vc '^#' "$directory/metrics") samples"

echo "--- schemathesis"
schemathesis() {
    "$SCHEMATHESIS" --config-file "$HERE/schemathesis.toml" run "$admin/v1/openapi.json" \
        --header "Authorization: Bearer $TOKEN" --generation-database none --max-time "$((SECONDS_MAX / 2))" "$@"
}
# Without DELETE first, so that there is something to find behind every other path.
schemathesis --exclude-method DELETE
schemathesis --max-examples 10

kill -0 "${started[1]}"
# Whatever it was told, it serves, and nothing in it has broken.
curl --silent --output /dev/null "$web/"
if grep -E 'ERROR|panicked' "$directory/edge.stderr"; then exit 1; fi
curl --silent --fail --header "Authorization: Bearer $TOKEN" "$admin/metrics" | promtool check metrics
