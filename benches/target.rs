//! What the target module costs on the request path: picks, and a sticky cookie from field to verdict.
//!
//! Goals (5-performance): a pick does not grow by more than 5 % of a request from 2 to 1 000 targets; a
//! cookie is found, opened and judged within 300 ns. Run with `cargo bench --bench target`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use limpet::group::address::Address;
use limpet::group::balance::Draw;
use limpet::group::select::{Ask, Random, select};
use limpet::group::state::{GroupState, TargetState};
use limpet::group::target_group::{
    Algorithm, FailOpen, GroupOptions, GroupParts, HashOn, OnFull, Target, TargetGroup,
};
use limpet::http::fields::{Field, FieldId};
use limpet::routing::actions::Forward;
use limpet::stickiness::cookie::{self, Codec, Plain, Scope};
use limpet::stickiness::keyring::KeyRing;
use limpet::stickiness::memo::Memo;
use limpet::stickiness::options::StickinessOptions;
use limpet::stickiness::verdict::{Reading, Stickiness};

const NOW_S: u64 = 1_700_000_000;

fn options() -> GroupOptions {
    GroupOptions {
        connect_timeout: Duration::from_secs(3),
        handshake_timeout: Duration::ZERO,
        response_timeout: Duration::from_secs(60),
        pool_idle_timeout: Duration::from_secs(4),
        pool_idle_per_shard: 256,
        connections_max: 8,
        streams_per_connection: 100,
        wire: limpet::http::edits::Wire::Http1,
        content_idle_timeout: Duration::from_secs(30),
        stream_idle_timeout: Duration::from_secs(3600),
        tunnel_idle_timeout: Duration::from_secs(3_600),
        connection_limit: 0,
        queue_size: 16,
        queue_timeout: Duration::from_secs(1),
        on_full: OnFull::Queue,
        retries: 1,
        retry_budget_percent: 20,
        retry_budget_minimum: 3,
        retried_statuses: 0,
        response_head_bytes: 65_536,
        response_renewed_by_102: false,
        allow_upgrades: true,
        is_checked: true,
        fail_open: FailOpen { count: 1, percent: 0 },
        session_cookies: Box::default(),
    }
}

fn group(algorithm: Algorithm, count: u32, sticky: bool) -> Arc<TargetGroup> {
    let target = |n: u32| {
        let address = Address::Tcp(([127, 0, 0, 1], 9_000).into());
        Target::new(format!("t{n}").into(), address, 1 + n % 3, TargetState::detached(n))
    };
    let stickiness = sticky.then(|| {
        let ring = KeyRing::from_secrets(&[(1, [7; 32])]).expect("valid");
        let options = StickinessOptions { enabled: true, ..StickinessOptions::default() };
        Stickiness::new(options, Scope::Group("app".into()), Arc::new(ring)).expect("valid")
    });
    let parts = GroupParts {
        name: "app".into(),
        algorithm,
        options: options(),
        stickiness,
        targets: (0..count).map(target).collect(),
        state: GroupState::new(),
    };
    Arc::new(TargetGroup::new(parts).expect("valid"))
}

/// Spread like a shard's generator, at no cost worth naming.
fn numbers() -> impl FnMut() -> u64 {
    let mut state = 0u64;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        (state ^ (state >> 32)).wrapping_mul(0xFF51_AFD7_ED55_8CCD)
    }
}

fn pick(criterion: &mut Criterion) {
    let algorithms = [
        ("round_robin", Algorithm::RoundRobin),
        ("least_outstanding_requests", Algorithm::LeastOutstandingRequests),
        ("weighted_random", Algorithm::WeightedRandom),
        ("hash", Algorithm::Hash(HashOn::Source)),
    ];
    for (name, algorithm) in algorithms {
        for count in [2, 1_000] {
            let group = group(algorithm.clone(), count, false);
            let mut next = numbers();
            criterion.bench_function(&format!("pick/{name}/{count}"), |bencher| {
                bencher.iter(|| {
                    let draw = Draw { random: [next(), next()], hash: Some(next()) };
                    black_box(group.pick(&draw, &[]))
                });
            });
        }
    }
}

