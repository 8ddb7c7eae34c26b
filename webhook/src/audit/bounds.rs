//! Every text of an event within bounds, whatever was sent: the intake refuses a whole batch for one event that is too
//! long, so no writer may be able to make one. Pure.

use imagefactory_crds::audit::{AuditEvent, MAX_EVENT_BYTES};
use imagefactory_crds::digest::hex;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

// Longest texts, in bytes as they take them in JSON, where a control character has six. Kubernetes' own names fit.
const KIND: usize = 128;
const NAME: usize = 256;
const HASH: usize = 64;
const USER: usize = 2048;
/// One group; all of them together; how many.
const GROUP: usize = 1024;
const GROUPS: usize = 8192;
const MAX_GROUPS: usize = 64;
/// Message and reason.
const TEXT: usize = 6000;
/// All that is no text: names of fields, quotes, time, words of ours, and what stands for a `before` that is left out.
const FRAME: usize = 2048;

/// Left free: a count that grows on the spool has more digits.
const SPARE: usize = 64;

const LONGEST: usize = KIND + 4 * NAME + 6 * HASH + USER + GROUPS + 2 * TEXT + FRAME + SPARE;
const _: () = assert!(LONGEST <= MAX_EVENT_BYTES, "an event may be too long for the intake");

/// The event with everything cut that is too long. What is let go of `before` and `after` is said.
#[must_use]
pub fn bounded(mut event: AuditEvent) -> AuditEvent {
    let resource = &mut event.resource;
    cut(&mut resource.kind, KIND);
    cut(&mut event.action, KIND);
    for name in [&mut resource.namespace, &mut resource.name] {
        cut(name, NAME);
    }
    for name in [&mut event.tenant, &mut event.project].into_iter().flatten() {
        cut(name, NAME);
    }
    for hash in [&mut resource.uid, &mut event.before_hash, &mut event.after_hash] {
        cut(hash, HASH);
    }
    cut(&mut event.actor.user, USER);
    cut_groups(&mut event.actor.groups);
    for text in [Some(&mut event.message), event.reason.as_mut()].into_iter().flatten() {
        cut(text, TEXT);
    }
    if serde_json::to_vec(&event).map_or(usize::MAX, |bytes| bytes.len()) > MAX_EVENT_BYTES - SPARE {
        event.before = event.before.as_ref().map(left_out);
        event.after = event.after.as_ref().map(left_out);
    }
    event
}

/// Sha256 in hex of something's JSON.
pub(super) fn hash(of: &impl Serialize) -> String {
    // Tuples of text always serialize; an empty hash would only mean that nothing is taken for equal.
    let bytes = serde_json::to_vec(of).unwrap_or_default();
    hex(&Sha256::digest(bytes))
}

fn left_out(value: &Value) -> Value {
    json!({"leftOut": "too long", "sha256": hash(value)})
}

fn cut_groups(groups: &mut Vec<String>) {
    groups.truncate(MAX_GROUPS);
    let mut room = GROUPS;
    groups.retain_mut(|group| {
        // Its quotes and its comma take room too.
        let length = 3 + cut(group, GROUP);
        let fits = length <= room;
        room = if fits { room - length } else { 0 };
        fits
    });
}

/// Cuts a text to that many bytes of JSON, and says how many it has.
fn cut(text: &mut String, most: usize) -> usize {
    let mut length = 0;
    for (at, letter) in text.char_indices() {
        let takes = in_json(letter);
        if length + takes > most {
            text.truncate(at);
            break;
        }
        length += takes;
    }
    length
}

fn in_json(letter: char) -> usize {
    match letter {
        '"' | '\\' | '\u{8}' | '\t' | '\n' | '\u{c}' | '\r' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing::event;
    use imagefactory_crds::denial::Code;
    use imagefactory_crds::entitlement::Capability;
    use proptest::prelude::*;

    /// Short and long, of letters that take one byte and up to six.
    fn text() -> impl Strategy<Value = String> {
        let letter = prop_oneof![Just('a'), Just('"'), Just('\0'), Just('\u{7f}'), Just('ß'), Just('🦀')];
        let length = prop_oneof![Just(0usize), Just(1), Just(253), Just(3000), Just(40_000)];
        (letter, length).prop_map(|(letter, length)| letter.to_string().repeat(length))
    }

    proptest! {
        #[test]
        fn whatever_was_sent_the_intake_takes_its_event(
            names in proptest::collection::vec(text(), 8),
            groups in proptest::collection::vec(text(), 0..80),
            said in proptest::collection::vec(text(), 4),
            folded in any::<bool>(),
        ) {
            let mut sent = event("id", 0);
            sent.time = jiff::Timestamp::now();
            let [kind, namespace, name, uid, tenant, project, before, after]: [String; 8] = names.try_into().unwrap();
            sent.resource = imagefactory_crds::audit::Resource { kind, namespace, name, uid };
            (sent.tenant, sent.project) = (Some(tenant), Some(project));
            (sent.before_hash, sent.after_hash) = (before, after);
            sent.actor.groups = groups;
            let [user, message, before, after]: [String; 4] = said.try_into().unwrap();
            sent.actor.user = user;
            (sent.reason, sent.message) = (Some(message.clone()), message);
            (sent.before, sent.after) = (Some(json!([before])), Some(json!({after: 1})));
            (sent.write_key, sent.fold_key) = (hash(&1), hash(&2));
            if folded {
                (sent.code, sent.capability) = (Some(Code::TenantCapabilityNotEntitled), Some(Capability::OnDemandImageScanning));
            }
            let kept = bounded(sent);
            prop_assert_eq!(imagefactory_store::check(&kept, jiff::Timestamp::now()), Ok(()));
            prop_assert!(crate::audit::spool::fits(&kept));
        }

        #[test]
        fn a_text_is_cut_to_what_it_takes_in_json_and_not_shorter(text in any::<String>(), most in 0usize..64) {
            let mut kept = text.clone();
            let length = cut(&mut kept, most);
            prop_assert_eq!(serde_json::to_string(&kept).unwrap().len(), length + 2);
            prop_assert!(length <= most && text.starts_with(&kept));
            let next = text.chars().nth(kept.chars().count());
            prop_assert!(next.is_none_or(|letter| length + in_json(letter) > most));
        }
    }

    #[test]
    fn what_fits_is_kept_as_it_is_and_what_is_left_out_is_said() {
        let mut sent = event("id", 100);
        sent.actor.groups = vec!["a".to_owned(), "b".to_owned()];
        sent.before = Some(json!({"build": true}));
        assert_eq!(bounded(sent.clone()), sent);
        sent.after = Some(json!("x".repeat(MAX_EVENT_BYTES)));
        let kept = bounded(sent.clone());
        assert_eq!(kept.after.unwrap()["sha256"], hash(&sent.after));
        assert_eq!(kept.actor, sent.actor);
    }
}
