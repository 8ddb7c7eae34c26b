//! What a tenant uses: counted from what the watches and the queue know, without a request.

use imagefactory_crds::admission::quota::Limited;
use imagefactory_crds::usage::{Slots, Usage};
use imagefactory_crds::{Build, Tenant, TenantSettingsSpec};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::dispatch::limits;
use crate::project::count;
use crate::quota::is_refused;
use crate::settings::Settings;
use crate::tenant_settings::membership;

/// Everything that a tenant's usage is counted from.
#[derive(Clone, Copy, Debug)]
pub struct Used<'a> {
    /// The Tenant.
    pub tenant: &'a Tenant,
    /// What its owners wrote, if they have settings.
    pub settings_spec: Option<&'a TenantSettingsSpec>,
    /// Its builds.
    pub builds: &'a [&'a Build],
    /// Number of its projects.
    pub projects: usize,
    /// Number of its QuarantineRequests that have not come to their end.
    pub open_requests: usize,
    /// The time.
    pub now: Timestamp,
    /// Slots that its builds have taken.
    pub slots: u32,
    /// What the platform decided.
    pub settings: &'a Settings,
}

/// Counts.
#[must_use]
pub fn usage(used: Used<'_>) -> Usage {
    let nothing = TenantSettingsSpec::default();
    let cap = limits(used.tenant, used.settings).cap;
    let created = |build: &&Build| build.metadata.creation_timestamp.as_ref().map(|time| time.0);
    Usage {
        builds: count(used.builds.iter().copied()).builds,
        slots: Slots {
            taken: used.slots,
            limit: (cap != u32::MAX).then_some(cap),
        },
        members: membership(used.settings_spec.unwrap_or(&nothing), used.tenant).subjects,
        projects: u32::try_from(used.projects).unwrap_or(u32::MAX),
        builds_last_hour: Limited::BuildsPerHour.limit(used.tenant).map(|_| last_hour(used)),
        open_quarantine_requests: Limited::OpenQuarantineRequests
            .limit(used.tenant)
            .map(|_| u32::try_from(used.open_requests).unwrap_or(u32::MAX)),
        last_build_time: used.builds.iter().filter_map(created).max().map(Time),
    }
}

/// Those that quota refused do not count.
fn last_hour(used: Used<'_>) -> u32 {
    let is_recent = |build: &&&Build| {
        let created = build.metadata.creation_timestamp.as_ref();
        created.is_some_and(|created| used.now.duration_since(created.0) < SignedDuration::from_hours(1))
    };
    let recent = used.builds.iter().filter(is_recent);
    u32::try_from(recent.filter(|build| !is_refused(build)).count()).unwrap_or(u32::MAX)
}

/// Whether time alone will change it.
#[must_use]
pub fn is_ageing(usage: &Usage) -> bool {
    usage.builds_last_hour.is_some_and(|builds| builds > 0)
}

/// Whether more will happen without another event about it: a slot is given back a moment after its build has ended.
#[must_use]
pub fn is_moving(usage: &Usage) -> bool {
    usage.slots.taken > 0 || usage.builds.running > 0
}

#[cfg(test)]
mod tests {
    use imagefactory_crds::tenant::Quota;
    use imagefactory_crds::tenant_settings::Member;

    use super::*;
    use crate::tenant::fixtures::{self, user};

    fn build(name: &str, created: &str, status: &serde_json::Value) -> Build {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
            "metadata": {"name": name, "namespace": "tenant-acme", "creationTimestamp": created},
            "spec": {"projectRef": {"name": "web"}, "source": {"inline": {"files": []}}},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn builds_slots_members_and_projects_are_counted() {
        let (mut tenant, settings) = (fixtures::tenant(), fixtures::settings());
        tenant.spec.quota = Some(Quota {
            concurrent_builds: Some(4),
            builds_per_hour: Some(9),
            open_quarantine_requests: Some(5),
            ..Quota::default()
        });
        let running = serde_json::json!({"startTime": "2026-01-01T00:00:00Z"});
        let builds = [
            build("a", "2026-01-01T00:00:00Z", &serde_json::json!({})),
            build("c", "2026-01-03T00:00:00Z", &serde_json::json!({})),
            build("b", "2026-01-02T00:00:00Z", &running),
        ];
        let member = |name: &str, role: &str| Member {
            subject: user(name),
            role: role.into(),
            projects: Vec::new(),
        };
        // An owner who is a member too, and a member with two roles, are one person each.
        let members = vec![
            member("alice@example.com", "Admin"),
            member("bob", "Viewer"),
            member("bob", "Member"),
            member("eve", "painter"),
        ];
        let spec = TenantSettingsSpec {
            members,
            ..TenantSettingsSpec::default()
        };
        let builds: Vec<&Build> = builds.iter().collect();
        let usage = usage(Used {
            tenant: &tenant,
            settings_spec: Some(&spec),
            builds: &builds,
            projects: 2,
            open_requests: 2,
            now: "2026-01-03T00:30:00Z".parse().unwrap(),
            slots: 1,
            settings: &settings,
        });
        assert_eq!(
            (usage.builds_last_hour, usage.open_quarantine_requests),
            (Some(1), Some(2))
        );
        insta::assert_yaml_snapshot!(usage);
        assert!(is_moving(&usage) && is_ageing(&usage));
    }

    #[test]
    fn a_tenant_without_anything_uses_nothing_and_does_not_move() {
        let (tenant, settings) = (fixtures::tenant(), fixtures::settings());
        let usage = usage(Used {
            tenant: &tenant,
            settings_spec: None,
            builds: &[],
            projects: 0,
            open_requests: 0,
            now: Timestamp::UNIX_EPOCH,
            slots: 0,
            settings: &settings,
        });
        assert_eq!(
            (usage.members, usage.slots.limit, usage.last_build_time.clone()),
            (3, None, None)
        );
        assert!(!is_moving(&usage) && !is_ageing(&usage) && usage.builds_last_hour.is_none());
    }
}
