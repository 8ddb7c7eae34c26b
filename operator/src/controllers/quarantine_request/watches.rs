//! Which events wake which requests.

use imagefactory_crds::names::tenant_namespace;
use imagefactory_crds::{QuarantineRequest, SorRecord, Tenant};
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::controllers::project;
use crate::controllers::tenant::digest;
use crate::runner::Wiring;
use crate::watches::{Hubs, Index, News};

/// A request is woken by itself and, until it has come to its end, by all that it rests on: its tenant and namespace,
/// its project, the records of the id that it names, its policy.
pub(super) fn wiring(hubs: &Hubs) -> Wiring<QuarantineRequest> {
    let requests = hubs.quarantine_requests.store();
    let by_record = hubs.quarantine_requests.index();
    let (of_tenant, of_namespace) = (requests.clone(), requests.clone());
    let (of_project, of_policy) = (requests.clone(), requests);
    let news = News::of(hubs.tenants.store(), digest);
    let of_projects = News::of(hubs.projects.store(), project::digest);
    Wiring::new("quarantine-request", &hubs.quarantine_requests)
        .also_on(
            hubs.tenants
                .leads_to(move |tenant| requests_to_tell(&tenant, &news, &of_tenant)),
        )
        .also_on(
            hubs.namespaces
                .leads_to(move |namespace| within(&namespace.name_any(), &of_namespace)),
        )
        .also_on(hubs.projects.leads_to(move |project| {
            if !of_projects.is_news(&project) {
                return Vec::new();
            }
            let (namespace, name) = (project.namespace(), project.name_any());
            waiting(&of_project, |request| {
                request.namespace() == namespace && *request.spec.project_ref.name == *name
            })
        }))
        .also_on(hubs.policies.leads_to(move |policy| {
            let name = policy.name_any();
            waiting(&of_policy, |request| {
                let named = request.spec.policy_ref.as_ref();
                named.is_some_and(|policy| *policy.name == *name)
            })
        }))
        .also_on(hubs.sor_records.leads_to(move |record| naming(&record, &by_record)))
}

/// Requests of a tenant, where more has changed of it than what it uses.
fn requests_to_tell(
    tenant: &Tenant,
    news: &News<Tenant>,
    requests: &Store<QuarantineRequest>,
) -> Vec<ObjectRef<QuarantineRequest>> {
    if !news.is_news(tenant) {
        return Vec::new();
    }
    within(&tenant_namespace(&tenant.name_any()), requests)
}

/// Requests that wait and name the record.
fn naming(record: &SorRecord, by_record: &Index<QuarantineRequest>) -> Vec<ObjectRef<QuarantineRequest>> {
    let requests = by_record.get(&record.spec.record_id);
    let waiting = requests.iter().filter(|request| is_waiting(request));
    waiting.map(|request| ObjectRef::from_obj(&**request)).collect()
}

fn within(namespace: &str, requests: &Store<QuarantineRequest>) -> Vec<ObjectRef<QuarantineRequest>> {
    waiting(requests, |request| {
        request.metadata.namespace.as_deref() == Some(namespace)
    })
}

fn waiting(
    requests: &Store<QuarantineRequest>,
    belongs: impl Fn(&QuarantineRequest) -> bool,
) -> Vec<ObjectRef<QuarantineRequest>> {
    requests
        .state()
        .iter()
        .filter(|request| is_waiting(request) && belongs(request))
        .map(|request| ObjectRef::from_obj(&**request))
        .collect()
}

fn is_waiting(request: &QuarantineRequest) -> bool {
    !request.status.as_ref().is_some_and(|status| status.is_settled())
}

#[cfg(test)]
mod tests {
    use imagefactory_crds::SorRecordSpec;

    use super::super::tests::{cluster, request};
    use super::*;
    use crate::controllers::tenant::mock::show;

    #[tokio::test]
    async fn a_record_wakes_the_requests_that_name_it_and_still_wait() {
        let (_, hubs) = cluster();
        show(&hubs.quarantine_requests, request());
        let mut ended = request();
        ended.metadata.name = Some("ended".to_owned());
        ended.status = serde_json::from_value(serde_json::json!({"conditions": [{
            "type": "Succeeded", "status": "False", "reason": "Withdrawn", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]}))
        .unwrap();
        show(&hubs.quarantine_requests, ended);
        let spec = |id: &str| SorRecordSpec {
            record_id: id.into(),
            ..SorRecordSpec::default()
        };
        let woken_by = |id: &str| naming(&SorRecord::new("record", spec(id)), &hubs.quarantine_requests.index());
        assert_eq!(woken_by("APP-1"), [ObjectRef::new("postgres").within("tenant-acme")]);
        assert_eq!(woken_by("APP-2"), []);
    }

    #[tokio::test]
    async fn what_a_tenant_uses_wakes_nobody() {
        let (_, hubs) = cluster();
        show(&hubs.quarantine_requests, request());
        let (news, requests) = (News::of(hubs.tenants.store(), digest), hubs.quarantine_requests.store());
        let tenant = hubs.tenants.store().state().first().map(|tenant| (**tenant).clone());
        let mut tenant = tenant.unwrap();
        let told = |tenant: &Tenant| requests_to_tell(tenant, &news, &requests).len();
        assert_eq!(told(&tenant), 1);
        assert_eq!(told(&tenant), 0);
        tenant.metadata.generation = Some(2);
        assert_eq!(told(&tenant), 1);
    }
}