fn sticky(criterion: &mut Criterion) {
    let forward =
        Forward { groups: vec![(0, 1)], sticky: false, rewrite_path: None, rewrite_host: None };
    for count in [2, 1_000] {
        let groups = [group(Algorithm::RoundRobin, count, true)];
        let random = Random { session: &|| 1, group: 2, target: [3, 4] };
        let mut ask = Ask {
            now_s: NOW_S,
            random,
            opened: None,
            fields: &[],
            source: None,
            query: None,
            pinned: &[],
            is_shared: false,
            excluded: &[],
        };
        let first = select(&groups, &forward, None, &ask).expect("a target");
        let assignment = first.sticky.expect("sticky").assignment;
        let scope = groups[0].stickiness.as_ref().expect("sticky");
        let mut line = Vec::new();
        scope.write_set_cookie(&assignment.seen(NOW_S), true, [5; 12], &mut line);
        let pair = line.split(|byte| *byte == b';').next().expect("a pair");
        let value =
            [b"theme=dark; PHPSESSID=0123456789abcdef0123456789; ".as_slice(), pair].concat();
        let other = |name| Field::new(name, b"x".as_slice(), FieldId::Other);
        let cookie = Field::new(b"cookie", &value, FieldId::Cookie);
        let fields = [other(b"host"), other(b"accept"), other(b"user-agent"), cookie];
        ask.fields = &fields;
        criterion.bench_function(&format!("sticky/select/{count}"), |bencher| {
            bencher.iter(|| black_box(select(&groups, &forward, None, black_box(&ask))));
        });
        let memo = Memo::default();
        let remembered = Ask { opened: Some(&memo), ..ask };
        criterion.bench_function(&format!("sticky/select_remembered/{count}"), |bencher| {
            bencher.iter(|| black_box(select(&groups, &forward, None, black_box(&remembered))));
        });
        criterion.bench_function(&format!("sticky/read/{count}"), |bencher| {
            bencher.iter(|| black_box(scope.read([&value[..]].into_iter(), NOW_S)));
        });
        criterion.bench_function(&format!("sticky/verdict/{count}"), |bencher| {
            bencher.iter(|| match scope.read([black_box(&value[..])].into_iter(), NOW_S) {
                Reading::Live(plain) => {
                    Some(groups[0].place(&plain, scope.options().failback, &[]))
                }
                _ => None,
            });
        });
        criterion.bench_function(&format!("sticky/issue/{count}"), |bencher| {
            bencher.iter(|| {
                line.clear();
                scope.write_set_cookie(&assignment.seen(NOW_S), true, [5; 12], &mut line)
            });
        });
        let dead: Vec<u32> = groups[0]
            .find(assignment.target)
            .and_then(|index| groups[0].targets.get(index))
            .map(|target| target.state.slot)
            .into_iter()
            .collect();
        ask.excluded = &dead;
        criterion.bench_function(&format!("sticky/fail_over/{count}"), |bencher| {
            bencher.iter(|| black_box(select(&groups, &forward, None, black_box(&ask))));
        });
    }
}

/// What a shard's memory of opened cookies gains and costs, with fewer users than it has places and with
/// many more, who come in turn.
fn remembered(criterion: &mut Criterion) {
    let ring = Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).expect("valid"));
    let codec = Codec::new(&Scope::Group("app".into()), ring);
    let plain = |session| Plain {
        generation: 0,
        group: 1,
        target: 2,
        home: 2,
        session,
        issued_s: NOW_S,
        last_seen_s: NOW_S,
    };
    for users in [1, 64, 1_000, 10_000] {
        let mut next = numbers();
        let values: Vec<_> = (0..users)
            .map(|session| {
                let mut nonce = [0; 12];
                nonce[..8].copy_from_slice(&next().to_be_bytes());
                codec.seal(&plain(session), nonce).expect("sealed")
            })
            .collect();
        let memo = Memo::default();
        for (name, memo) in [("memo", Some(&memo)), ("anew", None)] {
            let mut in_turn = values.iter().cycle();
            criterion.bench_function(&format!("open/{name}/{users}_users"), |bencher| {
                bencher.iter(|| {
                    let value = black_box(in_turn.next().expect("a value").as_slice());
                    match memo {
                        Some(memo) => memo.open(&codec, value),
                        None => codec.open(value),
                    }
                });
            });
        }
    }
}

/// What the decision between the two boxes rests on, and the rest of a cookie's cost.
fn parts(criterion: &mut Criterion) {
    use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
    use base64_simd::AsOut;

    let algorithms = [("gcm_siv", &aead::AES_256_GCM_SIV), ("gcm", &aead::AES_256_GCM)];
    for (name, algorithm) in algorithms {
        let key = LessSafeKey::new(UnboundKey::new(algorithm, &[7; 32]).expect("a key"));
        let mut sealed = [5; 63];
        let nonce = || Nonce::assume_unique_for_key([9; 12]);
        let tag = key
            .seal_in_place_separate_tag(nonce(), Aad::from(b"scope"), &mut sealed)
            .expect("sealed");
        criterion.bench_function(&format!("parts/open/{name}"), |bencher| {
            bencher.iter(|| {
                let mut plain = [0; 63];
                let tag = tag.as_ref();
                key.open_separate_gather(nonce(), Aad::from(b"scope"), &sealed, tag, &mut plain)
                    .map(|()| black_box(plain))
            });
        });
    }
    let text = base64_simd::URL_SAFE_NO_PAD.encode_to_string([0xA5; 94]);
    criterion.bench_function("parts/base64", |bencher| {
        bencher.iter(|| {
            let mut bytes = [0; 94];
            let size = base64_simd::URL_SAFE_NO_PAD
                .decode(black_box(text.as_bytes()), bytes.as_mut_slice().as_out())
                .map(|decoded| decoded.len());
            black_box((size, bytes))
        });
    });
    let field = format!("theme=dark; PHPSESSID=0123456789abcdef0123456789; limpet_app={text}");
    criterion.bench_function("parts/find", |bencher| {
        bencher.iter(|| cookie::find([black_box(field.as_bytes())], b"limpet_app"));
    });
}

criterion_group!(benches, pick, sticky, remembered, parts);
criterion_main!(benches);
