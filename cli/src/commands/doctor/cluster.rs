//! What a cluster's status says, judged. The coordinator is believed nothing, and asked all the same: where it hides something, the
//! straight ways show another picture.

use limen_client::{ClientConfig, ClusterView};
use limen_wire::pb::{SignerHealth, StatusResponse, WitnessHealth};

use super::Finding;
use crate::commands::drill;

/// A signer's word may be two seconds old when it comes here.
const CLOCK_SECS_WARN: u64 = 5;
const CLOCK_SECS_BAD: u64 = 30;
/// Leaves by which a node may lag behind the others.
const LOG_LAG: u64 = 1000;

const START: &str = "On its machine: `systemctl status limen-node`, then its journal; bring it or the way to it back, and requests go on by \
    themselves.";
const CLOCK: &str =
    "Mend time synchronisation there, or here if every signer differs: expiries are judged by each signer's own clock.";

/// Every check, those of the whole first.
pub(super) fn judge(view: &ClusterView, config: &ClientConfig, now: u64) -> Vec<Finding> {
    let mut findings = vec![cluster(view, config), pins(view, config), enough(view, config)];
    let longest = view.signers.iter().filter_map(said).map(|status| status.log_size).max().unwrap_or_default();
    for signer in &view.signers {
        findings.extend(judge_signer(signer, view, longest, now));
    }
    findings.extend(view.witnesses.iter().map(witness));
    findings
}

/// What a signer that answers says of itself.
fn said(signer: &SignerHealth) -> Option<&StatusResponse> {
    signer.status.as_ref().filter(|_| signer.reachable)
}

fn cluster(view: &ClusterView, config: &ClientConfig) -> Finding {
    const CHECK: &str = "coordinator";
    if view.cluster != config.cluster.as_str() {
        let what = format!("it serves cluster {}, and the configuration is for {}", view.cluster, config.cluster);
        return Finding::bad(CHECK, what, "Name the right endpoint, or use the right configuration.");
    }
    let (open, ended) = (view.requests_open, view.requests_ended);
    let what = format!("{} answers, version {}; {open} requests open, {ended} ended", config.endpoint, view.version);
    Finding::ok(CHECK, what)
}

/// Those whom this client knows are those whom the coordinator calls.
fn pins(view: &ClusterView, config: &ClientConfig) -> Finding {
    const CHECK: &str = "pinned signers";
    let pinned = |name: &str| config.nodes.iter().any(|node| node.id.as_str() == name);
    let called = |name: &str| view.signers.iter().any(|signer| signer.node == name);
    let strangers: Vec<_> = view.signers.iter().map(|signer| &*signer.node).filter(|name| !pinned(name)).collect();
    let missing: Vec<_> = config.nodes.iter().map(|node| node.id.as_str()).filter(|name| !called(name)).collect();
    if !missing.is_empty() {
        let what = format!("the coordinator knows no {}", missing.join(", "));
        return Finding::bad(
            CHECK,
            what,
            "Compare [[nodes]] with the charter, out of band: one of both is of another cluster.",
        );
    }
    if !strangers.is_empty() {
        let what = format!("{} not pinned here", strangers.join(", "));
        return Finding::warn(
            CHECK,
            what,
            "Pin them under [[nodes]] if the charter names them: their keys are not believed.",
        );
    }
    Finding::ok(CHECK, format!("all {} are those of the coordinator", config.nodes.len()))
}

fn enough(view: &ClusterView, config: &ClientConfig) -> Finding {
    const CHECK: &str = "enough signers";
    let up = view.signers.iter().filter(|signer| signer.reachable).count();
    let least = usize::from(config.min_signers_required);
    let what = format!("{up} of {} reachable, keys need {least} or more", view.signers.len());
    match up {
        up if up < least => Finding::bad(CHECK, what, "Nothing can be signed: bring back those that are down."),
        up if up == least && up < view.signers.len() => {
            Finding::warn(CHECK, what, "One more that goes stops signing: bring back those that are down.")
        }
        _ => Finding::ok(CHECK, what),
    }
}

