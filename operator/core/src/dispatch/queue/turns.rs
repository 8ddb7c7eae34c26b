//! Whose turn it is: entering and leaving, serving, and telling how a build stands.

use std::sync::Arc;

use super::{Place, Queue, Slot, State};
use crate::dispatch::order::Ticket;
use crate::dispatch::standing::{Standing, has_moved};
use crate::dispatch::tenant::TenantQueue;
use crate::dispatch::{Application, BuildId, TenantLimits};

impl Queue {
    /// The tenant, with these limits if they are known.
    pub(super) fn tenant(&mut self, name: &Arc<str>, limits: Option<TenantLimits>) -> &mut TenantQueue {
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
    pub(super) fn enter(&mut self, application: &Application) {
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
    pub(super) fn forget(&mut self, id: &BuildId) {
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
    pub(super) fn refresh(&mut self, name: &Arc<str>) {
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
    pub(super) fn schedule(&mut self) {
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
    pub(super) fn serve(&mut self, name: &Arc<str>) {
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
    pub(super) fn tell(&mut self, name: &Arc<str>) {
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

    pub(super) fn answer(&mut self, id: &BuildId) -> Slot {
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

    pub(super) fn standing(&self, id: &BuildId) -> Option<Standing> {
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
