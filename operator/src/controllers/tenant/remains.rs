//! What is left of a tenant that is being deleted: from the watches' stores while they say that something runs, and
//! from the API server itself before anything is taken away.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use imagefactory_core::build::names::Stage;
use imagefactory_core::build::{JobView, PodView};
use imagefactory_core::dispatch::{Claim, claim};
use imagefactory_core::image_scan;
use imagefactory_core::partial::{Job, Pod};
use imagefactory_core::tenant::deletion::Remains;
use imagefactory_core::tenant::home::{is_terminating, tenant_of};
use imagefactory_core::tenant::observed::Observed;
use imagefactory_crds::Tenant;
use imagefactory_crds::names::{LABEL_BUILD_UID, LABEL_STAGE, LABEL_TENANT, tenant_namespace};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::TenantError;
use super::observe::{find_namespace, read};
use crate::context::Context;
use crate::janitor;
use crate::watches::LABEL_JOB;

/// Looks at what is left.
pub(super) async fn observe(tenant: &Tenant, context: &Context) -> Result<Observed, TenantError> {
    let name = tenant.name_any();
    let namespace = find_namespace(&tenant_namespace(&name), context).await?;
    let mut remains = Remains {
        running: running(&name, context),
        ..Remains::default()
    };
    let is_at_home = |found: &Namespace| tenant_of(found) == Some(&name) && !is_terminating(found);
    if namespace.as_ref().is_some_and(is_at_home) && remains.running != Some(0) {
        return Ok(observed(namespace, remains));
    }
    // Stores may lag behind, and what goes now does not come again.
    let namespace = read(&Api::<Namespace>::all(context.client.clone()), &tenant_namespace(&name)).await?;
    let (pods, jobs) = tokio::try_join!(of_builds::<Pod>(&name, context), of_builds::<Job>(&name, context))?;
    remains.running = remains.running.map(|running| running.max(live(&pods, &jobs)));
    let unkept: Vec<&Pod> = pods.iter().filter(|pod| !janitor::is_safe(pod, context)).collect();
    remains.unkept = u32::try_from(unkept.len()).unwrap_or(u32::MAX);
    remains.jobs = jobs;
    remains.jobs.retain(|job| {
        let is_of = |pod: &&Pod| pod.labels().get(LABEL_JOB) == job.metadata.name.as_ref();
        job.metadata.namespace.as_deref() == Some(&context.settings.work_namespace) && !unkept.iter().any(is_of)
    });
    Ok(observed(namespace, remains))
}

fn observed(namespace: Option<Namespace>, remains: Remains) -> Observed {
    Observed {
        namespace,
        remains,
        ..Observed::default()
    }
}

/// Builds and scans that run, as far as this process knows; none before the queue is open. A build that was granted its slot runs:
/// its pod may be about to be made.
fn running(tenant: &str, context: &Context) -> Option<u32> {
    let slots = context.dispatcher.slots_of(tenant)?;
    let namespace = tenant_namespace(tenant);
    let builds = context.stores.builds.state();
    let holds = builds.iter().filter(|build| {
        build.metadata.namespace.as_deref() == Some(&namespace)
            && matches!(claim(build.status.as_ref()), Claim::Holds { .. })
    });
    let scans = context.stores.image_scans.state();
    let scanning = scans.iter().filter(|scan| {
        scan.metadata.namespace.as_deref() == Some(&namespace)
            && matches!(image_scan::claim(scan.status.as_ref()), Claim::Holds { .. })
    });
    let running = holds.count() + scanning.count();
    Some(slots.max(u32::try_from(running).unwrap_or(u32::MAX)))
}

/// Builds of which a pod or a job lives.
fn live(pods: &[Pod], jobs: &[Job]) -> u32 {
    let uid = |labels: &BTreeMap<String, String>| labels.get(LABEL_BUILD_UID).cloned();
    let builds = |pod: &&Pod| {
        pod.labels().get(LABEL_STAGE).map(String::as_str) == Some(Stage::Build.as_str())
            && !PodView::of(pod).has_ended()
    };
    let of_pods = pods.iter().filter(builds).filter_map(|pod| uid(pod.labels()));
    let unfinished = |job: &&Job| JobView::of(job, std::iter::empty()).ended.is_none();
    let of_jobs = jobs.iter().filter(unfinished).filter_map(|job| uid(job.labels()));
    let uids: BTreeSet<String> = of_pods.chain(of_jobs).collect();
    u32::try_from(uids.len()).unwrap_or(u32::MAX)
}

/// Objects of a kind that were made for the tenant's builds, where the factory makes them: elsewhere anybody may write
/// such labels.
async fn of_builds<K>(tenant: &str, context: &Context) -> Result<Vec<K>, TenantError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let which = ListParams::default().labels(&format!("{LABEL_TENANT}={tenant},{LABEL_BUILD_UID}"));
    let mut found = Vec::new();
    for namespace in [&tenant_namespace(tenant), &context.settings.work_namespace] {
        let listed = Api::<K>::namespaced(context.client.clone(), namespace)
            .list(&which)
            .await;
        let listed = listed.map_err(|source| TenantError::Observe {
            kind: K::kind(&()).into_owned(),
            name: format!("of tenant {tenant}"),
            source: Box::new(source),
        })?;
        found.extend(listed.items);
    }
    Ok(found)
}
