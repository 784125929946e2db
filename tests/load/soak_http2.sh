#!/usr/bin/env bash
# Users over HTTP/2 who must stay with their targets, whatever happens to these: reloads, drains, and targets that are
# killed and come back. No request may fail, none may be answered by a wrong target, and who is moved must be told so by a
# new cookie. With targets of HTTP/1.1 and of HTTP/2; first with all kinds of requests, then, where targets are killed,
# with such as may be sent twice.
#
#     tests/load/soak_http2.sh LIMPET LOADTEST [REQUESTS]
#
# LIMPET and LOADTEST are the two programs, built for release. REQUESTS of each of two runs, 75 000 if it is not
# said, and half as many more of each of two others.
set -euo pipefail

readonly LIMPET="$1" LOADTEST="$2" REQUESTS="${3:-75000}"
readonly TARGETS=(a b c d)
# No run may last longer.
readonly SECONDS_MAX=$((120 + REQUESTS / 5000))

work="$(mktemp -d)"
limpet=""
declare -A targets=()

finish() {
    # Only what was started here.
    for process in "$limpet" "${targets[@]}"; do
        if [ -n "$process" ]; then kill "$process" 2>/dev/null || true; fi
    done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# Starts a target at an address, and tells which process and which address it is.
start_target() {
    local id="$1" address="$2"
    # What the one before it said is not this one's address.
    : >"$work/$id.out"
    "$LOADTEST" target --address "$address" --id "$id" >>"$work/$id.out" 2>&1 &
    targets[$id]=$!
    for _ in $(seq 200); do
        if grep -q "^target $id on " "$work/$id.out"; then
            addresses[$id]="$(sed "s/^target $id on //" "$work/$id.out")"
            return
        fi
        sleep 0.05
    done
    echo "target $id does not come up:" >&2
    cat "$work/$id.out" >&2
    exit 1
}

configure() {
    local protocol="$1" duration="$2"
    {
        printf '[process]\nstate_directory = "%s"\n[access_log]\noutput = "off"\n' "$work"
        printf '[admin]\nsocket = "%s"\n' "$work/admin.sock"
        printf '[[listener]]\nname = "web"\naddress = "127.0.0.1:0"\nhttp2 = true\nforward = "app"\n'
        printf '[[target_group]]\nname = "app"\nprotocol_version = "%s"\n' "$protocol"
        printf 'deregistration_delay = "2s"\n'
        printf '[target_group.retries]\ncount = 3\n'
        printf '[target_group.stickiness]\nenabled = true\nduration = "%s"\n' "$duration"
        for id in "${TARGETS[@]}"; do
            printf '[[target_group.target]]\nid = "%s"\naddress = "%s"\n' "$id" "${addresses[$id]}"
        done
    } >"$work/limpet.toml.new"
    mv "$work/limpet.toml.new" "$work/limpet.toml"
}

# Asks the admin API; what it says when it refuses is told.
admin() {
    curl --silent --show-error --fail-with-body --max-time 10 --request "$1" --header 'X-Limpet-Request: 1' \
        --header 'Content-Type: application/json' --data "$3" --unix-socket "$work/admin.sock" "http://limpet$2" >"$work/admin.out" || { cat "$work/admin.out" >&2; return 1; }
}

run() {
    local protocol="$1" kinds="$2" events="$3" soak round=0 id
    addresses=()
    for id in "${TARGETS[@]}"; do start_target "$id" 127.0.0.1:0; done
    configure "$protocol" 60m
    "$LIMPET" run --config "$work/limpet.toml" >"$work/limpet.log" 2>&1 &
    limpet=$!
    for _ in $(seq 200); do
        if grep -q ' ready ' "$work/limpet.log"; then break; fi
        sleep 0.05
    done
    listen="$(sed -n 's/.* listening listener=web address=//p' "$work/limpet.log")"
    timeout "$SECONDS_MAX" "$LOADTEST" soak --address "$listen" --http2 --streams 16 --connections 16 \
        --requests "$((REQUESTS * events / 4))" --sessions 2000 --sticky --allow-moves --kinds "$kinds" --response-max 20000 --upload-max 20000 \
        >"$work/soak.out" 2>"$work/soak.err" &
    soak=$!
    while kill -0 "$soak" 2>/dev/null; do
        round=$((round + 1))
        id="${TARGETS[$((round % ${#TARGETS[@]}))]}"
        case $((round % events)) in
            0 | 1) configure "$protocol" "$((60 + round))m"; kill -HUP "$limpet" || { cat "$work/limpet.log" >&2; exit 1; } ;;
            2)
                # A drain lets its users stay while it lasts, and it does not end here; without service they move at once.
                if [ $((round / events % 2)) -eq 0 ]; then
                    admin POST "/v1/groups/app/targets/$id/disable" '{}'
                else
                    admin POST "/v1/groups/app/targets/$id/drain" '{"until":"delay"}'
                fi
                drained="$id"
                ;;
            3) admin POST "/v1/groups/app/targets/$drained/enable" '{}' ;;
            4) kill -KILL "${targets[$id]}"; unset "targets[$id]"; killed="$id" ;;
            5) start_target "$killed" "${addresses[$killed]}" ;;
        esac
        sleep 0.15
    done
    wait "$soak" || { cat "$work/soak.out" >&2; tail -n 20 "$work/limpet.log" >&2; exit 1; }
    cat "$work/soak.out"
    if [ "$round" -lt "$events" ] || ! grep -q '^moves  *[1-9]' "$work/soak.out"; then
        echo "it was over before everything had happened, or nobody was moved" >&2
        exit 1
    fi
    echo "targets of $protocol, $kinds: $round events, no problem"
    kill "$limpet" "${targets[@]}"
    wait 2>/dev/null || true
    limpet=""
    targets=()
}

declare -A addresses=()
drained="" killed="" listen=""
readonly ALL=get,post,chunked,head TWICE=get,head
# Reloads and drains are four events; a target that is killed and one that comes back make six.
run http1 "$ALL" 4
run http2 "$ALL" 4
run http1 "$TWICE" 6
run http2 "$TWICE" 6
