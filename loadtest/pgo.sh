#!/usr/bin/env bash
# Builds limpet by a profile of itself at work (profile-guided optimisation): target/pgo/limpet.
#
#   loadtest/pgo.sh [FLAGS]        FLAGS are rustc's, such as -Ctarget-cpu=x86-64-v3
#
# Needs what an ordinary build needs, and rustup, which brings llvm-profdata (component llvm-tools). It
# builds limpet twice, and loadtest once; between the builds it loads the first one for half a minute,
# over loopback. A profile belongs to the sources and the compiler that it was made with: run it anew.
#
#   target/pgo/trained        a limpet that counts which way it goes
#   target/pgo/counts         what it counted
#   target/pgo/limpet         a limpet built by these counts
set -euo pipefail
cd "$(dirname "$0")/.."

readonly SECONDS_EACH="${PGO_SECONDS:-3}"
readonly OUT="$PWD/target/pgo"
HOST="$(rustc -vV | sed -n 's/^host: //p')"
PROFDATA="$(rustc --print sysroot)/lib/rustlib/$HOST/bin/llvm-profdata"
readonly HOST PROFDATA

[ -x "$PROFDATA" ] || rustup component add llvm-tools
rm -rf "$OUT/counts" "$OUT/work"
mkdir -p "$OUT/counts" "$OUT/work"

# Builds limpet in a folder of its own. That the target is named keeps the flags away from what runs while
# building: build scripts and macros.
build() {
    RUSTFLAGS="$2" cargo build --profile dist --locked --bin limpet --target "$HOST" --target-dir "$OUT/$1"
}

echo "== What loads it"
cargo build --release --locked --package loadtest
readonly LOADTEST="$PWD/target/release/loadtest"

echo "== A limpet that counts"
build trained "-Cprofile-generate=$OUT/counts $*"

running=()
stop() {
    [ ${#running[@]} -eq 0 ] || kill "${running[@]}" 2>/dev/null || true
    wait
    running=()
}
trap stop EXIT

# Starts a command, whose output goes to a file of that name.
start() {
    local name="$1"
    shift
    "$@" >"$OUT/work/$name" 2>&1 &
    running+=("$!")
}

# Prints the port that a command said it listens on.
port_of() {
    local port
    for _ in $(seq 200); do
        port="$(grep -oE '127\.0\.0\.1:[0-9]+' "$OUT/work/$1" | head -n 1 | cut -d : -f 2)" || true
        [ -z "$port" ] || break
        sleep 0.05
    done
    [ -n "$port" ] || { cat "$OUT/work/$1" >&2; return 1; }
    echo "$port"
}

load() {
    "$LOADTEST" load --address "127.0.0.1:$LIMPET" --duration "${SECONDS_EACH}s" --check "$@" >>"$OUT/work/load"
}

# limpet as it comes, with stickiness and a log, under a little of everything.
train() {
    cat >"$OUT/work/limpet.toml" <<TOML
[process]
engine = "$1"
shards = 1
state_directory = "$OUT/work"
[access_log]
output = "$OUT/work/access.log"
[[listener]]
name = "web"
address = "127.0.0.1:0"
forward = "app"
[[listener.rule]]
priority = 10
when.path = ["/api/*"]
forward = "app"
[[target_group]]
name = "app"
stickiness.enabled = true
[[target_group.target]]
address = "127.0.0.1:$TARGET_A"
[[target_group.target]]
address = "127.0.0.1:$TARGET_B"
TOML
    start "limpet-$1" "$OUT/trained/$HOST/dist/limpet" run --config "$OUT/work/limpet.toml"
    LIMPET="$(port_of "limpet-$1")"
    # What counts most, and therefore runs longest: small requests of users who stay.
    for _ in 1 2 3; do load --connections 64 --cookie-jar per-connection --path '/api/a?size=64'; done
    load --connections 16 --close
    load --connections 8 --path '/?size=1048576'
    load --connections 8 --method POST --body-size 1048576
    load --connections 8 --method POST --body-size 65536 --chunked --path '/?size=65536&chunked=1'
    # It writes what it counted when it ends in order.
    kill "${running[-1]}"
    wait "${running[-1]}" || true
    unset 'running[-1]'
}

echo "== Training"
start a "$LOADTEST" respond --address 127.0.0.1:0 --id a
start b "$LOADTEST" respond --address 127.0.0.1:0 --id b
TARGET_A="$(port_of a)"
TARGET_B="$(port_of b)"
train auto
train epoll
stop
"$PROFDATA" merge -o "$OUT/counts.profdata" "$OUT/counts"

echo "== A limpet built by what was counted"
build built "-Cprofile-use=$OUT/counts.profdata $*"
cp "$OUT/built/$HOST/dist/limpet" "$OUT/limpet"
rm -rf "$OUT/work" "$OUT/counts"
echo "$OUT/limpet"
