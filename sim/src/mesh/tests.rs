use super::*;
use limen_mpc::{AbortReason, Action, Blame, Signature, Step};

/// Counts to three with its peers: broadcasts its round, and goes on when it has heard all others.
struct Counter {
    me: PartyIndex,
    others: usize,
    round: u8,
    heard: BTreeMap<u8, Vec<PartyIndex>>,
}

const ROUNDS: u8 = 3;

fn party(index: u16) -> PartyIndex {
    PartyIndex::new(index).expect("1 to 255")
}

fn frame(from: PartyIndex, round: u8) -> Frame {
    Frame { round, from, to: None, tag: [0; 32], body: vec![round; 10] }
}

impl Party for Counter {
    fn receive(&mut self, sender: PartyIndex, frame: Frame) -> Result<Received, Abort> {
        if frame.body.is_empty() {
            let reason = AbortReason::Malformed { from: sender, what: "empty" };
            return Err(Abort { blame: Blame::party(sender, Action::Replace), reason });
        }
        let heard = self.heard.entry(frame.round).or_default();
        if heard.contains(&sender) {
            return Ok(Received::Dropped(Dropped::Duplicate));
        }
        heard.push(sender);
        let mut step = Step::default();
        while self.heard.get(&self.round).is_some_and(|heard| heard.len() == self.others) {
            self.round += 1;
            if self.round > ROUNDS {
                step.done = Some(Output::Signature(Signature::Ed25519([0; 64])));
            } else {
                step.send.push(self::frame(self.me, self.round));
            }
        }
        Ok(Received::Step(step))
    }
}

fn mesh(seed: u64, weather: Weather) -> Mesh<Counter> {
    let parties = (1..=3).map(|index| {
        let me = party(index);
        let counter = Counter { me, others: 2, round: 1, heard: BTreeMap::new() };
        (me, counter, Step { send: vec![frame(me, 1)], done: None })
    });
    Mesh::start(seed, weather, parties)
}

#[test]
fn calm_weather_delivers_everything_in_order() {
    let mut mesh = mesh(1, Weather::CALM);
    mesh.run();
    assert_eq!(mesh.schedule().len(), usize::from(ROUNDS) * 6);
    assert!(mesh.schedule().is_sorted_by_key(|event| event.round));
    assert_eq!(mesh.bytes_sent(party(1)), usize::from(ROUNDS) * 20);
    assert_eq!(mesh.into_outputs().expect("all done").len(), 3);
}

#[test]
fn the_same_seed_gives_the_same_schedule() {
    let stormy = Weather { reorder: true, lost_per_mille: 100, repeated_per_mille: 300 };
    let schedule = |seed| {
        let mut mesh = mesh(seed, stormy);
        mesh.run();
        mesh.schedule().to_vec()
    };
    assert_eq!(schedule(5), schedule(5));
    assert_ne!(schedule(5), schedule(6));
}

#[test]
fn frames_that_come_twice_or_out_of_order_change_nothing() {
    for seed in 0..50 {
        let mut mesh = mesh(seed, Weather::RESTLESS);
        mesh.run();
        assert!(mesh.into_outputs().is_ok(), "seed {seed}");
    }
}

#[test]
fn repeats_are_counted_as_dropped() {
    let mut mesh = mesh(1, Weather { repeated_per_mille: 500, ..Weather::RESTLESS });
    mesh.run();
    assert!(mesh.dropped()[&Dropped::Duplicate] > 0);
}

#[test]
fn a_lost_frame_leaves_its_receiver_waiting() {
    let mut mesh = mesh(1, Weather::CALM);
    mesh.run_with(|d| if d.frame.round == 3 && d.receiver == party(2) { Fate::Lose } else { Fate::Pass });
    assert_eq!(mesh.endings().keys().copied().collect::<Vec<_>>(), [party(1), party(3)]);
    assert_eq!(mesh.into_outputs().expect_err("one waits").endings().len(), 2);
}

#[test]
fn a_spoiled_frame_is_blamed_on_its_sender() {
    let mut mesh = mesh(1, Weather::CALM);
    mesh.run_with(|delivery| {
        let mut spoiled = delivery.clone();
        if delivery.sender == party(3) && delivery.receiver == party(1) {
            spoiled.frame.body.clear();
        }
        Fate::Replace(vec![spoiled])
    });
    let (who, abort) = mesh.aborts().next().expect("an abort");
    assert_eq!(who, party(1));
    assert!(abort.blame.names(party(3)));
}

#[test]
fn an_injected_frame_is_delivered() {
    let mut mesh = mesh(1, Weather::CALM);
    mesh.inject(Delivery { sender: party(2), receiver: party(1), frame: frame(party(2), 1) });
    mesh.run();
    assert_eq!(mesh.dropped()[&Dropped::Duplicate], 1);
}
