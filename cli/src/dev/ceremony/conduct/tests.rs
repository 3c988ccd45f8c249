use super::*;

const RECORD: &[u8] =
    b"limen-ceremony-record 1\nbegin ab\nstep 1 plan\n| step 9 inside\nend 1 cd\nstep 2 go\ncompleted ef\n";

#[test]
fn a_place_belongs_to_the_part_whose_lines_it_is_in() {
    let part = |text: &str| {
        let at = RECORD.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
        part_of(RECORD, at)
    };
    assert_eq!(part("limen"), "the head");
    assert_eq!(part("ab\n"), "the head");
    // The line that begins a part is in it, from its first byte to its last.
    assert_eq!(part("step 1"), "step 1 (plan)");
    assert_eq!(part("\n| step"), "step 1 (plan)");
    assert_eq!(part("inside"), "step 1 (plan)");
    assert_eq!(part("\nstep 2"), "step 1 (plan)");
    assert_eq!(part("step 2"), "step 2 (go)");
    assert_eq!(part("ef"), "the foot");
    assert_eq!(part_of(RECORD, RECORD.len() - 1), "the foot");
}

#[test]
fn places_follow_from_the_seed_and_lie_inside() {
    let drawn = |seed| {
        let mut places = Places(seed);
        (0..100).map(|_| places.below(7)).collect::<Vec<_>>()
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    assert!(drawn(1).iter().all(|place| *place < 7) && (0..7).all(|place| drawn(1).contains(&place)));
    assert_eq!(Places(1).below(0), 0);
}
