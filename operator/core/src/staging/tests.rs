//! Which images are listed, when they are due, which go together, and what becomes of their entries.

use std::collections::BTreeMap;

use imagefactory_crds::BuildStatus;
use imagefactory_crds::build::StagedImage;
use imagefactory_crds::conditions::{self, ConditionStatus, SUCCEEDED, Statement};
use imagefactory_crds::names::LABEL_BUILD;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::build::fixtures::{World, at, digest, settings};

const DAY: i64 = 86_400;

/// Settings that keep images for a day.
fn daily() -> Settings {
    Settings {
        staging_ttl_seconds: DAY,
        ..settings()
    }
}

fn build() -> Build {
    let mut build = World::new().build;
    build.status = Some(BuildStatus {
        start_time: Some(Time(at(0))),
        attempts: Some(1),
        ..BuildStatus::default()
    });
    build
}

fn ended(mut build: Build) -> Build {
    let statement = Statement {
        type_: SUCCEEDED,
        status: ConditionStatus::False,
        reason: "Cancelled".to_owned(),
        message: String::new(),
    };
    conditions::set(&mut build.status.as_mut().unwrap().conditions, &[statement], 1, at(0));
    build
}

fn due(tenant: &str, number: usize) -> (String, Expiry) {
    let expiry = Expiry {
        tenant: tenant.to_owned(),
        namespace: format!("tenant-{tenant}"),
        build: "hello".to_owned(),
        build_uid: number.to_string(),
        repository: format!("registry.example.com/staging/{tenant}/builds/web/{number}"),
        failing_since: None,
        image: StagedName::Digest(digest('a').0),
    };
    (format!("slot/{number}"), expiry)
}

fn tags(listings: &[Listing]) -> Vec<String> {
    let tag = |listing: &Listing| match &listing.expiry.image {
        StagedName::Tag(tag) => tag.clone(),
        StagedName::Digest(digest) => panic!("{digest}"),
    };
    listings.iter().map(tag).collect()
}

fn labels(of: &[(&str, &str)]) -> ObjectMeta {
    let labels: BTreeMap<_, _> = of
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    ObjectMeta {
        labels: Some(labels),
        creation_timestamp: Some(Time(at(0))),
        ..ObjectMeta::default()
    }
}

#[test]
fn an_attempt_is_listed_when_it_begins_in_one_place_whenever_it_is_asked_for() {
    let found = listings(&build(), &daily(), at(10));
    assert_eq!(tags(&found), ["attempt-1"]);
    assert_eq!(listings(&ended(build()), &daily(), at(80_000)), found);
    let Listing { slot, key, expiry } = found[0].clone();
    let uid = build().metadata.uid.unwrap();
    assert_eq!(expiry.repository, World::new().validated().unwrap().staging_repository);
    assert_eq!(
        (key.as_str(), expiry.build_uid.as_str()),
        (format!("{uid}-attempt-1").as_str(), uid.as_str())
    );
    assert!(crate::build::logs::is_segment(&key), "{key}");
    assert!(!slot.is_over(at(86_399)), "not before its time");
    assert!(slot.is_over(at(86_400 + 600)), "soon after it");
    assert_eq!(Slot::parse(slot.as_str()), Some(slot));
}

#[test]
fn every_attempt_of_a_build_is_listed_whether_or_not_its_status_says_that_it_staged_anything() {
    let mut build = build();
    build.status.as_mut().unwrap().attempts = Some(3);
    assert_eq!(
        tags(&listings(&ended(build.clone()), &daily(), at(10))),
        ["attempt-1", "attempt-2", "attempt-3"]
    );
    build.status.as_mut().unwrap().staged = Some(StagedImage {
        repository: "registry.example.com/staging/acme/builds/web/uid".to_owned(),
        digest: digest('a'),
        size: 1,
        platforms: Vec::new(),
    });
    assert_eq!(
        listings(&build, &daily(), at(10)).len(),
        3,
        "one write for each, and no more"
    );
}

#[test]
fn what_ended_and_was_due_long_ago_is_not_put_on_the_list_again() {
    assert_eq!(listings(&ended(build()), &daily(), at(86_400 + 3600)).len(), 1);
    assert_eq!(listings(&ended(build()), &daily(), at(86_400 + 3601)), []);
    assert_eq!(
        listings(&build(), &daily(), at(86_400 + 3601)).len(),
        1,
        "it still goes on"
    );
}

#[test]
fn what_has_not_begun_or_is_kept_for_ever_is_not_listed() {
    let mut none = build();
    none.status = Some(BuildStatus::default());
    assert_eq!(listings(&none, &daily(), at(0)), []);
    let for_ever = Settings {
        staging_ttl_seconds: 0,
        ..settings()
    };
    assert_eq!(listings(&build(), &for_ever, at(0)), []);
}

