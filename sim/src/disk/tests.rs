use redb::StorageBackend as _;

use super::*;

fn with(writes: &[(u64, &[u8])]) -> Disk {
    let disk = Disk::default();
    disk.set_len(8192).unwrap();
    writes.iter().for_each(|(offset, bytes)| disk.write(*offset, bytes).unwrap());
    disk
}

fn bytes(image: &Image, offset: u64, count: usize) -> Vec<u8> {
    let mut out = vec![0; count];
    image.read(offset, &mut out).unwrap();
    out
}

#[test]
fn what_was_synced_survives_and_any_part_of_the_rest() {
    let disk = with(&[(0, b"durable")]);
    disk.sync_data().unwrap();
    disk.write(0, b"changed").unwrap();
    disk.write(4096, &[7; 2048]).unwrap();
    let (mut old, mut new, mut torn) = (0, 0, 0);
    for seed in 0..300 {
        let left = disk.after_power_cut(&mut Dice::new(seed));
        match bytes(&left, 0, 7).as_slice() {
            b"durable" => old += 1,
            b"changed" => new += 1,
            _ => torn += 1,
        }
        let sectors = bytes(&left, 4096, 2048);
        torn += i32::from(sectors.chunks(SECTOR).any(|sector| sector != sectors[..SECTOR].to_vec()));
    }
    assert!(old > 30 && new > 30 && torn > 5, "{old} {new} {torn}");
}

#[test]
fn a_failed_sync_loses_what_it_was_for_although_reading_shows_it() {
    let disk = with(&[(0, b"a")]);
    disk.sync_data().unwrap();
    disk.write(0, b"b").unwrap();
    disk.plan(Some(Fault { at: 1, kind: Kind::SyncLost }));
    disk.sync_data().unwrap_err();
    disk.sync_data().unwrap();
    assert!(disk.struck());
    assert_eq!((bytes(&disk.seen(), 0, 1), bytes(&disk.durable(), 0, 1)), (b"b".to_vec(), b"a".to_vec()));
}

#[test]
fn a_full_disk_takes_what_needs_no_room() {
    let disk = with(&[(0, b"a")]);
    disk.plan(Some(Fault { at: 1, kind: Kind::Full }));
    disk.write(1, b"b").unwrap();
    assert_eq!(disk.write(4096, b"c").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.set_len(9000).unwrap_err().kind(), io::ErrorKind::StorageFull);
    disk.plan(None);
    disk.write(4096, b"c").unwrap();
}

#[test]
fn a_dead_disk_answers_nothing_and_a_short_write_leaves_its_beginning() {
    let disk = with(&[(0, b"a")]);
    disk.plan(Some(Fault { at: 2, kind: Kind::Short }));
    disk.write(10, b"12").unwrap();
    disk.write(20, b"34").unwrap_err();
    assert_eq!(bytes(&disk.seen(), 20, 2), [b'3', 0]);
    disk.plan(Some(Fault { at: 1, kind: Kind::Dead }));
    disk.sync_data().unwrap_err();
    disk.read(0, &mut [0]).unwrap_err();
}

#[test]
fn a_tape_cuts_before_in_and_after_every_operation() {
    let (disk, tape) = Disk::recorded(Image::default());
    disk.set_len(4096).unwrap();
    disk.write(0, b"one").unwrap();
    disk.sync_data().unwrap();
    disk.mark();
    disk.write(0, b"two").unwrap();
    let tape = tape.lock().unwrap().clone();
    assert_eq!((tape.operations(), tape.marks()), (4, 1));
    let mut seen = Vec::new();
    tape.cuts(&mut Dice::new(1), |cut| seen.push((cut.operation, cut.moment, cut.marks)));
    assert_eq!(seen.len(), 12);
    assert_eq!((seen[0], seen[11]), ((1, Moment::Before, 0), (4, Moment::After, 1)));
    assert_eq!(bytes(&tape.at_marks()[0], 0, 3), b"one");
}