fn judge_signer(signer: &SignerHealth, view: &ClusterView, longest: u64, now: u64) -> Vec<Finding> {
    let name = &signer.node;
    let Some(status) = said(signer) else {
        let why = if signer.error.is_empty() { "it has not answered yet" } else { &signer.error };
        return vec![Finding::bad(name, format!("not reachable: {why}"), START)];
    };
    let mut findings = vec![
        up(signer, status, view),
        charter(name, status, view),
        links(name, status, view),
        standing(name, status),
        store(name, status),
        token(name, status),
        drills(name, status),
        log(name, status, longest),
        clock(name, status, now),
        freezes(name, status),
    ];
    if !status.banned_peers.is_empty() {
        let told = status.bans.iter().map(|ban| match ban.lifted {
            false => format!("{} since session {}", ban.node, hex::encode(&ban.session)),
            true => format!("{} for {}, until refreshed", ban.node, ban.keys_from_before.join(", ")),
        });
        let told =
            if status.bans.is_empty() { status.banned_peers.join("; ") } else { told.collect::<Vec<_>>().join("; ") };
        let what = format!("a consistency check failed: {told}");
        let remedy = "Find out which of the two is corrupt. They meet again once the charter readmits the pair and their keys are refreshed (docs/epochs.md).";
        findings.push(Finding::bad(format!("{name} peers"), what, remedy));
    }
    if !status.ledgers_ending.is_empty() {
        let remedy = "Give its limits a ledger of another name while there is time (docs/limits.md).";
        findings.push(Finding::warn(format!("{name} ledgers"), status.ledgers_ending.join("; "), remedy));
    }
    findings
}

fn up(signer: &SignerHealth, status: &StatusResponse, view: &ClusterView) -> Finding {
    let what = format!(
        "up, {:.1} ms from the coordinator, version {}, {} sessions",
        signer.round_trip_us as f64 / 1000.0,
        status.version,
        status.sessions
    );
    if status.version != view.version {
        let remedy = "Finish the upgrade: one machine at a time, all of one version at the end.";
        return Finding::warn(&signer.node, format!("{what}; the coordinator has {}", view.version), remedy);
    }
    Finding::ok(&signer.node, what)
}

fn charter(name: &str, status: &StatusResponse, view: &ClusterView) -> Finding {
    let check = format!("{name} charter");
    let short = |hash: &[u8]| hex::encode(hash).chars().take(16).collect::<String>();
    let here = short(&status.charter_hash);
    if status.charter_hash == view.charter_hash {
        return Finding::ok(check, format!("{here}, as at the coordinator"));
    }
    let what = format!("{here}, and {} at the coordinator", short(&view.charter_hash));
    let remedy = "`limen charter status` shows which versions are where; if it lasts, stop the odd one out and look who edited it.";
    Finding::bad(check, what, remedy)
}

fn links(name: &str, status: &StatusResponse, view: &ClusterView) -> Finding {
    let check = format!("{name} links");
    let down: Vec<_> = status.peers.iter().filter(|peer| !peer.connected).map(|peer| &*peer.node).collect();
    let all = status.peers.len();
    if down.is_empty() {
        return Finding::ok(check, format!("linked to all {all} others"));
    }
    let what = format!("not linked to {}", down.join(", "));
    let dead = |peer: &&str| view.signers.iter().any(|signer| signer.node == **peer && !signer.reachable);
    if down.len() == all {
        return Finding::bad(
            check,
            what,
            "Alone it signs nothing: open the way between the signers' machines, both directions.",
        );
    }
    if down.iter().all(dead) {
        return Finding::warn(check, what, "Bring back the signer that is down.");
    }
    Finding::warn(
        check,
        what,
        "Open the way between these two machines, both directions; look for refused keys in both journals.",
    )
}

