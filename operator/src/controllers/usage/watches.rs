//! Which events change what a tenant uses.

use imagefactory_crds::Tenant;
use imagefactory_crds::names::tenant_of_namespace;
use kube::Resource;
use kube::runtime::reflector::ObjectRef;

use crate::runner::Wiring;
use crate::watches::{Hubs, News};

/// A tenant is counted again after something of its own: itself (limits, owners), its builds, projects and settings.
pub(super) fn wiring(hubs: &Hubs) -> Wiring<Tenant> {
    let news = News::of(hubs.tenants.store(), super::super::tenant::digest);
    Wiring::new("usage", &hubs.tenants)
        .only(move |tenant| news.is_news(tenant))
        .also_on(hubs.builds.leads_to(|build| tenant_of(&*build)))
        .also_on(hubs.projects.leads_to(|project| tenant_of(&*project)))
        .also_on(hubs.quarantine_requests.leads_to(|request| tenant_of(&*request)))
        .also_on(hubs.tenant_settings.leads_to(|settings| tenant_of(&*settings)))
}

fn tenant_of<K: Resource>(object: &K) -> Option<ObjectRef<Tenant>> {
    tenant_of_namespace(object.meta().namespace.as_deref()?).map(ObjectRef::new)
}
