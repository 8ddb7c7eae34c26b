use super::codec::encode;
use super::*;
use crate::audit::testing::event;
use imagefactory_crds::audit::MAX_EVENT_BYTES;
use jiff::SignedDuration;

/// A denial like all others, of a write of its own.
fn denial(number: usize) -> AuditEvent {
    AuditEvent {
        fold_key: "same".to_owned(),
        write_key: format!("w{number}"),
        ..event(&format!("d{number}"), 10)
    }
}

fn all(spool: &mut Spool) -> Vec<AuditEvent> {
    let mut events = Vec::new();
    while let Some(oldest) = spool.oldest().unwrap() {
        spool.delivered(&oldest, &[]).unwrap();
        events.extend(oldest.events);
    }
    events
}

fn sum(events: &[AuditEvent]) -> u64 {
    events.iter().map(|event| event.count).sum()
}

fn ids(spool: &mut Spool) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some(oldest) = spool.oldest().unwrap() {
        ids.extend(oldest.events.iter().map(|event| event.id.clone()));
        spool.delivered(&oldest, &[]).unwrap();
    }
    ids
}

fn some(names: &[&str]) -> Vec<AuditEvent> {
    names.iter().map(|name| event(name, 10)).collect()
}

#[test]
fn events_come_out_in_the_order_in_which_they_went_in_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    spool.append(&some(&["a", "b"]), Came::New).unwrap();
    spool.append(&some(&["c"]), Came::New).unwrap();
    assert_eq!(spool.events(), 3);
    assert_eq!(ids(&mut spool), ["a", "b", "c"]);
    assert_eq!((spool.bytes(), spool.events()), (0, 0));
    spool.append(&some(&["d"]), Came::New).unwrap();
    assert_eq!(ids(&mut spool), ["d"]);
}

#[test]
fn what_was_kept_is_there_for_the_next_process_after_a_torn_write_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    spool.append(&some(&["a", "b"]), Came::New).unwrap();
    let path = spool.path(0);
    drop(spool);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(&encode(&event("torn", 10)).unwrap()[..40]);
    fs::write(&path, bytes).unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    spool.append(&some(&["c"]), Came::New).unwrap();
    assert_eq!(ids(&mut spool), ["a", "b", "c"]);
}

#[test]
fn a_file_is_delivered_again_until_it_is_said_to_be_and_new_events_go_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    spool.append(&some(&["a"]), Came::New).unwrap();
    let oldest = spool.oldest().unwrap().unwrap();
    spool.append(&some(&["b"]), Came::New).unwrap();
    assert_eq!(spool.oldest().unwrap().unwrap().events, oldest.events);
    spool.delivered(&oldest, &[]).unwrap();
    assert_eq!(ids(&mut spool), ["b"]);
}

#[test]
fn a_full_spool_takes_nothing_and_has_room_again_when_something_was_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 4096).unwrap();
    let mut kept = 0;
    while spool.append(&[event(&format!("e{kept}"), 100)], Came::New).is_ok() {
        kept += 1;
    }
    assert!(kept > 3 && spool.is_full());
    assert!(matches!(
        spool.append(&some(&["more"]), Came::New),
        Err(SpoolError::Full)
    ));
    assert!(spool.bytes() <= 4096);
    assert_eq!(ids(&mut spool).len(), kept);
    spool.append(&some(&["more"]), Came::New).unwrap();
}

#[test]
fn a_flood_of_equal_denials_is_counted_and_does_not_fill_the_spool() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 64 << 10).unwrap();
    for number in 0..1000 {
        spool.append(&[denial(number)], Came::New).unwrap();
    }
    assert_eq!(spool.events(), 11);
    let events = spool.oldest().unwrap().unwrap().events;
    assert_eq!(events.iter().map(|event| event.count).sum::<u64>(), 1000);
}

#[test]
fn one_process_has_the_spool() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Spool::open(folder.path(), 4096).unwrap();
    assert!(matches!(Spool::open(folder.path(), 4096), Err(SpoolError::Taken)));
}

