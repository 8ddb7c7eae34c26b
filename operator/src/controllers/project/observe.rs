//! All reads of the project controller: from the watches' stores.

use std::time::Duration;

use imagefactory_core::project::throttle::Due;
use imagefactory_core::project::{Counted, Situation, count};
use imagefactory_crds::admission::entitlement::Withheld;
use imagefactory_crds::{Build, Project};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::ledger::Ledger;
use super::quota::within_projects_quota;
use crate::context::Context;
use crate::controllers::tenant::home::{Home, home};

/// What was found.
pub(super) struct Observed {
    has_tenant: bool,
    is_leaving: bool,
    has_policy: bool,
    over_quota: Option<Withheld>,
    counted: Option<Counted>,
    now: Timestamp,
    /// When the builds are to be counted, if it was too early now.
    pub(super) count_in: Option<Duration>,
}

impl Observed {
    pub(super) fn situation<'a>(&'a self, project: &'a Project) -> Situation<'a> {
        Situation {
            project,
            has_tenant: self.has_tenant,
            is_leaving: self.is_leaving,
            has_policy: self.has_policy,
            over_quota: self.over_quota.as_ref(),
            counted: self.counted.as_ref(),
            now: self.now,
        }
    }
}

/// What is there of a project. Its builds are counted only in its turn: that reads all of the tenant's.
pub(super) fn observe(project: &Project, context: &Context, ledger: &Ledger) -> Observed {
    let (namespace, name) = (project.namespace().unwrap_or_default(), project.name_any());
    let now = context.now();
    let Home { tenant, is_leaving } = home(&namespace, &context.stores);
    let has_tenant = tenant.is_some();
    let over_quota = tenant.and_then(|tenant| within_projects_quota((&namespace, &name), &tenant, context).err());
    let turn = if has_tenant {
        Some(ledger.take_turn((namespace.clone(), name.clone()), now))
    } else {
        None
    };
    let policy = project.spec.policy_ref.as_ref();
    Observed {
        has_tenant,
        is_leaving,
        has_policy: policy.is_some_and(|policy| context.stores.policies.get(&ObjectRef::new(&policy.name)).is_some()),
        over_quota,
        counted: (turn == Some(Due::Now)).then(|| count_builds(&namespace, &name, context)),
        now,
        count_in: match turn {
            Some(Due::In(delay)) => Some(delay),
            Some(Due::Now) | None => None,
        },
    }
}

fn count_builds(namespace: &str, project: &str, context: &Context) -> Counted {
    let builds = context.stores.builds_by_namespace.get(namespace);
    let belongs = |build: &&Build| build.spec.project_ref.name.as_str() == project;
    count(builds.iter().map(AsRef::as_ref).filter(belongs))
}
