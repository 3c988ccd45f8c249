//! Whom this node meets after a ban, by what the charter has lifted and by when shares were made.

use super::super::bans::{Lifted, check_parties, check_signers};
use super::*;

fn lifting(sessions: &[u8]) -> Charter {
    let sessions: Vec<String> = sessions.iter().map(|byte| format!("\"{}\"", hex::encode([*byte; 32]))).collect();
    let list = sessions.join(", ");
    let more = format!("\n[[readmissions]]\nnodes = [\"signer-1\", \"signer-2\"]\nsessions = [{list}]\n");
    Charter::from_toml(&(charter_text() + &more)).unwrap()
}

fn view(treasury: u64) -> FakeView {
    FakeView { banned: banned("signer-2", Some(treasury)), ..FakeView::default() }
}

fn to_make(charter: &Charter, view: &FakeView) -> Result<Lifted, Code> {
    let nodes = ["signer-1", "signer-2", "signer-3"].map(|name| NodeId::new(name).unwrap());
    let Ok(met) = check_parties(view, charter, (&nodes, PartyIndex::new(1).unwrap()));
    met.map_err(|error| error.code)
}

fn to_sign(charter: &Charter, view: &FakeView) -> Result<Lifted, ApiError> {
    let facts = facts();
    let Ok(met) = check_signers(view, charter, (&facts, &call(1)));
    met
}

fn only() -> Lifted {
    [SessionId::new([7; 32])].into()
}

#[test]
fn a_ban_stands_until_the_charter_lifts_that_very_one() {
    for charter in [charter(), lifting(&[8])] {
        assert_eq!(to_make(&charter, &view(0)), Err(Code::PeerBanned));
        let error = to_sign(&charter, &view(0)).unwrap_err();
        assert_eq!(error.code, Code::PeerBanned);
        assert!(error.message.contains(&hex::encode([7; 32])), "{error}: what would lift it");
    }
    assert_eq!(to_make(&lifting(&[8, 7]), &view(0)), Ok(only()));
    let third = FakeView { banned: banned("signer-3", None), ..FakeView::default() };
    assert_eq!(to_make(&lifting(&[7]), &third), Err(Code::PeerBanned), "another pair");
    assert_eq!(to_sign(&lifting(&[7]), &third), Ok(Lifted::new()), "who takes no part bans nothing");
}

#[test]
fn what_was_set_up_before_a_ban_is_never_used_again() {
    let (charter, epoch) = (lifting(&[7]), facts().public.epoch.0);
    let error = to_sign(&charter, &view(epoch)).unwrap_err();
    assert!(error.code == Code::PeerBanned && error.message.contains("refresh the key"), "{error}");
    assert_eq!(to_sign(&charter, &view(epoch + 3)).unwrap_err().code, Code::PeerBanned, "an attempt was made already");
    assert_eq!(to_sign(&charter, &view(epoch - 1)), Ok(only()));
    let unknown = FakeView { banned: banned("signer-2", None), ..FakeView::default() };
    assert_eq!(to_sign(&charter, &unknown), Ok(only()), "a key that was made afterwards");
}

#[test]
fn a_permission_says_which_bans_it_found_lifted() {
    let (charter, raw) = (lifting(&[7]), transfer(5, "a"));
    let examined = examined_under(&charter, &raw);
    let view = FakeView { banned: banned("signer-2", None), ..FakeView::knowing(&examined) };
    let (people, reserved) = (Progress::default(), Reservations::default());
    let time = Now { wall: NOW, uptime: Uptime(0) };
    let Ok(Verdict::Allowed(token)) = admit_sign(&view, &charter, examined, call(1), (&people, &reserved), time) else {
        panic!("allowed")
    };
    assert_eq!(*token.lifted(), only());
}
