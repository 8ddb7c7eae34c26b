//! What there is to be told of: every object of every audited kind, and each as it changes or goes.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{BoxStream, select_all};
use imagefactory_core::audit::Audited;
use kube::runtime::reflector::ObjectRef;

use crate::watches::{Hub, Hubs, Watched};

/// An object that was touched.
pub(super) struct Sight {
    /// As it was then.
    pub(super) object: Arc<dyn Audited>,
    /// Whether it is there no more.
    pub(super) is_gone: bool,
}

/// Each object that is applied or deleted from now on.
pub(super) fn changes(hubs: &Hubs) -> BoxStream<'static, Sight> {
    select_all([
        of(&hubs.builds),
        of(&hubs.image_scans),
        of(&hubs.quarantine_requests),
        of(&hubs.tenants),
        of(&hubs.tenant_settings),
        of(&hubs.projects),
        of(&hubs.policies),
        of(&hubs.sor_records),
    ])
    .boxed()
}

/// Every object that is there. What ends a run comes first: it is what may be removed soonest.
pub(super) fn all(hubs: &Hubs) -> Vec<Arc<dyn Audited>> {
    let mut all = present(&hubs.builds);
    all.extend(present(&hubs.image_scans));
    all.extend(present(&hubs.quarantine_requests));
    all.extend(present(&hubs.tenants));
    all.extend(present(&hubs.tenant_settings));
    all.extend(present(&hubs.projects));
    all.extend(present(&hubs.policies));
    all.extend(present(&hubs.sor_records));
    all
}

fn of<K: Watched + Audited>(hub: &Hub<K>) -> BoxStream<'static, Sight> {
    let of = hub.clone();
    hub.changes()
        .map(move |object| Sight {
            is_gone: is_gone(&of, &object),
            object,
        })
        .boxed()
}

fn present<K: Watched + Audited>(hub: &Hub<K>) -> Vec<Arc<dyn Audited>> {
    let objects = hub.store().state().into_iter();
    objects.map(|object| object as Arc<dyn Audited>).collect()
}

/// Whether the object of that uid is not there, where another of its name may be. One that does not parse any more is there,
/// and not in the store.
fn is_gone<K: Watched>(hub: &Hub<K>, object: &K) -> bool {
    let uid = &object.meta().uid;
    let known = hub.store().get(&ObjectRef::from_obj(object));
    known.is_none_or(|known| known.meta().uid != *uid)
        && !hub.malformed().iter().any(|malformed| malformed.reference.uid == *uid)
}