#[test]
fn what_is_left_of_a_build_that_is_gone_is_listed_as_the_build_would_have_been() {
    let uid = build().metadata.uid.unwrap();
    let of = |stage, attempt| {
        labels(&[
            (LABEL_TENANT, "acme"),
            (LABEL_PROJECT, "web"),
            (LABEL_BUILD, "hello"),
            (LABEL_BUILD_UID, &uid),
            (LABEL_STAGE, stage),
            (LABEL_ATTEMPT, attempt),
        ])
    };
    let wanted = listings(&build(), &daily(), at(10));
    for left in [of("build", "1"), of("scan", "2"), of("publish", "1")] {
        assert_eq!(listing_of_remains(&left, &daily(), at(10)), wanted.first().cloned());
    }
    let second = listing_of_remains(&of("build", "2"), &daily(), at(10));
    assert_eq!(tags(&[second.unwrap()]), ["attempt-2"]);
    assert_eq!(listing_of_remains(&of("build", "1"), &daily(), at(86_400 + 3601)), None);
    assert_eq!(
        listing_of_remains(
            &labels(&[(LABEL_TENANT, "acme"), (LABEL_STAGE, "unstage")]),
            &daily(),
            at(0)
        ),
        None
    );
}

#[test]
fn what_is_no_slot_is_not_read_as_one() {
    for name in ["", "2026-01-01T00-0x", "../../../../../..", "2026-01-01T00-000"] {
        assert_eq!(Slot::parse(name), None, "{name}");
    }
}

#[test]
fn an_entry_of_an_earlier_version_is_read_and_both_kinds_are_written_as_they_are_read() {
    let text = r#"{"tenant":"acme","namespace":"tenant-acme","build":"hello","buildUid":"u","repository":"r","digest":"sha256:a"}"#;
    let mut entry: Expiry = serde_json::from_str(text).unwrap();
    assert_eq!(entry.image, StagedName::Digest("sha256:a".to_owned()));
    assert_eq!(serde_json::to_string(&entry).unwrap(), text);
    entry.image = StagedName::Tag("attempt-1".to_owned());
    assert_eq!(
        serde_json::from_str::<Expiry>(&serde_json::to_string(&entry).unwrap()).unwrap(),
        entry
    );
}

#[test]
fn what_fails_is_tried_again_for_a_week_from_its_first_failure_and_then_no_more() {
    let week = 7 * DAY;
    // It was due for long, as while the operator was away: that is no failure.
    let (_, entry) = due("acme", 1);
    let first = entry.failed(at(10 * week)).unwrap();
    assert_eq!(first.failing_since, Some(at(10 * week)));
    let text = serde_json::to_string(&first).unwrap();
    assert_eq!(serde_json::from_str::<Expiry>(&text).unwrap(), first);
    let later = first.clone().failed(at(11 * week - 1));
    assert_eq!(later, Some(first.clone()), "it keeps when it failed first");
    assert_eq!(first.failed(at(11 * week)), None);
}

#[test]
fn a_tenant_has_one_job_of_bounded_size_and_there_are_few() {
    let all: Vec<_> = (0..100)
        .map(|number| due("acme", number))
        .chain([due("globex", 1)])
        .collect();
    let found = batches(&all, &Busy::default());
    let sizes: Vec<_> = found
        .iter()
        .map(|batch| (batch.tenant.as_str(), batch.images.len()))
        .collect();
    assert_eq!(sizes, [("acme", 40), ("globex", 1)]);
    let told = serde_json::to_string(&found[0].images).unwrap();
    assert!(told.len() < 32_000, "{}", told.len());
    let busy = |running| Busy {
        tenants: BTreeSet::from(["acme".to_owned()]),
        running,
    };
    assert_eq!(batches(&all, &busy(1)).len(), 1, "not while its job is there");
    let many: Vec<_> = (0..20).map(|number| due(&format!("t{number}"), number)).collect();
    assert_eq!(batches(&many, &busy(1)).len(), 3);
    assert_eq!(
        batches(&many, &busy(0)).len(),
        4,
        "a job that failed takes nobody's place"
    );
}

#[test]
fn the_tenant_whose_image_has_waited_longest_comes_first() {
    let all: Vec<_> = ["z", "y", "x", "w", "a"]
        .into_iter()
        .map(|tenant| due(tenant, 1))
        .collect();
    let found = batches(&all, &Busy::default());
    let tenants: Vec<_> = found.iter().map(|batch| batch.tenant.as_str()).collect();
    assert_eq!(tenants, ["z", "y", "x", "w"]);
}

#[test]
fn what_a_job_has_removed_is_unlisted_and_what_it_could_not_remove_stands_in_nobodys_way() {
    let images: Vec<_> = batches(
        &(0..5).map(|number| due("acme", number)).collect::<Vec<_>>(),
        &Busy::default(),
    )
    .remove(0)
    .images;
    let told = Unstaged {
        images: vec![Fate::Removed, Fate::Failed, Fate::Absent, Fate::Unsupported],
        failure: None,
    };
    let settled = settle(&images, Some(&told), at(0));
    let kept: Vec<_> = settled
        .iter()
        .filter(|(_, settling)| *settling != Settling::Unlist)
        .map(|(path, _)| path.as_str())
        .collect();
    assert_eq!(
        kept,
        ["slot/1", "slot/4"],
        "the one that failed, and the one of which nothing is told"
    );
    let Settling::Postpone(slot) = &settled[1].1 else {
        panic!("{settled:?}")
    };
    assert!(!slot.is_over(at(3599)) && slot.is_over(at(3600 + 600)));
    let unsaid = settle(&images, None, at(0));
    assert!(
        unsaid
            .iter()
            .all(|(_, settling)| matches!(settling, Settling::Postpone(_)))
    );
}
