//! The queue: who has a slot, who waits, who is next.

#[cfg(test)]
mod fingerprint;
mod turns;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use imagefactory_crds::build::QueueLimit;
use jiff::SignedDuration;

use super::demand::Amounts;
use super::order::Ticket;
use super::standing::Standing;
use super::tenant::TenantQueue;
use super::{Application, BuildId, Holding};

/// What an application is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// It may start: a slot is its own until it is given back.
    Granted,
    /// It waits, and is woken.
    Waits(Standing),
    /// Nothing is known yet: the queue is not open, or the applicant looked at the past.
    NotYet,
}

/// A slot that may or may not be in use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Doubt {
    /// Whose it is.
    pub id: Arc<BuildId>,
    told: u32,
}

/// All builds that run or wait. Nothing is granted before [`Queue::open`].
#[derive(Clone, Debug)]
pub struct Queue {
    cap: u32,
    ageing: SignedDuration,
    is_open: bool,
    running: u32,
    /// Where the tenant stood that was served last. Who comes later begins here: nobody saves up turns.
    pass: u64,
    tenants: BTreeMap<Arc<str>, TenantQueue>,
    places: HashMap<Arc<str>, Place>,
    /// Tenants that can be served, by where they stand.
    ready: BTreeSet<(u64, Arc<str>)>,
    /// Tenants of which something changed since it was last looked whose standing is news.
    touched: BTreeSet<Arc<str>>,
    woken: Vec<Arc<BuildId>>,
}

#[derive(Clone, Debug)]
struct Place {
    id: Arc<BuildId>,
    /// Where it stands, or stood before it was granted a slot.
    ticket: Option<Ticket>,
    turn: u32,
    demand: Amounts,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// Waits; what it was told last.
    Waits(Option<(QueueLimit, u32)>),
    /// Has a slot; how often it was told so. Once told, it may have begun to use it.
    Holds { told: u32 },
}

impl Queue {
    /// An empty queue of so many slots, where a wait of `ageing` is worth a level of priority.
    #[must_use]
    pub fn new(cap: u32, ageing: SignedDuration) -> Self {
        Self {
            cap,
            ageing,
            is_open: false,
            running: 0,
            pass: 0,
            tenants: BTreeMap::new(),
            places: HashMap::new(),
            ready: BTreeSet::new(),
            touched: BTreeSet::new(),
            woken: Vec::new(),
        }
    }

    /// Everything that runs is known: slots are given from now on, and all that waits is woken to hear how it stands.
    pub fn open(&mut self) {
        self.is_open = true;
        let waiting = self
            .tenants
            .values()
            .flat_map(TenantQueue::all)
            .map(|ticket| ticket.id.clone());
        self.woken.extend(waiting);
        self.schedule();
    }

    /// A build asks for a slot, again and again until it has one. Asking twice is asking once.
    pub fn apply(&mut self, application: &Application) -> Slot {
        let id = application.id.clone();
        match self.places.get_mut(&id.uid) {
            Some(Place {
                turn,
                state: State::Holds { told },
                ..
            }) if *turn == application.turn => {
                *told = told.saturating_add(1);
                return Slot::Granted;
            }
            Some(place) if place.turn > application.turn => return Slot::NotYet,
            Some(_) | None => {}
        }
        self.enter(application);
        self.refresh(&id.tenant);
        self.schedule();
        self.answer(&id)
    }

    /// Takes a build out: it is gone, or does not want to run any more. A slot that it was told of stays its own while
    /// it is in doubt whether something runs on it: whoever finds out says so to [`Queue::dispel`].
    pub fn withdraw(&mut self, id: &BuildId) -> Option<Doubt> {
        let place = self.places.get(&id.uid)?;
        match place.state {
            State::Holds { told } if told > 0 => Some(Doubt {
                id: place.id.clone(),
                told,
            }),
            State::Holds { .. } | State::Waits(_) => {
                self.release(id, u32::MAX);
                None
            }
        }
    }

    /// Nothing ran on that slot when it was looked: it is given back, unless its build was told of it again meanwhile.
    pub fn dispel(&mut self, doubt: &Doubt) {
        let is_same = |place: &Place| matches!(place.state, State::Holds { told } if told == doubt.told);
        if self.places.get(&doubt.id.uid).is_some_and(is_same) {
            self.release(&doubt.id, u32::MAX);
        }
    }