#[test]
fn files_are_closed_when_they_have_grown() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 64 << 20).unwrap();
    let batch: Vec<AuditEvent> = (0..64).map(|number| event(&format!("e{number}"), 16 << 10)).collect();
    for _ in 0..3 {
        spool.append(&batch, Came::New).unwrap();
    }
    assert_eq!(spool.oldest().unwrap().unwrap().events.len(), 64);
    assert_eq!(ids(&mut spool).len(), 192);
}

#[test]
fn one_write_that_is_asked_for_again_and_again_is_one_also_in_a_flood_and_in_the_next_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    for number in 0..20 {
        spool.append(&[denial(number)], Came::New).unwrap();
    }
    let mut again = denial(5);
    for number in 0..100 {
        again.id = format!("again-{number}");
        let kept = spool.append(&[again.clone(), again.clone()], Came::New).unwrap();
        assert_eq!(kept, [true, true], "it is on record");
        if number == 50 {
            // The file is closed, and the next begun.
            assert!(spool.oldest().unwrap().is_some());
        }
    }
    again.time += SignedDuration::from_secs(11);
    spool.append(&[again], Came::New).unwrap();
    assert_eq!(sum(&all(&mut spool)), 21, "later it is another");
}

#[test]
fn a_write_that_was_delivered_is_not_counted_again_on_the_spool() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    spool.note(&[denial(99)]);
    for number in 0..20 {
        spool.append(&[denial(number), denial(99)], Came::New).unwrap();
    }
    assert_eq!(sum(&all(&mut spool)), 20);
}

#[test]
fn a_write_that_found_no_room_is_not_taken_for_one_on_record() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 512).unwrap();
    spool.append(&[event("fills", 250)], Came::New).unwrap();
    assert!(spool.append(&[denial(1)], Came::New).is_err());
    assert_eq!(ids(&mut spool), ["fills"]);
    spool.append(&[denial(1)], Came::New).unwrap();
    assert_eq!(ids(&mut spool), ["d1"]);
}

#[test]
fn what_may_be_stored_already_is_neither_counted_nor_counts_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    let sent: Vec<AuditEvent> = (0..30).map(denial).collect();
    spool.append(&sent, Came::Sent).unwrap();
    let new: Vec<AuditEvent> = (30..60).map(denial).collect();
    spool.append(&new, Came::New).unwrap();
    let late: Vec<AuditEvent> = (60..70).map(denial).collect();
    spool.append(&late, Came::Sent).unwrap();
    let events = all(&mut spool);
    let of = |id: &str| events.iter().find(|event| event.id == id);
    for event in sent.iter().chain(&late) {
        assert_eq!(of(&event.id), Some(event), "with its id and its key");
    }
    assert_eq!((sum(&events), events.len()), (70, 51));
}

#[test]
fn an_event_that_can_not_be_written_is_refused_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    let long = event("long", MAX_EVENT_BYTES);
    let kept = spool.append(&[event("a", 1), long, event("b", 1)], Came::New).unwrap();
    assert_eq!(kept, [true, false, true]);
    assert_eq!(ids(&mut spool), ["a", "b"]);
}

#[test]
fn what_was_refused_stays_out_of_the_way_and_is_tried_again_after_the_others_and_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    for (good, bad) in [("a", "bad1"), ("b", "bad2")] {
        spool.append(&some(&[good, bad]), Came::New).unwrap();
        let oldest = spool.oldest().unwrap().unwrap();
        assert!(!oldest.again);
        assert_eq!(spool.delivered(&oldest, &oldest.events[1..]).unwrap(), 0);
    }
    assert!(!spool.waits() && spool.oldest().unwrap().is_none());
    assert_eq!((spool.events(), spool.refused()), (0, 2));
    assert!(spool.bytes() > 0, "it takes room");

    spool.append(&some(&["c"]), Came::New).unwrap();
    spool.release();
    assert_eq!((spool.events(), spool.refused()), (1, 2));
    let oldest = spool.oldest().unwrap().unwrap();
    assert_eq!(oldest.events, some(&["c"]));
    spool.delivered(&oldest, &[]).unwrap();
    let oldest = spool.oldest().unwrap().unwrap();
    assert!(oldest.again);
    assert_eq!(oldest.events, some(&["bad1", "bad2"]));
    spool.delivered(&oldest, &oldest.events).unwrap();
    assert_eq!((spool.waits(), spool.refused()), (false, 2), "refused again");

    drop(spool);
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    assert_eq!(ids(&mut spool), ["bad1", "bad2"]);
    assert_eq!(spool.bytes(), 0);
}

