//! Which events wake which scans.

use imagefactory_core::image_scan::is_settled;
use imagefactory_crds::names::{LABEL_IMAGE_SCAN, LABEL_TENANT, tenant_namespace};
use imagefactory_crds::{ImageScan, Tenant};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use crate::controllers::project;
use crate::controllers::tenant::digest;
use crate::runner::Wiring;
use crate::watches::{Hubs, Index, News};

/// A scan is woken by itself, by its job and the job's pod, and, until it has ended, by its project and its tenant.
pub(super) fn wiring(hubs: &Hubs) -> Wiring<ImageScan> {
    let scans = hubs.image_scans.by_namespace();
    let (of_tenant, of_project) = (scans.clone(), scans);
    let news = News::of(hubs.tenants.store(), digest);
    let of_projects = News::of(hubs.projects.store(), project::digest);
    Wiring::new("image-scan", &hubs.image_scans)
        .concurrency(4)
        .knows_its_writes()
        .also_on(hubs.pods.leads_to(|pod| scan_of(&*pod)))
        .also_on(hubs.jobs.leads_to(|job| scan_of(&*job)))
        .also_on(
            hubs.tenants
                .leads_to(move |tenant| scans_to_tell(&tenant, &news, &of_tenant)),
        )
        .also_on(hubs.projects.leads_to(move |project| {
            if !of_projects.is_news(&project) {
                return Vec::new();
            }
            let (namespace, name) = (project.namespace().unwrap_or_default(), project.name_any());
            unsettled(&of_project, &namespace, |scan| *scan.spec.project_ref.name == *name)
        }))
}

/// The scan that an object was made for, by its labels: owners do not cross namespaces.
fn scan_of<K: Resource>(object: &K) -> Option<ObjectRef<ImageScan>> {
    let labels = object.labels();
    let (tenant, scan) = (labels.get(LABEL_TENANT)?, labels.get(LABEL_IMAGE_SCAN)?);
    Some(ObjectRef::new(scan).within(&tenant_namespace(tenant)))
}

/// Scans of a tenant, where more has changed of it than what it uses.
fn scans_to_tell(tenant: &Tenant, news: &News<Tenant>, scans: &Index<ImageScan>) -> Vec<ObjectRef<ImageScan>> {
    if !news.is_news(tenant) {
        return Vec::new();
    }
    unsettled(scans, &tenant_namespace(&tenant.name_any()), |_| true)
}

fn unsettled(
    scans: &Index<ImageScan>,
    namespace: &str,
    belongs: impl Fn(&ImageScan) -> bool,
) -> Vec<ObjectRef<ImageScan>> {
    let scans = scans.get(namespace);
    let touched = scans
        .iter()
        .filter(|scan| !is_settled(scan.status.as_ref()) && belongs(scan));
    touched.map(|scan| ObjectRef::from_obj(&**scan)).collect()
}
