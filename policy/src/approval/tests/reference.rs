//! The tally against a reference that tries everything, and the bound on its time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use limen_wire::approval::{Approval, Verdict};
use limen_wire::ids::PersonId;
use limen_wire::limits;
use proptest::prelude::*;

use super::{NOW, approval, facts, group};
use crate::approval::{Question, Tally, Verified};
use crate::charter::people::{CredentialClass, Roster};
use crate::formula::{Formula, Leaf, Staged, Way};

const PEOPLE: [&str; 4] = ["p0", "p1", "p2", "p3"];
const FORMULAS: [&str; 9] = [
    "1 of a",
    "2 of a",
    "1 of a and 1 of b",
    "2 of a and 1 terminal of b",
    "(1 of a or 2 of b) and 1 of c",
    "1 of a then 1 of b",
    "1 of a then 1 terminal of b then 1 of c",
    "(2 of a then 1 of b) or (1 of c and 1 terminal of b)",
    "(1 of a then 1 of b) and (1 of b then 1 of c)",
];

/// One ballot in short.
#[derive(Debug, Clone)]
struct Draft {
    person: usize,
    verdict: u8,
    terminal: bool,
    synced: bool,
    is_expired: bool,
    preceding: Option<prop::sample::Index>,
}

fn draft() -> impl Strategy<Value = Draft> {
    let flags = (any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.1));
    (0..PEOPLE.len(), 0..20u8, flags, prop::option::weighted(0.7, any::<prop::sample::Index>())).prop_map(
        |(person, verdict, (terminal, synced, is_expired), preceding)| Draft {
            person,
            verdict,
            terminal,
            synced,
            is_expired,
            preceding,
        },
    )
}

/// Ballots that may name any before them.
fn ballots(drafts: &[Draft]) -> Vec<Verified> {
    let mut made: Vec<Verified> = Vec::new();
    for (number, draft) in drafts.iter().enumerate() {
        let mut said = approval(PEOPLE[draft.person], "token");
        said.nonce = [u8::try_from(number).unwrap(); 32];
        said.verdict = match draft.verdict {
            0 => Verdict::Reject,
            1..=3 => Verdict::Withdraw,
            _ => Verdict::Approve,
        };
        if draft.is_expired {
            said.expires_at_secs = NOW;
        }
        if !made.is_empty() {
            said.preceding = draft.preceding.map(|index| index.get(&made).id());
        }
        let class = if draft.terminal { CredentialClass::Terminal } else { CredentialClass::Console };
        made.push(Verified::unproved(said, class, draft.synced));
    }
    made
}

/// Three groups by membership bits; the last takes no synced passkeys.
fn roster(members: [u8; 3]) -> Roster {
    let group = |(index, name): (usize, &str)| {
        let of: Vec<&str> =
            PEOPLE.into_iter().enumerate().filter(|(p, _)| members[index] >> p & 1 == 1).map(|p| p.1).collect();
        group(name, &of, index < 2)
    };
    let groups = ["a", "b", "c"].into_iter().enumerate().map(group);
    Roster { people: Default::default(), groups: groups.map(|group| (group.id.clone(), group)).collect() }
}

/// The definitions of docs/approvals.md written down one by one, with every choice tried.
struct Reference<'a> {
    question: &'a Question<'a>,
    list: &'a [Verified],
}

impl Reference<'_> {
    fn ancestors(&self, ballot: &Verified) -> Vec<&Verified> {
        let parent = ballot.approval().preceding.and_then(|id| self.list.iter().find(|other| other.id() == id));
        parent.map_or_else(Vec::new, |parent| [vec![parent], self.ancestors(parent)].concat())
    }

    fn is_live(&self, ballot: &Verified) -> bool {
        let said = ballot.approval();
        let seen = self.ancestors(ballot);
        let takes_back =
            |other: &&Verified| other.approval().verdict == Verdict::Withdraw && other.approval().person == said.person;
        said.verdict == Verdict::Approve
            && said.expires_at_secs > NOW
            && !self.question.excluded.contains(&said.person)
            && self.list.iter().filter(takes_back).all(|back| seen.iter().any(|other| other.id() == back.id()))
    }

    fn counts(&self, ballot: &Verified, staged: &Staged, way: &Way) -> bool {
        let Leaf { group, terminal, .. } = &staged.leaf;
        let group = &self.question.roster.groups[group];
        let earlier: Way = way.iter().filter(|other| other.stage < staged.stage).cloned().collect();
        self.is_live(ballot)
            && group.members.contains(&ballot.approval().person)
            && (!terminal || ballot.class() == CredentialClass::Terminal)
            && (group.synced_passkeys || !ballot.is_backup_eligible())
            && self.most(&slots(&earlier), way, &self.ancestors(ballot), &mut BTreeSet::new()) == slots(&earlier).len()
    }

    /// The most slots that different people can fill from among these ballots.
    fn most(&self, slots: &[Staged], way: &Way, among: &[&Verified], used: &mut BTreeSet<PersonId>) -> usize {
        let Some((slot, rest)) = slots.split_first() else { return 0 };
        let mut best = self.most(rest, way, among, used);
        for ballot in among.iter().filter(|ballot| self.counts(ballot, slot, way)) {
            let person = ballot.approval().person.clone();
            if used.insert(person.clone()) {
                best = best.max(1 + self.most(rest, way, among, used));
                used.remove(&person);
            }
        }
        best
    }

    fn is_rejected(&self) -> bool {
        let leaves = self.question.formula.leaves();
        let members =
            |leaf: &&Leaf, who: &Approval| self.question.roster.groups[&leaf.group].members.contains(&who.person);
        let no = |ballot: &&Verified| ballot.approval().verdict == Verdict::Reject;
        self.list.iter().filter(no).any(|ballot| leaves.iter().any(|leaf| members(leaf, ballot.approval())))
    }

    /// How many people are missing on the nearest way.
    fn missing(&self) -> usize {
        let all: Vec<&Verified> = self.list.iter().collect();
        let lacks = |way: &Way| slots(way).len() - self.most(&slots(way), way, &all, &mut BTreeSet::new());
        self.question.formula.ways().unwrap().iter().map(lacks).min().unwrap()
    }
}

