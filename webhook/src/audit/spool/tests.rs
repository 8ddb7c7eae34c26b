use super::*;
use crate::audit::testing::event;

fn ids(spool: &mut Spool) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some(oldest) = spool.oldest().unwrap() {
        ids.extend(oldest.events.iter().map(|event| event.id.clone()));
        spool.delivered(&oldest).unwrap();
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
    spool.append(&some(&["a", "b"])).unwrap();
    spool.append(&some(&["c"])).unwrap();
    assert_eq!(spool.events(), 3);
    assert_eq!(ids(&mut spool), ["a", "b", "c"]);
    assert_eq!((spool.bytes(), spool.events()), (0, 0));
    spool.append(&some(&["d"])).unwrap();
    assert_eq!(ids(&mut spool), ["d"]);
}

#[test]
fn what_was_kept_is_there_for_the_next_process_after_a_torn_write_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    spool.append(&some(&["a", "b"])).unwrap();
    let path = spool.path(0);
    drop(spool);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(&encode(&event("torn", 10)).unwrap()[..40]);
    fs::write(&path, bytes).unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    spool.append(&some(&["c"])).unwrap();
    assert_eq!(ids(&mut spool), ["a", "b", "c"]);
}

#[test]
fn a_file_is_delivered_again_until_it_is_said_to_be_and_new_events_go_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    spool.append(&some(&["a"])).unwrap();
    let oldest = spool.oldest().unwrap().unwrap();
    spool.append(&some(&["b"])).unwrap();
    assert_eq!(spool.oldest().unwrap().unwrap().events, oldest.events);
    spool.delivered(&oldest).unwrap();
    assert_eq!(ids(&mut spool), ["b"]);
}

#[test]
fn a_full_spool_takes_nothing_and_has_room_again_when_something_was_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 4096).unwrap();
    let mut kept = 0;
    while spool.append(&[event(&format!("e{kept}"), 100)]).is_ok() {
        kept += 1;
    }
    assert!(kept > 3 && spool.is_full());
    assert!(matches!(spool.append(&some(&["more"])), Err(SpoolError::Full)));
    assert!(spool.bytes() <= 4096);
    assert_eq!(ids(&mut spool).len(), kept);
    spool.append(&some(&["more"])).unwrap();
}

#[test]
fn a_flood_of_equal_denials_is_counted_and_does_not_fill_the_spool() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 64 << 10).unwrap();
    for number in 0..1000 {
        let mut denial = event(&format!("d{number}"), 10);
        denial.fold_key = "same".to_owned();
        spool.append(&[denial]).unwrap();
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
        spool.append(&batch).unwrap();
    }
    assert_eq!(spool.oldest().unwrap().unwrap().events.len(), 64);
    assert_eq!(ids(&mut spool).len(), 192);
}
