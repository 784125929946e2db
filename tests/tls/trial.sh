#!/usr/bin/env bash
# Others' TLS against limpet's: openssl, curl and sslscan, on loopback, with certificates made for the trial.
#
#   tests/tls/trial.sh target/dist/limpet
#
# Ends with 0 when everything was as it must be. Every process is ended by its own id.
set -euo pipefail

readonly LIMPET="$1"
directory="$(mktemp -d)"
readonly directory
pids=()
failed=0

finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$directory"
}
trap finish EXIT

# NAME, what must be in the text that comes on standard input.
expect() {
    local text
    text="$(cat)"
    if grep -qE -- "$2" <<<"$text"; then
        echo "ok    $1"
    else
        echo "WRONG $1: no $2 in:"
        sed 's/^/      /' <<<"$text"
        failed=1
    fi
}

cd "$directory"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=trial \
    -keyout ca.key -out ca.pem 2>openssl.log
# NAME, key options …: a certificate for shop.test of the trial's authority.
certificate() {
    local name="$1"
    shift
    openssl req -new -nodes "$@" -subj /CN=shop.test -keyout "$name.key" -out "$name.csr" 2>>openssl.log
    openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -days 30 -out "$name.pem" \
        -extfile <(printf 'subjectAltName=DNS:shop.test\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:false\n') \
        2>>openssl.log
}
certificate ec -newkey ec -pkeyopt ec_paramgen_curve:prime256v1
certificate rsa -newkey rsa:2048
chmod 600 ./*.key

# NAME: a limpet whose listeners answer by themselves; two with one key ring.
start() {
    cat >"$1.toml" <<EOF
[process]
shards = 1
state_directory = "$directory/$1.state"
[access_log]
output = "$directory/$1.log"
[stickiness_keys]
keys = [{ id = 1, secret = "bGltcGV0cyBmaW5kIHRoZWlyIGhvbWUgc2NhciBhZ2E=" }]
[[listener]]
name = "both"
address = "127.0.0.1:0"
respond.body = "it is here\n"
tls.certificates = [{ chain = "ec.pem", key = "ec.key" }, { chain = "rsa.pem", key = "rsa.key" }]
[[listener]]
name = "modern"
address = "127.0.0.1:0"
respond.body = "it is here\n"
tls.certificates = [{ chain = "ec.pem", key = "ec.key" }]
tls.policy = "modern"
[[listener]]
name = "clients"
address = "127.0.0.1:0"
respond.body = "it is here\n"
tls.certificates = [{ chain = "ec.pem", key = "ec.key" }]
tls.client = { mode = "required", authorities = "ca.pem" }
EOF
    sed -i "s#\"\(ec\|rsa\|ca\)\.\(pem\|key\)\"#\"$directory/\1.\2\"#g" "$1.toml"
    LIMPET_READY_FILE="$directory/$1.ready" "$LIMPET" run --config "$1.toml" 2>"$1.err" &
    pids+=($!)
    for _ in $(seq 100); do
        if [ -s "$1.ready" ]; then return; fi
        sleep 0.1
    done
    cat "$1.err"
    exit 1
}
address() { awk -v name="$2" '$1 == name { print $2 }' "$1.ready"; }
port() { address "$1" "$2" | sed 's/.*://'; }
start one
start two

# LISTENER, options …: an openssl client that asks for a page.
client() {
    local listener="$1"
    shift
    printf 'GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n' |
        timeout 20 openssl s_client -connect "127.0.0.1:$(port one "$listener")" -servername shop.test \
            -CAfile ca.pem -verify_return_error -ign_eof "$@" 2>&1 || true
}

for version in tls1_2 tls1_3; do
    client both -$version | expect "openssl speaks $version" 'it is here'
done
client both -tls1_1 -cipher 'ALL@SECLEVEL=0' | expect "TLS 1.1 is refused" 'alert protocol version'
client modern -tls1_2 | expect "modern refuses TLS 1.2" 'alert protocol version'
client both -tls1_3 | expect "the certificate is ECDSA's" 'Peer signature type: ECDSA'
client both -tls1_2 -sigalgs RSA-PSS+SHA256:RSA+SHA256 | expect "RSA for who wants RSA" 'Peer signature type: RSA'
for cipher in TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256; do
    client both -tls1_3 -ciphersuites "$cipher" | expect "cipher suite $cipher" "Cipher is $cipher"
done
for cipher in ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-CHACHA20-POLY1305 \
    ECDHE-RSA-AES128-GCM-SHA256; do
    client both -tls1_2 -cipher "$cipher" | expect "cipher suite $cipher" "Cipher is $cipher"
done
client both -tls1_2 -cipher AES128-SHA | expect "a cipher suite without forward secrecy is refused" 'handshake failure'
for group in X25519 P-256 P-384; do
    client both -tls1_3 -groups "$group" | expect "group $group" 'it is here'
done
client both -tls1_3 -groups P-521 | expect "another group is refused" 'handshake failure'

client clients -tls1_3 | expect "a client without a certificate is refused" 'certificate required'
client clients -tls1_3 -cert ec.pem -key ec.key | expect "a client with one is served" 'it is here'
client clients -tls1_2 -cert rsa.pem -key rsa.key | expect "also under TLS 1.2" 'it is here'

# A renegotiation is refused by TLS 1.2, and TLS 1.3 has none.
{ sleep 1; echo R; sleep 1; } | timeout 20 openssl s_client -connect "127.0.0.1:$(port one both)" -servername shop.test \
    -tls1_2 >renegotiation.txt 2>&1 || true
expect "a renegotiation is refused" 'no renegotiation' <renegotiation.txt

# New keys are asked for, and answered before the response.
{ sleep 1; echo K; sleep 1; printf 'GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n'; sleep 1; } |
    timeout 20 openssl s_client -connect "127.0.0.1:$(port one both)" -servername shop.test -tls1_3 -msg \
        >update.txt 2>&1 || true
expect "new keys are asked for" '>>> TLS 1.3, Handshake .*, KeyUpdate' <update.txt
expect "new keys are answered" '<<< TLS 1.3, Handshake .*, KeyUpdate' <update.txt
expect "a request behind new keys is served" 'it is here' <update.txt

# A session that one process has begun is resumed by the other one.
printf 'GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n' |
    timeout 20 openssl s_client -connect "127.0.0.1:$(port one both)" -servername shop.test -tls1_3 -ign_eof \
        -sess_out session.pem >/dev/null 2>&1 || true
printf 'GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n' |
    timeout 20 openssl s_client -connect "127.0.0.1:$(port two both)" -servername shop.test -tls1_3 -ign_eof \
        -sess_in session.pem 2>&1 | expect "a session is resumed by another process" '^Reused, TLSv1.3'

for version in 1.2 1.3; do
    curl --silent --show-error --max-time 20 --cacert ca.pem --tlsv$version --tls-max $version \
        --resolve "shop.test:$(port one both):127.0.0.1" "https://shop.test:$(port one both)/" 2>&1 |
        expect "curl speaks TLS $version" 'it is here'
done
curl --silent --show-error --max-time 20 "http://127.0.0.1:$(port one both)/" 2>&1 |
    expect "a request in clear is told of TLS" 'speaks HTTPS'

timeout 120 sslscan --no-colour --sni-name=shop.test "127.0.0.1:$(port one both)" >scan.txt 2>&1
for protocol in SSLv2 SSLv3 'TLSv1\.0' 'TLSv1\.1'; do
    expect "sslscan: $protocol is off" "^$protocol +disabled" <scan.txt
done
expect "sslscan: no renegotiation" 'renegotiation not supported|Secure session renegotiation supported' <scan.txt
expect "sslscan: no Heartbleed" 'not vulnerable to heartbleed' <scan.txt
if grep -E '^(Accepted|Preferred)' scan.txt | grep -vE 'GCM|CHACHA20|POLY1305'; then
    echo "WRONG sslscan: a weak cipher suite is accepted"
    failed=1
fi

exit "$failed"