/// Each leaf as many times as it asks for people.
fn slots(way: &Way) -> Vec<Staged> {
    way.iter().flat_map(|staged| std::iter::repeat_n(staged.clone(), staged.leaf.count.into())).collect()
}

fn check_met(question: &Question<'_>, list: &[Verified], tally: &Tally) {
    let Tally::Met { by } = tally else { return };
    let used: Vec<_> = list.iter().filter(|ballot| by.get(&ballot.approval().person) == Some(&ballot.id())).collect();
    assert_eq!(used.len(), by.len());
    assert!(used.iter().all(|ballot| ballot.holds(question.facts, NOW).is_ok()));
    let sizes: Vec<usize> = question.formula.ways().unwrap().iter().map(|way| slots(way).len()).collect();
    assert!(sizes.contains(&by.len()), "{by:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn the_tally_is_what_trying_everything_finds(
        members in prop::array::uniform3(0..16u8),
        drafts in prop::collection::vec(draft(), 0..7),
        formula in 0..FORMULAS.len(),
        excluded in prop::option::weighted(0.2, 0..PEOPLE.len()),
        order in any::<prop::sample::Index>(),
    ) {
        let (formula, roster, facts) = (Formula::parse(FORMULAS[formula]).unwrap(), roster(members), facts());
        let excluded = excluded.into_iter().map(|person| PEOPLE[person].parse().unwrap()).collect();
        let question = Question { formula: &formula, roster: &roster, excluded: &excluded, facts: &facts, now_secs: NOW };
        let mut list = ballots(&drafts);
        let tally = question.tally(&list);
        let reference = Reference { question: &question, list: &list };
        match &tally {
            Tally::Rejected { .. } => prop_assert!(reference.is_rejected()),
            Tally::Met { .. } => prop_assert!(!reference.is_rejected() && reference.missing() == 0),
            Tally::Wanting { missing } => {
                prop_assert!(!reference.is_rejected());
                for way in missing.ways() {
                    prop_assert_eq!(slots(way).len(), reference.missing());
                }
                prop_assert!(!missing.ways().is_empty());
            }
            Tally::TooMany { .. } => prop_assert!(false),
        }
        check_met(&question, &list, &tally);
        // The order of arrival changes nothing, nor does hearing something twice.
        if !list.is_empty() {
            let first = order.index(list.len());
            list.rotate_left(first);
            list.push(list[0].clone());
            list.reverse();
        }
        prop_assert_eq!(question.tally(&list), tally);
    }
}

/// As many approvals, people, ways and stages as there can be, each descending from the one before, and the last stage wanting.
#[test]
fn the_longest_tally_ends_soon() {
    let names: Vec<String> = (0..limits::APPROVALS).map(|n| format!("p{n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let groups = ["a", "b"].map(|name| group(name, &all, true)).into_iter().map(|group| (group.id.clone(), group));
    let roster = Roster { people: Default::default(), groups: groups.collect() };
    let choices = ["(20 of a or 20 of b)"; 6].join(" then ");
    let formula = Formula::parse(&format!("{choices} then 32 of a")).unwrap();
    let mut list: Vec<Verified> = Vec::new();
    for name in &names {
        let preceding = list.last().map(Verified::id);
        let said = Approval { preceding, ..approval(name, "token") };
        list.push(Verified::unproved(said, CredentialClass::Terminal, false));
    }
    let (excluded, facts) = (BTreeSet::new(), facts());
    let question = Question { formula: &formula, roster: &roster, excluded: &excluded, facts: &facts, now_secs: NOW };
    let start = Instant::now();
    let tally = question.tally(&list);
    let took = start.elapsed();
    assert!(matches!(tally, Tally::Wanting { .. }), "{tally:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}
