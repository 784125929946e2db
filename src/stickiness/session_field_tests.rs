use super::super::cookie::Scope;
use super::super::options::{OnLost, StickinessKind, StickinessOptions};
use super::super::verdict::tests::{NOW_S, options, ring};
use crate::stickiness::session_field::*;

fn stickiness() -> Stickiness {
    let kind = StickinessKind::AppHeader { name: "Session".into(), on_lost: OnLost::Balance };
    let options = StickinessOptions { kind, ..options() };
    Stickiness::new(options, Scope::Group("app".into()), ring()).expect("valid")
}

fn field<'b>(name: &'b [u8], value: &'b [u8]) -> Field<'b> {
    Field::new(name, value, FieldId::Other)
}

fn plain(issued_s: u64) -> Plain {
    Plain {
        generation: stickiness().options().generation,
        group: 1,
        target: 2,
        home: 2,
        session: 3,
        issued_s,
        last_seen_s: issued_s,
    }
}

fn sealed(session_id: &[u8], issued_s: u64) -> Vec<u8> {
    let (sticky, mut out) = (stickiness(), Vec::new());
    let field = sticky.session_field().expect("a field");
    assert!(sticky.write_sealed(field, session_id, (&plain(issued_s), [7; 12]), &mut out));
    out
}

fn brought<'b>(fields: &[Field<'b>]) -> Option<Brought<'b>> {
    let sticky = stickiness();
    let field = sticky.session_field().expect("a field");
    super::brought(fields, field.name(), |sealed| {
        sticky.worth(field, sealed, NOW_S, SealCodec::open)
    })
}

#[test]
fn the_target_sees_the_session_id_alone() {
    let value = sealed(b"abc.def", NOW_S);
    let fields = [field(b"X", b"y"), field(b"sEssion", &value)];
    let its = Brought { at: 1, value: &value, session_id_size: 7, worth: Worth::Living };
    assert_eq!(brought(&fields), Some(its));
}

#[test]
fn what_has_no_seal_that_opens_passes_as_it_came() {
    for value in [&b"abc"[..], b"", b"a b", &sealed(b"abc", NOW_S)[1..]] {
        let its = Brought { at: 0, value, session_id_size: value.len(), worth: Worth::Bare };
        assert_eq!(brought(&[field(b"Session", value)]), Some(its));
    }
    assert_eq!(brought(&[field(b"Sessions", b"abc")]), None);
}

#[test]
fn a_seal_that_does_not_count_any_more_is_kept_from_the_target_all_the_same() {
    let value = sealed(b"abc", NOW_S - 60 * 86_400);
    let got = brought(&[field(b"Session", &value)]).expect("a session id");
    assert_eq!((got.session_id_size, got.worth), (3, Worth::Outdated));
}

#[test]
fn several_values_are_none() {
    let value = sealed(b"abc", NOW_S);
    assert_eq!(brought(&[field(b"Session", &value), field(b"session", &value)]), None);
}

#[test]
fn every_answer_about_a_session_id_has_its_way() {
    use Returned::*;
    use Worth::{Bare, Living, Outdated};
    type Case<'a> = (&'a [u8], Option<(&'a [u8], Worth)>, u16, Returned<'a>);
    let own = |worth| Some((&b"abc"[..], worth));
    let cases: [Case<'_>; 12] = [
        (b"abc", None, 200, Sealed(1, b"abc")),
        (b"abc", None, 500, Sealed(1, b"abc")),
        (b"new", own(Living), 200, Sealed(1, b"new")),
        (b"abc", own(Living), 200, AsBrought(1)),
        (b"abc", own(Living), 404, AsBrought(1)),
        (b"abc", own(Outdated), 200, Sealed(1, b"abc")),
        (b"abc", own(Outdated), 404, AsBrought(1)),
        (b"abc", own(Bare), 204, Sealed(1, b"abc")),
        (b"abc", own(Bare), 404, Untouched),
        (b"a b", None, 200, Unfit),
        (b"", None, 200, Unfit),
        (&[b'x'; 1025], None, 200, Unfit),
    ];
    for (value, brought, status, wanted) in cases {
        let fields = [field(b"X", b"y"), field(b"session", value)];
        assert_eq!(returned(&fields, b"Session", brought, status), wanted, "{brought:?} {status}");
    }
    let twice = [field(b"Session", b"abc"), field(b"Session", b"abc")];
    assert_eq!(returned(&twice, b"Session", None, 200), Unfit);
    assert_eq!(returned(&[field(b"X", b"y")], b"Session", own(Living), 200), Untouched);
}
