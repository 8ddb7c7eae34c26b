//! The Tenant that a namespace belongs to, as the watches know it, and what lies in no tenant's namespace.

use std::sync::Arc;

use imagefactory_core::tenant::home::{is_of_former_tenant, is_terminating, tenant_of};
use imagefactory_crds::Tenant;
use kube::runtime::reflector::ObjectRef;

use crate::apply::ApplyError;
use crate::watches::Stores;

/// What a namespace is to the objects in it.
#[derive(Default)]
pub(in crate::controllers) struct Home {
    /// The Tenant whose namespace this is: the namespace carries our label, and the Tenant exists.
    pub(in crate::controllers) tenant: Option<Arc<Tenant>>,
    /// Whether it is going away: it says so, or its Tenant is gone, after which garbage collection takes it.
    pub(in crate::controllers) is_leaving: bool,
}

/// Looks a namespace up.
pub(in crate::controllers) fn home(namespace: &str, stores: &Stores) -> Home {
    let Some(namespace) = stores.namespaces.get(&ObjectRef::new(namespace)) else {
        return Home::default();
    };
    let tenant = tenant_of(&namespace).map(|tenant| stores.tenants.get(&ObjectRef::new(tenant)));
    let is_orphan = matches!(tenant, Some(None));
    Home {
        // What an earlier Tenant of the name left behind is not this one's.
        tenant: tenant
            .flatten()
            .filter(|tenant| !is_of_former_tenant(&namespace, tenant)),
        is_leaving: is_orphan || is_terminating(&namespace),
    }
}

/// Whether the operator was not let write. Admission confines it to namespaces of tenants, so of an object elsewhere
/// it may not even say that nothing is done for it; that is as it should be, and trying again helps nobody.
pub(in crate::controllers) fn is_out_of_reach(error: &ApplyError) -> bool {
    matches!(error.cause(), kube::Error::Api(status) if status.is_forbidden())
}
