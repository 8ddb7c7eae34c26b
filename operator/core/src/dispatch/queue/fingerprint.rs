//! What tells two queues apart, for a search that must know whether it has been in a state before.

use std::hash::{Hash, Hasher};

use super::{Doubt, Place, Queue, State};

impl Queue {
    /// Hashes all that decides what the queue does next, and nothing that only counts upwards: passes are taken from
    /// where the queue stands, and how often a build was told of its slot matters only beside a doubt about it.
    pub(crate) fn fingerprint<'a>(&self, doubts: impl Iterator<Item = &'a Doubt>, hasher: &mut impl Hasher) {
        (self.cap, self.is_open, self.running).hash(hasher);
        for (name, tenant) in &self.tenants {
            name.hash(hasher);
            tenant.fingerprint(self.pass, hasher);
        }
        let mut places: Vec<_> = self.places.iter().collect();
        places.sort_by_key(|(uid, _)| (*uid).clone());
        for (uid, place) in places {
            uid.hash(hasher);
            place.fingerprint(hasher);
        }
        for doubt in doubts {
            doubt.id.hash(hasher);
            let place = self.places.get(&doubt.id.uid);
            place.is_some_and(|place| place.told() == Some(doubt.told)).hash(hasher);
        }
    }
}

impl Place {
    fn fingerprint(&self, hasher: &mut impl Hasher) {
        (&self.ticket, self.turn, self.demand).hash(hasher);
        match &self.state {
            State::Waits(told) => told.map(|(limit, position)| (limit.as_str(), position)).hash(hasher),
            State::Holds { told } => (*told > 0).hash(hasher),
        }
    }

    fn told(&self) -> Option<u32> {
        match self.state {
            State::Holds { told } => Some(told),
            State::Waits(_) => None,
        }
    }
}
