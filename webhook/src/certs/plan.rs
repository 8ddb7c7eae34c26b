//! What to do about certificates: a pure decision of what is held, who trusts it, and the time.

use jiff::{SignedDuration, Timestamp};

use super::Pair;
use super::held::Held;
use super::make;
use super::pair::{self, Facts, PairError};

/// How long certificates live, and for whom they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// DNS names of the leaf, sorted.
    pub names: Vec<String>,
    /// Life of a leaf.
    pub leaf: SignedDuration,
    /// Life of an authority.
    pub authority: SignedDuration,
    /// How long a new authority is only trusted before it signs: files that hold it reach pods within some minutes.
    pub settle: SignedDuration,
}

/// One step. Each is whole in itself: a replica that dies after any of them leaves what the next look goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All is well.
    Keep,
    /// Nothing that is held can be used: an authority and a leaf are made, and nothing older is trusted.
    Begin,
    /// The authority grows old: the next is made and trusted beside it.
    Prepare,
    /// The next authority is trusted everywhere: it signs from now on.
    Promote,
    /// A leaf is made.
    Renew,
    /// No leaf of the authority before is served any more: it is trusted no longer.
    Forget,
}

/// What to do next. `trusted` says whether every webhook configuration that there is holds the bundle.
#[must_use]
pub fn plan(held: &Held, trusted: bool, now: Timestamp, terms: &Terms) -> Step {
    let Some((authority, said)) = usable(held.authority.as_ref(), now) else {
        return Step::Begin;
    };
    let next = usable(held.next.as_ref(), now);
    if let Some((_, said)) = &next
        && trusted
        && now >= said.from + make::BACKDATED + terms.settle
    {
        return Step::Promote;
    }
    let leaf_is_fit = held
        .leaf
        .as_ref()
        .is_some_and(|leaf| is_fit(leaf, authority, now, terms));
    if !leaf_is_fit {
        return Step::Renew;
    }
    if next.is_none() && is_due(&said, now) {
        return Step::Prepare;
    }
    let settled = now >= said.from + make::BACKDATED + terms.settle + terms.settle;
    if held.previous.is_some() && next.is_none() && trusted && settled {
        return Step::Forget;
    }
    Step::Keep
}

/// Takes a step.
///
/// # Errors
/// When certificates can't be made.
pub fn take(step: Step, held: &Held, now: Timestamp, terms: &Terms) -> Result<Held, PairError> {
    let mut held = held.clone();
    match step {
        Step::Keep => {}
        Step::Begin => {
            held = Held {
                authority: Some(make::authority(now, terms.authority)?),
                ..Held::default()
            };
            held.leaf = leaf(&held, now, terms)?;
        }
        Step::Prepare => held.next = Some(make::authority(now, terms.authority)?),
        Step::Promote => {
            held.previous = held.authority.take().map(|authority| authority.certificate);
            held.authority = held.next.take();
            held.leaf = leaf(&held, now, terms)?;
        }
        Step::Renew => held.leaf = leaf(&held, now, terms)?,
        Step::Forget => held.previous = None,
    }
    Ok(held)
}

/// Whether a leaf does: signed by who signs, for these names, and in the first two thirds of its life.
#[must_use]
pub fn is_fit(leaf: &Pair, authority: &Pair, now: Timestamp, terms: &Terms) -> bool {
    usable(Some(leaf), now).is_some_and(|(_, said)| said.names == terms.names && !is_due(&said, now))
        && pair::is_signed_by(leaf, &authority.certificate)
}

fn leaf(held: &Held, now: Timestamp, terms: &Terms) -> Result<Option<Pair>, PairError> {
    let authority = held.authority.as_ref();
    authority
        .map(|authority| {
            // No leaf outlives who signed it.
            let until = pair::facts(authority)?.until;
            let life = terms.leaf.min(until.duration_since(now));
            make::leaf(authority, &terms.names, now, life)
        })
        .transpose()
}

fn usable(pair: Option<&Pair>, now: Timestamp) -> Option<(&Pair, Facts)> {
    let pair = pair?;
    let said = pair::facts(pair).ok()?;
    (now < said.until).then_some((pair, said))
}

