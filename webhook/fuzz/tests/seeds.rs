//! Every first input of the fuzzer holds what the fuzzer looks for, and there are some for each target.
#![allow(missing_docs, reason = "tests")]

use imagefactory_fuzz::{KINDS, REVIEW, input, run, seeds};

#[test]
fn every_seed_of_every_target_holds_what_is_fuzzed_for() {
    for target in KINDS.into_iter().chain([REVIEW]) {
        let inputs = seeds::inputs(target);
        assert!(inputs.len() > 8, "{target} has {} seeds", inputs.len());
        for bytes in &inputs {
            run(target, bytes);
        }
    }
}

#[test]
fn each_kind_has_an_object_to_begin_with_and_a_review_of_it_is_understood() {
    for kind in KINDS {
        assert!(!seeds::of(kind).is_empty(), "{kind} has no seed");
        let input = input::of_kind(kind, &input::as_changes(0, &[0; 8]));
        let object = input.asked.object.unwrap_or_else(|| panic!("{kind}"));
        assert!(object.data["spec"].is_object(), "{kind}");
    }
}