    /// A build was seen to run: its slot is its own, whatever the limits say. What it takes of the quota may shrink.
    pub fn hold(&mut self, holding: &Holding) {
        let id = &holding.id;
        match self.places.get_mut(&id.uid) {
            Some(place) if place.turn > holding.turn => return,
            Some(Place {
                turn,
                demand,
                state: State::Holds { told },
                ..
            }) => {
                (*turn, *told) = (holding.turn, (*told).max(1));
                let before = *demand;
                *demand = holding.demand.unwrap_or(before);
                if before == *demand {
                    return;
                }
                if let Some(tenant) = self.tenants.get_mut(&id.tenant) {
                    tenant.replace(before, *demand);
                }
            }
            Some(_) | None => self.adopt(holding),
        }
        self.refresh(&id.tenant);
        self.schedule();
    }

    fn adopt(&mut self, holding: &Holding) {
        let id = &holding.id;
        self.forget(id);
        let demand = holding.demand.unwrap_or_default();
        self.tenant(&id.tenant, holding.limits).begin(demand);
        self.running += 1;
        let place = Place {
            id: id.clone(),
            ticket: None,
            turn: holding.turn,
            demand,
            state: State::Holds { told: 1 },
        };
        self.places.insert(id.uid.clone(), place);
    }

    /// A build's run, up to this turn, is over: its slot goes to somebody else.
    pub fn release(&mut self, id: &BuildId, turn: u32) {
        if self.places.get(&id.uid).is_some_and(|place| place.turn <= turn) {
            self.forget(id);
            self.refresh(&id.tenant);
            self.schedule();
        }
    }

    /// The API server had no room in the tenant's quota for what was granted: the build waits again at its place.
    /// It is tried when something of the tenant's ends, or when it applies again.
    pub fn refuse(&mut self, id: &BuildId) -> Slot {
        let Some(Place {
            ticket: Some(ticket),
            turn,
            demand,
            state: State::Holds { .. },
            ..
        }) = self.places.get(&id.uid)
        else {
            return Slot::NotYet;
        };
        let (ticket, turn, demand) = (ticket.clone(), *turn, *demand);
        self.forget(id);
        if let Some(tenant) = self.tenants.get_mut(&id.tenant) {
            tenant.enter(ticket.clone(), demand);
            tenant.refuse(demand, ticket.id.clone());
        }
        let place = Place {
            id: ticket.id.clone(),
            ticket: Some(ticket),
            turn,
            demand,
            state: State::Waits(None),
        };
        self.places.insert(id.uid.clone(), place);
        self.refresh(&id.tenant);
        self.schedule();
        self.answer(id)
    }

    /// Builds to be woken: they have a slot now, or their standing is news. Each call returns them once.
    pub fn woken(&mut self) -> Vec<Arc<BuildId>> {
        std::mem::take(&mut self.woken)
    }

    /// Whether the build has a slot.
    #[must_use]
    pub fn holds(&self, uid: &str) -> bool {
        let place = self.places.get(uid);
        place.is_some_and(|place| matches!(place.state, State::Holds { .. }))
    }

    /// Everybody with a slot, in order.
    #[must_use]
    pub fn holding(&self) -> Vec<Arc<BuildId>> {
        let holds = |place: &&Place| matches!(place.state, State::Holds { .. });
        let mut holding: Vec<_> = self
            .places
            .values()
            .filter(holds)
            .map(|place| place.id.clone())
            .collect();
        holding.sort();
        holding
    }

    /// Slots that a tenant's builds have; none while it is not known what runs.
    #[must_use]
    pub fn slots_of(&self, tenant: &str) -> Option<u32> {
        let running = || self.tenants.get(tenant).map_or(0, TenantQueue::running);
        self.is_open.then(running)
    }

    /// Builds of each tenant that wait and that run.
    pub fn counts(&self) -> impl Iterator<Item = (&str, usize, u32)> {
        self.tenants
            .iter()
            .map(|(name, tenant)| (&**name, tenant.waiting(), tenant.running()))
    }
}