fn standing(name: &str, status: &StatusResponse) -> Finding {
    let check = format!("{name} standing");
    let linked: Vec<_> = status.peers.iter().filter(|peer| peer.connected).collect();
    let silent: Vec<_> =
        linked.iter().filter(|peer| !peer.standing).map(|peer| format!("{}: {}", peer.node, peer.trouble)).collect();
    if silent.is_empty() && !linked.is_empty() {
        return Finding::ok(check, format!("{} others vouch for how they stand", linked.len()));
    }
    if silent.len() == linked.len() {
        let what = format!("nobody's word is fresh; {}", silent.join("; "));
        return Finding::bad(
            check,
            what,
            "It signs nothing without it: docs/standing.md tells what each trouble means.",
        );
    }
    Finding::warn(check, silent.join("; "), "docs/standing.md tells what each trouble means.")
}

fn store(name: &str, status: &StatusResponse) -> Finding {
    let check = format!("{name} store");
    if status.rolled_back.is_empty() {
        return Finding::ok(check, format!("{} journal records", status.journal_length));
    }
    let remedy = "It signs nothing. Keep the others running, keep this disk for those who look into it, and find out who put an older copy \
        back: docs/standing.md.";
    Finding::bad(check, format!("PUT BACK: {}", status.rolled_back), remedy)
}

fn drills(name: &str, status: &StatusResponse) -> Finding {
    let check = format!("{name} drills");
    let Some(words) = drill::overdue(status) else {
        return Finding::ok(check, format!("{} of the charter, none overdue", status.drills.len()));
    };
    Finding::warn(
        check,
        words,
        "Hold it by `limen-ceremony`, and hand its record in by `limen drill file`: docs/drills.md.",
    )
}

fn token(name: &str, status: &StatusResponse) -> Finding {
    let check = format!("{name} token");
    if status.token_trouble.is_empty() {
        return Finding::ok(check, "what seals its shares works");
    }
    let remedy = "It signs nothing until its token works again: docs/hsm.md has a line for each code.";
    Finding::bad(check, format!("NO TOKEN: {}", status.token_trouble), remedy)
}

fn log(name: &str, status: &StatusResponse, longest: u64) -> Finding {
    let check = format!("{name} log");
    if !status.log_alarm.is_empty() {
        let remedy = "docs/evidence.md, \"Alarms\": somebody shows different logs.";
        return Finding::bad(check, format!("ANOTHER LOG: {}", status.log_alarm), remedy);
    }
    let what = format!("{} leaves, {} of its own on their way", status.log_size, status.pending_leaves);
    let lag = longest.saturating_sub(status.log_size);
    if lag > LOG_LAG {
        let remedy = "Look again in a minute: if it does not catch up, see its journal and its way to the coordinator.";
        return Finding::warn(check, format!("{what}; {lag} behind the others"), remedy);
    }
    Finding::ok(check, what)
}

fn clock(name: &str, status: &StatusResponse, now: u64) -> Finding {
    let check = format!("{name} clock");
    let apart = (status.clock_ms / 1000).abs_diff(now);
    let what = format!("{apart} s from the clock here");
    match apart {
        apart if apart > CLOCK_SECS_BAD => Finding::bad(check, what, CLOCK),
        apart if apart > CLOCK_SECS_WARN => Finding::warn(check, what, CLOCK),
        _ => Finding::ok(check, what),
    }
}

/// Whom and what they concern stays out: `limen freezes` shows it to those who ask.
fn freezes(name: &str, status: &StatusResponse) -> Finding {
    let check = format!("{name} freezes");
    let (people, own) = (status.freezes, status.automatic_freezes.len());
    if people == 0 && own == 0 {
        return Finding::ok(check, "none");
    }
    let what = format!("{people} by people, {own} by itself");
    Finding::warn(
        check,
        what,
        "`limen freezes` shows what is stopped and why; `limen unfreeze` lifts it once that is settled.",
    )
}

fn witness(witness: &WitnessHealth) -> Finding {
    let check = format!("{} ledger {}", witness.node, witness.ledger);
    match witness.reachable {
        true => Finding::ok(check, format!("up, {} entries", witness.head)),
        false => Finding::bad(check, format!("not reachable: {}", witness.error), START),
    }
}