/// Two thirds of a life are over.
fn is_due(said: &Facts, now: Timestamp) -> bool {
    let life = said.until.duration_since(said.from);
    now >= said.from + life.checked_mul(2).map_or(life, |twice| twice / 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        Terms {
            names: vec!["webhook.factory.svc".to_owned()],
            leaf: SignedDuration::from_hours(30 * 24),
            authority: SignedDuration::from_hours(300 * 24),
            settle: SignedDuration::from_mins(15),
        }
    }

    fn start() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn days(count: i64) -> SignedDuration {
        SignedDuration::from_hours(24 * count)
    }

    fn begun() -> Held {
        take(Step::Begin, &Held::default(), start(), &terms()).unwrap()
    }

    fn step(held: &Held, after: SignedDuration) -> Step {
        plan(held, true, start() + after, &terms())
    }

    #[test]
    fn what_was_made_is_kept_and_survives_the_secret() {
        let held = begun();
        assert_eq!(step(&held, days(1)), Step::Keep);
        assert_eq!(Held::read(&held.write()), held);
        assert_eq!(plan(&Held::default(), true, start(), &terms()), Step::Begin);
    }

    #[test]
    fn a_leaf_is_renewed_when_two_thirds_of_its_life_are_over() {
        let held = begun();
        assert_eq!(step(&held, days(19)), Step::Keep);
        assert_eq!(step(&held, days(21)), Step::Renew);
        let renewed = take(Step::Renew, &held, start() + days(21), &terms()).unwrap();
        assert_eq!(renewed.authority, held.authority);
        assert_eq!(step(&renewed, days(21)), Step::Keep);
    }

    #[test]
    fn a_leaf_for_other_names_or_of_another_authority_is_renewed() {
        let held = begun();
        let mut other = terms();
        other.names = vec!["else.factory.svc".to_owned()];
        assert_eq!(plan(&held, true, start(), &other), Step::Renew);
        let foreign = Held {
            leaf: begun().leaf,
            ..held
        };
        assert_eq!(step(&foreign, days(0)), Step::Renew);
    }

    #[test]
    fn an_authority_that_was_made_signs_only_when_everybody_trusts_it() {
        let mut held = begun();
        let old = held.bundle();
        held = take(Step::Renew, &held, start() + days(201), &terms()).unwrap();
        assert_eq!(step(&held, days(201)), Step::Prepare);
        held = take(Step::Prepare, &held, start() + days(201), &terms()).unwrap();
        assert!(held.bundle().starts_with(&old) && held.bundle().len() > old.len());
        let later = days(201) + SignedDuration::from_mins(16);
        assert_eq!(
            plan(&held, false, start() + later, &terms()),
            Step::Keep,
            "not trusted yet"
        );
        assert_eq!(
            step(&held, days(201)),
            Step::Keep,
            "trusted, and files have not settled"
        );
        assert_eq!(step(&held, later), Step::Promote);
        held = take(Step::Promote, &held, start() + later, &terms()).unwrap();
        assert!(
            held.bundle().ends_with(&old),
            "leaves of the old one may still be served"
        );
        assert_eq!(step(&held, later), Step::Keep);
        let settled = later + SignedDuration::from_mins(30);
        assert_eq!(step(&held, settled), Step::Forget);
        held = take(Step::Forget, &held, start() + settled, &terms()).unwrap();
        assert_eq!(step(&held, settled), Step::Keep);
        assert!(!held.bundle().contains(&old));
    }

    #[test]
    fn a_clock_that_moved_past_every_end_begins_anew() {
        let held = begun();
        assert_eq!(step(&held, days(31)), Step::Renew);
        assert_eq!(step(&held, days(301)), Step::Begin);
        let anew = take(Step::Begin, &held, start() + days(301), &terms()).unwrap();
        assert_eq!(step(&anew, days(301)), Step::Keep);
        assert!(anew.previous.is_none() && anew.next.is_none());
    }

    #[test]
    fn a_secret_that_somebody_spoilt_is_made_anew() {
        let mut held = begun();
        if let (Some(authority), Some(leaf)) = (&mut held.authority, &held.leaf) {
            authority.key.clone_from(&leaf.key);
        }
        assert_eq!(step(&held, days(0)), Step::Begin);
        let mut held = begun();
        held.leaf = None;
        assert_eq!(step(&held, days(0)), Step::Renew);
    }

    #[test]
    fn a_leaf_does_not_outlive_its_authority() {
        let held = begun();
        let late = start() + days(290);
        let renewed = take(Step::Renew, &held, late, &terms()).unwrap();
        let until = |pair: &Pair| pair::facts(pair).unwrap().until;
        assert_eq!(
            until(renewed.leaf.as_ref().unwrap()),
            until(held.authority.as_ref().unwrap())
        );
    }
}
