#!/usr/bin/env bash
# Others' HTTP/2 against limpet's, on loopback: h2load, curl and nghttp as clients, nghttpx in front of limpet and
# behind it, h2load while limpet is reloaded and its targets are drained, and a client of our own that floods.
#
#     tests/http2/trial.sh LIMPET LOADTEST [RELOADS [DRAINS [REQUESTS]]]
#
# LIMPET and LOADTEST are the two programs, built for release. 40 reloads and 4 drains, if it is not said, while there is
# one run of 40 000 requests after the other. Needs h2load, nghttp, nghttpx, curl, openssl and python3.
# Ends with 0 when everything was as it must be. Every process is ended by its own id.
set -euo pipefail

LIMPET="$(realpath "$1")"
LOADTEST="$(realpath "$2")"
readonly LIMPET LOADTEST RELOADS="${3:-40}" DRAINS="${4:-4}" REQUESTS="${5:-40000}"
HERE="$(cd "$(dirname "$0")" && pwd)"
readonly HERE
# No command may last longer: it would hang.
readonly SECONDS_MAX=60
readonly BIG_BYTES=5000000
directory="$(mktemp -d)"
readonly directory
declare -A started=()
failed=0

finish() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$directory"
}
trap finish EXIT

ok() { echo "ok    $1"; }
# NAME, why: what standard input says is told as well.
wrong() {
    echo "WRONG $1: $2"
    sed 's/^/      /'
    failed=1
}
# NAME, what it is, what it must be.
equal() {
    if [ "$2" = "$3" ]; then ok "$1"; else wrong "$1" "$2 in place of $3" </dev/null; fi
}
# NAME, what must be in the text that comes on standard input.
expect() {
    local text
    text="$(tr -d '\r')"
    if grep -qE -- "$2" <<<"$text"; then ok "$1"; else wrong "$1" "no $2 in:" <<<"$text"; fi
}
# A command that must be true soon.
await() {
    for _ in $(seq 400); do
        if "$@"; then return; fi
        sleep 0.05
    done
    echo "in vain: $*" >&2
    tail -n 20 ./*.err >&2
    exit 1
}

cd "$directory"
head -c "$BIG_BYTES" /dev/urandom >big
head -c 4096 big >small
sum="$(sha256sum <big | cut -d ' ' -f 1)"
readonly sum
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=trial \
    -keyout ca.key -out ca.pem 2>openssl.log
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=shop.test \
    -keyout shop.key -out shop.csr 2>>openssl.log
openssl x509 -req -in shop.csr -CA ca.pem -CAkey ca.key -days 30 -out shop.pem \
    -extfile <(printf 'subjectAltName=DNS:shop.test\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:false\n') \
    2>>openssl.log
chmod 600 ./*.key

# NAME, command …: starts it; what it says is in NAME.out and NAME.err.
start() {
    local name="$1"
    shift
    "$@" >"$name.out" 2>"$name.err" </dev/null &
    started[$name]=$!
}
# NAME, signal: ends it and waits for its end.
stop() {
    kill "-$2" "${started[$1]}"
    wait "${started[$1]}" || true
    unset "started[$1]"
}
# NAME: a responder's address is the last word that it says.
start_responder() {
    start "$1" "$LOADTEST" respond --address 127.0.0.1:0 --id "$1"
    await grep -q '^ready ' "$1.out"
}
said_address() { sed -n 's/^.*\(127\.0\.0\.1:[0-9]*\)$/\1/p' "$1.out"; }
# NAME: a limpet with NAME.toml.
start_limpet() {
    start "$1" env LIMPET_READY_FILE="$directory/$1.ready" NO_COLOR=1 "$LIMPET" run --config "$directory/$1.toml"
    await test -s "$1.ready"
}
address() { awk -v name="$2" '$1 == name { print $2 }' "$1.ready"; }
port() { address "$1" "$2" | sed 's/.*://'; }
ctl() {
    local name="$1"
    shift
    LIMPET_ADMIN="$directory/$name.sock" timeout "$SECONDS_MAX" "$LIMPET" ctl "$@"
}
# LIMPET, METRIC: its value.
metric() { ctl "$1" metrics | awk -v name="$2" '$1 == name { print $2 }'; }
metric_is() { [ "$(metric "$1" "$2")" = "$3" ]; }
# LIMPET, its further [process] and [access_log].
common() {
    printf '[process]\nstate_directory = "%s"\n[admin]\nsocket = "%s"\n' "$directory/$1.state" "$directory/$1.sock"
    printf '[access_log]\noutput = "%s"\nbuffer = "16MiB"\n' "$directory/$1.log"
    printf 'format = "template"\ntemplate = "{version} {status} {ended} {request_id}"\n'
}

# NAME, requests, options of h2load …: all of them must be answered with 2xx.
load() {
    local name="$1" requests="$2" report
    shift 2
    report="$(timeout $((SECONDS_MAX + requests / 1000)) h2load -n "$requests" "$@" 2>&1 </dev/null || echo "ended with $?")"
    if grep -q "^requests: $requests total, $requests started, $requests done, $requests succeeded, 0 failed, 0 errored, 0 timeout$" \
        <<<"$report" && grep -q "^status codes: $requests 2xx, 0 3xx, 0 4xx, 0 5xx$" <<<"$report"; then
        ok "$name: $(sed -n 's/^finished in //p' <<<"$report")"
    else
        grep -v '^progress' <<<"$report" | wrong "$name" "not all was answered:"
    fi
}

start_responder plain
start files python3 "$HERE/target.py" big
await test -s files.out

# NAME, options …: an nghttpx; its ports are those that it was given.
start_nghttpx() {
    local name="$1"
    shift
    start "$name" nghttpx --conf=/dev/null --workers=1 --no-ocsp --accesslog-file=/dev/null "$@" \
        "$directory/shop.key" "$directory/shop.pem"
}
is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# So many ports that are free, and that the kernel gives to nobody who does not ask for them.
free_ports() {
    python3 - "$1" <<'END'
import random, socket, sys
found = {}
while len(found) < int(sys.argv[1]):
    port = random.randrange(10000, 30000)
    try:
        found.setdefault(port, socket.create_server(("127.0.0.1", port)))
    except OSError:
        pass
print(*found)
END
}
# nghttpx takes no port of the kernel's choice.
read -r inner inner_tls outer outer_tls briefly <<<"$(free_ports 5)"
start_nghttpx inner --frontend="127.0.0.1,$inner;no-tls" --frontend="127.0.0.1,$inner_tls" \
    --backend="127.0.0.1,$(said_address files | sed 's/.*://');/files/" --backend="127.0.0.1,$(said_address plain | sed 's/.*://')"
await is_open "$inner"
await is_open "$inner_tls"

{
    common both
    # A connection that ends in order says GOAWAY as well.
    readonly UNENDING=$'limits.requests_per_connection = 0\ntimeouts.keep_alive = "10m"'
    readonly TLS="tls.certificates = [{ chain = \"$directory/shop.pem\", key = \"$directory/shop.key\" }]"
    readonly CLEAR='http2 = true' PATIENT=$'http2 = true\ntimeouts.send_idle = "1s"'
    for listener in clear:"$CLEAR" tls:"$TLS" patient:"$PATIENT"; do
        printf '[[listener]]\nname = "%s"\naddress = "127.0.0.1:0"\nforward = "plain"\n' "${listener%%:*}"
        printf '%s\n' "${listener#*:}" "$UNENDING"
        printf '[[listener.rule]]\nname = "files"\npriority = 1\nwhen.path = ["/files/*"]\nforward = "files"\n'
    done
    for listener in behind behind-tls; do
        printf '[[listener]]\nname = "%s"\naddress = "127.0.0.1:0"\nforward = "%s"\n' $listener $listener
        printf '%s\n' "$CLEAR" "$UNENDING"
    done
    printf '[[listener]]\nname = "brief"\naddress = "127.0.0.1:0"\nforward = "plain"\n'
    printf '%s\nlimits.requests_per_connection = 100\n' "$CLEAR"
    printf '[[target_group]]\nname = "plain"\ntarget = [{ address = "%s" }]\n' "$(said_address plain)"
    printf '[[target_group]]\nname = "files"\ntarget = [{ address = "%s" }]\n' "$(said_address files)"
    printf '[[target_group]]\nname = "behind"\nprotocol_version = "http2"\ntarget = [{ address = "127.0.0.1:%s" }]\n' "$inner"
    printf '[[target_group]]\nname = "behind-tls"\nprotocol_version = "http2"\nprotocol = "https"\n'
    printf 'tls = { server_name = "shop.test", authorities = "%s" }\n' "$directory/ca.pem"
    printf 'target = [{ address = "127.0.0.1:%s" }]\n' "$inner_tls"
} >both.toml
start_limpet both
clear="http://$(address both clear)" tls="https://$(address both tls)"
readonly clear tls

echo "--- h2load"
for base in "$clear" "$tls"; do
    load "${base%%:*}, 1 stream at a time" 4000 -c 8 -m 1 "$base/"
    load "${base%%:*}, 32 streams at a time" 20000 -c 8 -m 32 "$base/"
    load "${base%%:*}, uploads of 4 KiB" 4000 -c 8 -m 32 -d small "$base/"
    load "${base%%:*}, downloads of 100 kB" 1000 -c 4 -m 32 "$base/?size=100000"
    load "${base%%:*}, downloads of 100 kB through small windows" 1000 -c 4 -m 32 -w 14 -W 16 "$base/?size=100000"
done

# NAME, base, options of curl …: requests of all kinds to the target that tells sums.
requests() {
    local name="$1" base="$2"
    shift 2
    local curl=(curl --silent --show-error --max-time "$SECONDS_MAX" --cacert ca.pem "$@")
    local version='%{stderr}%{http_version} %{response_code} %{size_download}'
    equal "$name: upload" "$("${curl[@]}" --data-binary @big "$base/files/sum")" "$sum"
    equal "$name: upload of unknown length" "$("${curl[@]}" --upload-file - --request POST "$base/files/sum" <big)" "$sum"
    # What goes wrong is said in place of what is expected.
    "${curl[@]}" --write-out "$version" --output got "$base/files/big" 2>said || true
    equal "$name: download, in version 2" "$(cat said) $(sha256sum <got | cut -d ' ' -f 1)" "2 200 $BIG_BYTES $sum"
    "${curl[@]}" --head --write-out "$version" "$base/files/big" >head 2>said || true
    equal "$name: HEAD" "$(cat said) $(grep -ci "^content-length: $BIG_BYTES" head)" "2 200 0 1"
    "${curl[@]}" --write-out "$version" "$base/files/nothing" 2>said || true
    equal "$name: 204" "$(cat said)" "2 204 0"
    "${curl[@]}" --dump-header head --output got "$base/files/trailers" || true
    equal "$name: content in front of trailers" "$(sha256sum <got | cut -d ' ' -f 1)" "$sum"
    expect "$name: trailers" "^x-sum: $sum$" <head
}
echo "--- curl"
requests "curl in clear" "$clear" --http2-prior-knowledge
requests "curl over TLS" "https://shop.test:$(port both tls)" --http2 --resolve "shop.test:$(port both tls):127.0.0.1"

echo "--- nghttp"
# BASE, options …: what nghttp says of itself goes where nobody looks, unless it is asked for.
client() { timeout "$SECONDS_MAX" nghttp --no-verify-peer "$@" 2>&1 </dev/null || echo "ended with $?"; }
for base in "$clear" "$tls"; do
    equal "${base%%:*}, 20 at a time of 5 MB each" "$(client -n -s -m 20 "$base/files/big" | grep -cE ' 200 +4M ')" 20
    equal "${base%%:*}, content" "$(timeout "$SECONDS_MAX" nghttp -y "$base/files/big" | sha256sum | cut -d ' ' -f 1)" "$sum"
    client -v -d big --no-content-length --trailer 'x-said: it is over' "$base/files/sum" >said
    expect "${base%%:*}, trailers of a request" 'x-told: it is over' <said
    expect "${base%%:*}, upload in front of them" "$sum" <said
    client -v -b 200 -d small --continuation "$base/?size=1000" >said
    expect "${base%%:*}, padding, and a head that is continued" ':status: 200' <said
    expect "${base%%:*}, which is whole" 'x-request-received: 4096' <said
done

echo "--- nghttpx"
for listener in behind behind-tls; do
    requests "limpet, then nghttpx ($listener)" "http://$(address both $listener)" --http2-prior-knowledge
    load "limpet, then nghttpx ($listener)" 5000 -c 8 -m 32 "http://$(address both $listener)/"
done
expect "targets were asked over HTTP/2" '^[1-9][0-9]{4}' <<<"$(metric both 'limpet_http2_streams_total{side="target"}')"
start_nghttpx outer --frontend="127.0.0.1,$outer;no-tls" --frontend="127.0.0.1,$outer_tls" \
    --backend="127.0.0.1,$(port both clear);;proto=h2"
await is_open "$outer"
await is_open "$outer_tls"
requests "nghttpx, then limpet" "http://127.0.0.1:$outer" --http2-prior-knowledge
requests "nghttpx by TLS, then limpet" "https://shop.test:$outer_tls" --http2 --resolve "shop.test:$outer_tls:127.0.0.1"
load "nghttpx, then limpet" 5000 -c 8 -m 32 "http://127.0.0.1:$outer/"
load "nghttpx by TLS, then limpet" 5000 -c 8 -m 32 "https://127.0.0.1:$outer_tls/"

# All of this was innocent.
equal "nobody was told to be calm" "$(metric both 'limpet_http2_goaways_total{side="client",direction="sent"}')" 0
equal "no line of the log was dropped" "$(metric both 'limpet_access_log_lines_total{result="dropped"}')" 0

stop outer TERM

start_nghttpx briefly --frontend="127.0.0.1,$briefly;no-tls" --backend="127.0.0.1,$(port both brief);;proto=h2"
await is_open "$briefly"
load "nghttpx, then limpet, whose connections end behind 100 requests" 20000 -c 8 -m 32 "http://127.0.0.1:$briefly/"
expect "they ended" '^[1-9][0-9]{2}' <<<"$(metric both 'limpet_http2_goaways_total{side="client",direction="sent"}')"
equal "nobody was taken for a faulty client" "$(metric both 'limpet_errors_total{code="stream_idle"}')" ""
stop briefly TERM

echo "--- floods"
# What each flood is to be ended by, and by which word that is counted.
readonly FLOODS="rapid-reset rapid_resets
provoked-reset provoked_resets
continuation too_many_continuations
empty-continuation continuation_empty
settings settings_flood
ping ping_flood
empty-data empty_data_flood
small-data small_data_flood
window-update window_update_flood
priority priority_flood
unknown unknown_frame_flood"
readonly CALM='GOAWAY ENHANCE_YOUR_CALM'
# NAME, LISTENER, options of loadtest hostile …: what it says is in NAME.out.
flood() {
    local name="$1" listener="$2"
    shift 2
    timeout "$SECONDS_MAX" "$LOADTEST" hostile --address "$(address both "$listener")" --again-ms 100 --patience-s 20 "$@" \
        >"$name.out" 2>&1 </dev/null || { wrong "$name" "ended with $?" <"$name.out"; return 1; }
}
# So many frames that no buffer of a socket takes them all: who sends them has to see the end.
flood floods clear --frames 1000000 &
flooding=$!
load "others, while there are floods" 20000 -c 8 -m 8 "$clear/"
wait "$flooding" || failed=1
while read -r kind word; do
    expect "$kind is ended" "^$kind +[0-9]+  $CALM " <floods.out
    expect "$kind is counted" '^[1-9]' <<<"$(metric both "limpet_errors_total{code=\"$word\"}")"
done <<<"$FLOODS"
# Ended by the deadline of what is sent.
flood windows patient --kind zero-window || true
expect "who gives no window has all streams reset" '^zero-window +100  resetting each stream +100 ' <windows.out
flood unread patient --kind unread || true
expect "who does not read is closed" '^unread +100  closing ' <unread.out
load "others, after the floods" 20000 -c 8 -m 32 "$clear/"
await metric_is both 'limpet_http2_connections{side="client"}' 0
equal "no stream is left" "$(metric both 'limpet_http2_streams_open{side="client"}')" 0
stop both TERM

echo "--- $RELOADS reloads, $DRAINS drains"
readonly CONNECTIONS=64 STREAMS=32
readonly TARGETS=(a b c d)
for id in "${TARGETS[@]}"; do start_responder "$id"; done
# ROUND: the file changes with each; every other has a target and a listener more.
configure() {
    local round="$1" listener name port rest group protocol sticky id
    {
        common busy
        for listener in web:"$web:$CLEAR" secure:"$secure:$TLS"; do
            IFS=: read -r name port rest <<<"$listener"
            printf '[[listener]]\nname = "%s"\naddress = "127.0.0.1:%s"\nforward = "one"\n' "$name" "$port"
            printf '%s\n' "$rest" "$UNENDING"
            printf '[[listener.rule]]\nname = "two"\npriority = 1\nwhen.path = ["/two"]\nforward = "two"\n'
        done
        if [ $((round % 2)) -eq 1 ]; then
            printf '[[listener]]\nname = "more"\naddress = "127.0.0.1:%s"\nrespond.body = "more"\n' "$more"
        fi
        for group in one:http1:true two:http2:false; do
            IFS=: read -r name protocol sticky <<<"$group"
            printf '[[target_group]]\nname = "%s"\nprotocol_version = "%s"\n' "$name" "$protocol"
            printf 'deregistration_delay = "1s"\n'
            printf 'stickiness = { enabled = %s, duration = "%sm" }\n' "$sticky" $((60 + round))
            for id in "${TARGETS[@]}"; do
                if [ "$id" = d ] && [ $((round % 2)) -eq 0 ]; then continue; fi
                printf '[[target_group.target]]\nid = "%s"\naddress = "%s"\n' "$id" "$(said_address "$id")"
            done
        done
    } >busy.toml.new
    mv busy.toml.new busy.toml
}
read -r web secure more <<<"$(free_ports 3)"
configure 0
start_limpet busy

# One run after the other until all has happened, by turns in clear and over TLS. Each request takes a while: all
# streams are in use at each moment.
readonly DELAY='delay=uniform:50ms-250ms'
runs() {
    local failed=0 run=0 bases=("https://127.0.0.1:$secure" "http://127.0.0.1:$web") base
    while [ ! -e happened ] && [ "$failed" -eq 0 ]; do
        run=$((run + 1))
        base="${bases[$((run % 2))]}"
        load "run $run, ${base%%:*}, $CONNECTIONS connections with $STREAMS streams each" "$REQUESTS" \
            -c "$CONNECTIONS" -m "$STREAMS" "$base/one?$DELAY" "$base/two?$DELAY"
        echo "$run" >runs
    done
    return "$failed"
}
# A connection without cookies stays with its target until the drain has ended, if the group is sticky: then it moves.
drains() {
    local drain group id
    for drain in $(seq "$DRAINS"); do
        group=one
        if [ $((drain % 2)) -eq 0 ]; then group=two; fi
        id="${TARGETS[$((drain % 3))]}"
        ctl busy drain "$group" "$id" --until-idle --deadline 1s --wait
        sleep 0.2
        ctl busy enable "$group" "$id"
        sleep 0.2
    done
}
reload_time() { metric busy limpet_config_last_reload_success_timestamp_seconds; }
is_reloaded_since() { [ "$(reload_time)" != "$1" ]; }

are_streams_in_use() { [ "$(metric busy 'limpet_http2_streams_open{side="client"}')" -gt $((CONNECTIONS * STREAMS / 2)) ]; }

runs &
started[runs]=$!
await are_streams_in_use
drains >drains.out 2>&1 &
started[drains]=$!
for round in $(seq "$RELOADS"); do
    configure "$round"
    if [ $((round % 2)) -eq 0 ]; then
        before="$(reload_time)"
        kill -HUP "${started[busy]}"
        await is_reloaded_since "$before"
    else
        ctl busy reload >>reloads.out
    fi
    sleep 0.05
done
wait "${started[drains]}" || wrong "drains" "one has failed:" <drains.out
touch happened
wait "${started[runs]}" || failed=1
unset "started[drains]" "started[runs]"
total=$(($(cat runs) * REQUESTS))

equal "reloads" "$(grep -cE ' INFO reload by (SIGHUP|ctl )' busy.err)" "$RELOADS"
equal "drains" "$(grep -cE '^[abc]: drained' drains.out)" "$DRAINS"
await metric_is busy 'limpet_access_log_lines_total{result="written"}' "$total"
equal "lines of the log that were dropped" "$(metric busy 'limpet_access_log_lines_total{result="dropped"}')" 0
equal "streams that are left" "$(metric busy 'limpet_http2_streams_open{side="client"}')" 0

# Nothing is lost when it stops either.
client -n -s -m 100 "http://127.0.0.1:$web/two?delay=fixed:3s" >stopped.out &
stopped=$!
await metric_is busy 'limpet_http2_streams_open{side="client"}' 100
stop busy TERM
wait "$stopped" || true
equal "streams that ended while limpet stopped" "$(grep -cE ' 200 +64 ' stopped.out)" 100
total=$((total + 100))
equal "one line for each of $total requests" \
    "$(grep -cE '^HTTP/2\.0 200 --- [0-9a-f]+$' busy.log) of $(wc -l <busy.log)" "$total of $total"
equal "each line of another request" "$(sort -u busy.log | wc -l)" "$total"

if [ "$failed" -ne 0 ]; then
    tail -n 20 ./*.err >&2
    exit 1
fi
echo "all of it was as it must be, in $SECONDS s"
