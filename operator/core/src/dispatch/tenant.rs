//! The part of the queue that is one tenant's: what runs, what waits and in which order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use imagefactory_crds::build::QueueLimit;

use super::demand::Amounts;
use super::order::Ticket;
use super::{BuildId, TenantLimits};

/// How far a tenant of weight 1 moves on with a slot. Large, so that dividing it by a weight loses nothing that counts.
const STRIDE: u64 = 1 << 32;

/// One tenant's part.
#[derive(Clone, Debug)]
pub(super) struct TenantQueue {
    pub(super) limits: TenantLimits,
    /// Where it stands among the tenants: the least is served next.
    pub(super) pass: u64,
    /// Under what it is listed as ready, if it is.
    pub(super) listed: Option<u64>,
    running: u32,
    used: Amounts,
    /// What the API server would not have, though it should fit, and whose it was.
    refused: Option<(Amounts, Arc<BuildId>)>,
    /// Everything that waits, in order. The next is at the front, where taking it out is cheap.
    order: VecDeque<Ticket>,
    /// The same by what it asks for: who fits is found without asking those who don't.
    lanes: BTreeMap<Amounts, BTreeSet<Ticket>>,
}

impl TenantQueue {
    pub(super) fn new(limits: TenantLimits) -> Self {
        Self {
            limits,
            pass: 0,
            listed: None,
            running: 0,
            used: Amounts::default(),
            refused: None,
            order: VecDeque::new(),
            lanes: BTreeMap::new(),
        }
    }

    pub(super) fn stride(&self) -> u64 {
        STRIDE / u64::from(self.limits.weight.max(1))
    }

    pub(super) fn waiting(&self) -> usize {
        self.order.len()
    }

    /// Everything that waits, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Ticket> {
        self.order.iter()
    }

    pub(super) fn running(&self) -> u32 {
        self.running
    }

    /// Changed limits may admit what was refused.
    pub(super) fn limit(&mut self, limits: TenantLimits) {
        if self.limits != limits {
            self.limits = limits;
            self.refused = None;
        }
    }

    pub(super) fn enter(&mut self, ticket: Ticket, demand: Amounts) {
        if let Err(index) = self.order.binary_search(&ticket) {
            self.order.insert(index, ticket.clone());
        }
        self.lanes.entry(demand).or_default().insert(ticket);
    }

    pub(super) fn leave(&mut self, ticket: &Ticket, demand: Amounts) {
        if let Ok(index) = self.order.binary_search(ticket) {
            self.order.remove(index);
        }
        if let Some(lane) = self.lanes.get_mut(&demand) {
            lane.remove(ticket);
            if lane.is_empty() {
                self.lanes.remove(&demand);
            }
        }
        self.ask_again(&ticket.id);
    }

    /// Who is served next, if somebody can be.
    pub(super) fn next(&self) -> Option<&Ticket> {
        if self.running >= self.limits.cap {
            return None;
        }
        self.lanes
            .iter()
            .filter(|(demand, _)| self.fits(**demand))
            .filter_map(|(_, lane)| lane.first())
            .min()
    }

    pub(super) fn begin(&mut self, demand: Amounts) {
        self.running += 1;
        self.used = self.used.plus(demand);
    }

    pub(super) fn end(&mut self, demand: Amounts) {
        self.running = self.running.saturating_sub(1);
        self.replace(demand, Amounts::default());
    }

    /// What runs takes something else from now on.
    pub(super) fn replace(&mut self, before: Amounts, after: Amounts) {
        self.used = self.used.minus(before).plus(after);
        self.refused = None;
    }

    /// The API server says that it does not fit: nothing that asks for as much is tried before something ends.
    pub(super) fn refuse(&mut self, demand: Amounts, id: Arc<BuildId>) {
        self.refused = Some((demand, id));
    }

    /// Whoever was refused asks anew.
    pub(super) fn ask_again(&mut self, id: &BuildId) {
        if self.refused.as_ref().is_some_and(|(_, refused)| **refused == *id) {
            self.refused = None;
        }
    }

    fn fits(&self, demand: Amounts) -> bool {
        let may_try = |(refused, _): &(Amounts, _)| demand.is_less_than(*refused);
        self.limits.room.admits(self.used, demand) && self.refused.as_ref().is_none_or(may_try)
    }

    /// Place in the order, from 1.
    pub(super) fn rank(&self, ticket: &Ticket) -> usize {
        1 + self.order.binary_search(ticket).unwrap_or_else(|index| index)
    }

    /// What holds the build at that place. The tenant's cap does where those before it fill it, however much room
    /// the cluster had: this changes seldom, where "is at its cap now" would change with every build that ends.
    pub(super) fn holds(&self, rank: usize, demand: Amounts, cluster: u32) -> QueueLimit {
        let before = usize::try_from(self.running).unwrap_or(usize::MAX).saturating_add(rank);
        if !self.fits(demand) {
            QueueLimit::QuotaLimit
        } else if self.limits.cap < cluster && before > usize::try_from(self.limits.cap).unwrap_or(usize::MAX) {
            QueueLimit::TenantLimit
        } else {
            QueueLimit::ClusterLimit
        }
    }

    /// All that decides what becomes of this tenant, where passes count from `base`: two queues that differ in nothing
    /// else go on alike.
    #[cfg(test)]
    pub(super) fn fingerprint(&self, base: u64, hasher: &mut impl std::hash::Hasher) {
        use std::hash::Hash;
        self.pass.wrapping_sub(base).hash(hasher);
        self.listed.is_some().hash(hasher);
        (self.running, self.used, &self.refused, &self.order, &self.lanes).hash(hasher);
        (self.limits.cap, self.limits.weight).hash(hasher);
    }

    /// Those whose standing may be news after one build came or went: at places that are powers of two the position
    /// has halved since the last of them, and about where the tenant's cap ends the limit changes.
    pub(super) fn candidates(&self) -> impl Iterator<Item = (usize, &Ticket)> {
        let end_of_cap = usize::try_from(self.limits.cap.saturating_sub(self.running)).unwrap_or(usize::MAX);
        let powers = (0..usize::BITS).map(|power| 1_usize << power);
        powers
            .take_while(|rank| *rank <= self.order.len())
            .chain([end_of_cap, end_of_cap.saturating_add(1)])
            .filter_map(|rank| Some((rank, self.order.get(rank.checked_sub(1)?)?)))
    }
}
