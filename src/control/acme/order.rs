//! One order: names proved, a key made, a certificate issued, and judged before it is kept.
//!
//! ```text
//!   new order ─▶ each name: proof given on every node ─▶ "ready" ─▶ all proved ─▶ key and request ─▶ chain ─▶ judged
//! ```
//! Writes no certificate and decides nothing about time. Tested against pebble.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, ChallengeType, Error,
    Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::fault::Fault;
use super::proof::Proofs;
use super::wanted::Wanted;
use crate::challenges::Key;
use crate::control::certificates::now_s;
use crate::control::config::file::ChallengeName;
use crate::tls::certificate::{Certificate, Validity};
use crate::tls::x509::AltName;

/// How often the authority is asked how far it is.
const POLICY: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));

/// Places an order, and returns chain and key in one text. `replaces` is the certificate that it takes the place of, by
/// RFC 9773 §4.1.
///
/// # Errors
/// The authority's error, for [`super::account::is_unknown`]; or what is wrong here.
pub async fn place(
    account: &Account,
    wanted: &Wanted,
    replaces: Option<&str>,
    proofs: &mut Proofs,
) -> Result<String, PlaceError> {
    let mut order = begin(account, wanted, replaces).await?;
    prove(&mut order, wanted, proofs).await?;
    let status = order.poll_ready(&POLICY).await;
    match status {
        Ok(OrderStatus::Ready | OrderStatus::Valid) => {}
        Ok(_) => return Err(refusal(&mut order).await.into()),
        // The order's own error says less than those of its names.
        Err(Error::Api(problem)) => {
            return Err(match reasons(&mut order).await {
                Some(reasons) => reasons.into(),
                None => Error::Api(problem).into(),
            });
        }
        Err(error) => return Err(error.into()),
    }
    let fault = |error: rcgen::Error| Fault::of(format!("the request cannot be made: {error}"));
    // A new key for each certificate: one that has leaked ends with it.
    let key = KeyPair::generate().map_err(fault)?;
    let mut params = CertificateParams::new(wanted.names.clone()).map_err(fault)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(fault)?;
    order.finalize_csr(request.der()).await?;
    let chain = order.poll_certificate(&POLICY).await?;
    let text = format!("{}\n{}", chain.trim_end(), key.serialize_pem());
    judge(&text, wanted, now_s())?;
    Ok(text)
}

/// Why an order has no certificate.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error(transparent)]
    Authority(#[from] Error),
    #[error(transparent)]
    Other(#[from] Fault),
}

impl From<PlaceError> for Fault {
    fn from(error: PlaceError) -> Fault {
        match error {
            PlaceError::Authority(error) => error.into(),
            PlaceError::Other(fault) => fault,
        }
    }
}

async fn begin(
    account: &Account,
    wanted: &Wanted,
    replaces: Option<&str>,
) -> Result<Order, PlaceError> {
    let identifiers: Vec<Identifier> = wanted.names.iter().cloned().map(Identifier::Dns).collect();
    let mut new = NewOrder::new(&identifiers);
    if let Some(profile) = &wanted.acme.profile {
        new = new.profile(profile);
    }
    if let Some((authority, serial)) = replaces.and_then(|replaces| replaces.split_once('.')) {
        let replaced = CertificateIdentifier {
            authority_key_identifier: authority.into(),
            serial: serial.into(),
        };
        // RFC 9773 §5 makes the field a favour: an authority that has no use for it, or knows another successor,
        // refuses an order only because of it.
        match account.new_order(&new.replaces(replaced)).await {
            Ok(order) => return Ok(order),
            Err(Error::Api(problem)) if is_temporary(problem.r#type.as_deref()) => {
                return Err(Error::Api(problem).into());
            }
            Err(Error::Unsupported(_) | Error::Api(_) | Error::Other(_)) => {}
            Err(error) => return Err(error.into()),
        }
        new = NewOrder::new(&identifiers);
        if let Some(profile) = &wanted.acme.profile {
            new = new.profile(profile);
        }
    }
    Ok(account.new_order(&new).await?)
}

/// Whether an authority's error has nothing to do with what was ordered.
fn is_temporary(kind: Option<&str>) -> bool {
    let kind = kind.and_then(|kind| kind.rsplit(':').next());
    matches!(kind, Some("rateLimited" | "serverInternal" | "accountDoesNotExist"))
}

/// Gives the proof of each name, then tells the authority that it may ask.
async fn prove(order: &mut Order, wanted: &Wanted, proofs: &mut Proofs) -> Result<(), PlaceError> {
    let (kind, word) = match wanted.acme.challenge {
        ChallengeName::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
        ChallengeName::Http01 => (ChallengeType::Http01, "http-01"),
    };
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            status => {
                let name = authorization.identifier().to_string();
                return Err(Fault::of(format!("the order for {name} is {status:?}")).into());
            }
        }
        let name = match authorization.identifier().identifier {
            Identifier::Dns(name) if wanted.names.contains(&name.to_ascii_lowercase()) => {
                name.to_ascii_lowercase()
            }
            other => {
                let text = format!("the authority asks for a proof of {other:?}, not ordered");
                return Err(Fault::of(text).into());
            }
        };
        let Some(mut challenge) = authorization.challenge(kind.clone()) else {
            let text = format!("the authority offers no {word} for {name}");
            return Err(Fault::of(text).into());
        };
        if challenge.status != ChallengeStatus::Pending {
            continue;
        }
        let key = match wanted.acme.challenge {
            ChallengeName::TlsAlpn01 => Key::Name(name.into()),
            ChallengeName::Http01 => Key::Token(challenge.token.as_str().into()),
        };
        let text = challenge.key_authorization();
        proofs.give(key, text.as_str()).map_err(Fault::of)?;
        challenge.set_ready().await?;
    }
    Ok(())
}

async fn refusal(order: &mut Order) -> Fault {
    let reasons = reasons(order).await;
    reasons.unwrap_or_else(|| Fault::of("the authority refuses the order without a reason"))
}

/// What the authority says about each name that it could not verify.
async fn reasons(order: &mut Order) -> Option<Fault> {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() {
            break;
        }
        let name = authorization.identifier().to_string();
        for challenge in &authorization.challenges {
            if let Some(problem) = &challenge.error {
                let detail = problem.detail.as_deref().unwrap_or("no reason given");
                reasons.push(format!("{name}: {detail}"));
            }
        }
    }
    let said = reasons.join("; ");
    (!reasons.is_empty()).then(|| Fault::of(format!("the authority could not verify {said}")))
}

/// Whether an issued certificate is what was ordered; a bad one never takes the place of a good one.
fn judge(text: &str, wanted: &Wanted, now: i64) -> Result<(), Fault> {
    let certificate = Certificate::read(text.as_bytes(), None)
        .map_err(|fault| Fault::of(format!("the issued certificate {fault}")))?;
    let has = |name: &&String| {
        certificate.facts.names.iter().any(|one| matches!(one, AltName::Dns(dns) if dns == *name))
    };
    if let Some(missing) = wanted.names.iter().find(|name| !has(name)) {
        return Err(Fault::of(format!("the issued certificate is not for {missing}")));
    }
    // Authorities date certificates back, not forward; a clock that is slow is no reason to refuse one.
    match certificate.validity(now) {
        Validity::Expired => Err(Fault::of("the issued certificate has expired already")),
        Validity::Valid | Validity::NotYet => Ok(()),
    }
}
