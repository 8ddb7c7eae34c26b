//! The queue: who has a slot, who waits, who is next.

#[cfg(test)]
mod fingerprint;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use imagefactory_crds::build::QueueLimit;
use jiff::SignedDuration;

use super::demand::Amounts;
use super::order::Ticket;
use super::standing::{Standing, has_moved};
use super::tenant::TenantQueue;
use super::{Application, BuildId, Holding, TenantLimits};

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

    /// Builds of each tenant that wait and that run.
    pub fn counts(&self) -> impl Iterator<Item = (&str, usize, u32)> {
        self.tenants
            .iter()
            .map(|(name, tenant)| (&**name, tenant.waiting(), tenant.running()))
    }

    /// The tenant, with these limits if they are known.
    fn tenant(&mut self, name: &Arc<str>, limits: Option<TenantLimits>) -> &mut TenantQueue {
        let tenant = self
            .tenants
            .entry(name.clone())
            .or_insert_with(|| TenantQueue::new(limits.unwrap_or_else(TenantLimits::none)));
        if let Some(limits) = limits {
            tenant.limit(limits);
        }
        tenant
    }

    /// Puts a build where it belongs; one that stands there already stays.
    fn enter(&mut self, application: &Application) {
        let Application {
            id,
            turn,
            since,
            priority,
            demand,
            limits,
        } = application;
        let ticket = Ticket::new(id.clone(), *since, *priority, self.ageing);
        self.tenant(&id.tenant, Some(*limits)).ask_again(id);
        let stands = |place: &Place| {
            matches!(place.state, State::Waits(_)) && (place.ticket.as_ref(), place.demand) == (Some(&ticket), *demand)
        };
        if let Some(place) = self.places.get_mut(&id.uid).filter(|place| stands(place)) {
            place.turn = *turn;
            return;
        }
        self.forget(id);
        self.tenant(&id.tenant, Some(*limits)).enter(ticket.clone(), *demand);
        let place = Place {
            id: id.clone(),
            ticket: Some(ticket),
            turn: *turn,
            demand: *demand,
            state: State::Waits(None),
        };
        self.places.insert(id.uid.clone(), place);
    }

    /// Takes a build's place away.
    fn forget(&mut self, id: &BuildId) {
        let Some(place) = self.places.remove(&id.uid) else {
            return;
        };
        let Some(tenant) = self.tenants.get_mut(&id.tenant) else {
            return;
        };
        match (place.state, place.ticket) {
            (State::Waits(_), Some(ticket)) => tenant.leave(&ticket, place.demand),
            (State::Waits(_), None) => {}
            (State::Holds { .. }, _) => {
                tenant.end(place.demand);
                self.running = self.running.saturating_sub(1);
            }
        }
    }

    /// Lists the tenant as ready, or not, after something of it changed.
    fn refresh(&mut self, name: &Arc<str>) {
        self.touched.insert(name.clone());
        let Some(tenant) = self.tenants.get_mut(name) else {
            return;
        };
        if let Some(pass) = tenant.listed.take() {
            self.ready.remove(&(pass, name.clone()));
        } else {
            tenant.pass = tenant.pass.max(self.pass);
        }
        if tenant.next().is_some() {
            tenant.listed = Some(tenant.pass);
            self.ready.insert((tenant.pass, name.clone()));
        }
        // Kept while it stands ahead of the others: who goes and comes back must not gain a turn.
        if tenant.waiting() == 0 && tenant.running() == 0 && tenant.pass <= self.pass {
            self.tenants.remove(name);
        }
    }

    /// Gives away what is free.
    fn schedule(&mut self) {
        while self.is_open && self.running < self.cap {
            let Some((pass, name)) = self.ready.first().cloned() else {
                break;
            };
            self.pass = self.pass.max(pass);
            self.serve(&name);
        }
        for name in std::mem::take(&mut self.touched) {
            self.tell(&name);
        }
    }

    /// Gives the next of this tenant a slot.
    fn serve(&mut self, name: &Arc<str>) {
        let Some(tenant) = self.tenants.get_mut(name) else {
            return;
        };
        let next = tenant.next().cloned();
        if let Some(ticket) = next
            && let Some(place) = self.places.get_mut(&ticket.id.uid)
        {
            tenant.leave(&ticket, place.demand);
            tenant.begin(place.demand);
            tenant.pass = tenant.pass.saturating_add(tenant.stride());
            place.state = State::Holds { told: 0 };
            self.running += 1;
            self.woken.push(ticket.id);
        }
        self.refresh(name);
    }

    /// Wakes those of a tenant whose standing is news.
    fn tell(&mut self, name: &Arc<str>) {
        let Some(tenant) = self.tenants.get(name) else { return };
        for (rank, ticket) in tenant.candidates() {
            let Some(place) = self.places.get_mut(&ticket.id.uid) else {
                continue;
            };
            let now = (tenant.holds(rank, place.demand, self.cap), position(rank));
            if let State::Waits(Some(told)) = &mut place.state
                && has_moved(*told, now)
            {
                *told = now;
                self.woken.push(ticket.id.clone());
            }
        }
    }

    fn answer(&mut self, id: &BuildId) -> Slot {
        if !self.is_open {
            return Slot::NotYet;
        }
        let standing = self.standing(id);
        match (self.places.get_mut(&id.uid).map(|place| &mut place.state), standing) {
            (Some(State::Holds { told }), _) => {
                *told = told.saturating_add(1);
                self.woken.retain(|woken| **woken != *id);
                Slot::Granted
            }
            (Some(State::Waits(told)), Some(standing)) => {
                *told = Some((standing.limit, standing.position));
                Slot::Waits(standing)
            }
            (Some(State::Waits(_)) | None, _) => Slot::NotYet,
        }
    }

    fn standing(&self, id: &BuildId) -> Option<Standing> {
        let place = self.places.get(&id.uid)?;
        let tenant = self.tenants.get(&id.tenant)?;
        let rank = tenant.rank(place.ticket.as_ref()?);
        let turns = u64::from(position(rank)).saturating_sub(1);
        let served_at = tenant
            .pass
            .max(self.pass)
            .saturating_add(tenant.stride().saturating_mul(turns));
        let ahead = self
            .ready
            .range(..(served_at, id.tenant.clone()))
            .filter(|(_, other)| *other != id.tenant)
            .count();
        Some(Standing {
            limit: tenant.holds(rank, place.demand, self.cap),
            position: position(rank),
            tenants_ahead: u32::try_from(ahead).unwrap_or(u32::MAX),
        })
    }
}

fn position(rank: usize) -> u32 {
    u32::try_from(rank).unwrap_or(u32::MAX)
}