/// Has the next so many files not be begun, as on a disk with no room for them.
fn no_room_for(spool: &Spool, files: u64) {
    for number in spool.next..spool.next + files {
        fs::create_dir(spool.path(number)).unwrap();
    }
}

#[test]
fn on_a_full_disk_what_was_refused_gets_the_room_of_the_file_that_goes() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    spool.append(&some(&["a", "bad"]), Came::New).unwrap();
    let oldest = spool.oldest().unwrap().unwrap();
    no_room_for(&spool, 1);
    assert_eq!(spool.delivered(&oldest, &oldest.events[1..]).unwrap(), 0);
    assert!(!spool.path(0).exists());
    assert_eq!((spool.events(), spool.refused(), spool.waits()), (0, 1, false));
    spool.release();
    assert_eq!(ids(&mut spool), ["bad"]);
}

#[test]
fn what_can_t_be_kept_apart_is_counted_as_lost_and_its_file_gives_its_room_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    spool.append(&some(&["a", "bad1", "bad2"]), Came::New).unwrap();
    let oldest = spool.oldest().unwrap().unwrap();
    no_room_for(&spool, 2);
    assert_eq!(spool.delivered(&oldest, &oldest.events[1..]).unwrap(), 2);
    assert!(!spool.path(0).exists());
    assert_eq!((spool.bytes(), spool.refused(), spool.waits()), (0, 0, false));
    spool.append(&some(&["b"]), Came::New).unwrap();
    assert_eq!(ids(&mut spool), ["b"]);
}

#[test]
fn a_file_that_can_t_be_read_keeps_no_other_and_is_tried_again_as_what_was_never_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    spool.append(&some(&["a"]), Came::New).unwrap();
    assert!(spool.oldest().unwrap().is_some());
    spool.append(&some(&["b"]), Came::New).unwrap();
    let away = folder.path().join("away");
    fs::rename(spool.path(0), &away).unwrap();
    assert!(spool.oldest().is_err());
    assert_eq!(ids(&mut spool), ["b"]);
    assert_eq!((spool.waits(), spool.events(), spool.refused()), (false, 1, 0));
    fs::rename(&away, spool.path(0)).unwrap();
    spool.release();
    assert!(!spool.oldest().unwrap().unwrap().again);
    assert_eq!(ids(&mut spool), ["a"]);
}

#[test]
fn what_is_refused_takes_a_part_of_the_spool_and_no_more_and_a_flood_of_it_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 16 << 10).unwrap();
    let mut lost = 0;
    for round in 0..20 {
        let batch: Vec<AuditEvent> = (0..4).map(|number| event(&format!("e{round}-{number}"), 100)).collect();
        spool.append(&batch, Came::New).unwrap();
        let oldest = spool.oldest().unwrap().unwrap();
        lost += spool.delivered(&oldest, &oldest.events).unwrap();
    }
    assert!(spool.bytes() <= 4 << 10, "{}", spool.bytes());
    assert_eq!(spool.refused() + lost as u64, 80);
    assert!(lost > 0 && !spool.waits());
    // What was refused has its place when it is refused again.
    let before = spool.refused();
    spool.release();
    while let Some(oldest) = spool.oldest().unwrap() {
        assert_eq!(spool.delivered(&oldest, &oldest.events).unwrap(), 0);
    }
    assert_eq!(spool.refused(), before);

    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    for number in 0..1000 {
        spool.append(&[denial(number)], Came::New).unwrap();
        let oldest = spool.oldest().unwrap().unwrap();
        assert_eq!(spool.delivered(&oldest, &oldest.events).unwrap(), 0);
    }
    assert_eq!(spool.refused(), 11);
    spool.release();
    assert_eq!(sum(&all(&mut spool)), 1000);
}
