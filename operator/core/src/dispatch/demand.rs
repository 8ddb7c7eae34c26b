//! What a build takes of its tenant's ResourceQuota, and what the quota admits.

use imagefactory_crds::common::{ResourceList, Resources};
use imagefactory_crds::quantity::Quantity;
use imagefactory_crds::tenant::Quota;
use imagefactory_crds::{Build, Tenant};

use super::TenantLimits;
use crate::build::validated::Validated;
use crate::settings::Settings;
use crate::tenant::amount::nano;

/// Amounts of what a ResourceQuota of ours limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amounts {
    /// Thousandths of a CPU.
    pub cpu: u64,
    /// Bytes.
    pub memory: u64,
    /// Bytes of scratch space.
    pub storage: u64,
    /// Pods.
    pub pods: u64,
}

/// What a ResourceQuota admits; none is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Thousandths of a CPU.
    pub cpu: Option<u64>,
    /// Bytes.
    pub memory: Option<u64>,
    /// Bytes of scratch space.
    pub storage: Option<u64>,
    /// Pods.
    pub pods: Option<u64>,
}

impl Amounts {
    pub(super) fn plus(self, more: Self) -> Self {
        self.zip(more, u64::saturating_add)
    }

    pub(super) fn minus(self, less: Self) -> Self {
        self.zip(less, u64::saturating_sub)
    }

    /// The greater of each: what runs one after the other.
    fn either(self, other: Self) -> Self {
        self.zip(other, u64::max)
    }

    fn zip(self, other: Self, with: fn(u64, u64) -> u64) -> Self {
        Self {
            cpu: with(self.cpu, other.cpu),
            memory: with(self.memory, other.memory),
            storage: with(self.storage, other.storage),
            pods: with(self.pods, other.pods),
        }
    }

    /// Whether it asks for no more of anything, and for less of something.
    pub(super) fn is_less_than(self, other: Self) -> bool {
        self != other && self.either(other) == other
    }
}

impl Room {
    /// Whether `demand` fits beside `used`. What is not asked for does not count, as in the API server's own check.
    pub(super) fn admits(&self, used: Amounts, demand: Amounts) -> bool {
        let fits = |hard: Option<u64>, used: u64, demand: u64| {
            demand == 0 || hard.is_none_or(|hard| used.saturating_add(demand) <= hard)
        };
        fits(self.cpu, used.cpu, demand.cpu)
            && fits(self.memory, used.memory, demand.memory)
            && fits(self.storage, used.storage, demand.storage)
            && fits(self.pods, used.pods, demand.pods)
    }
}

/// What a tenant may run at a time: its own limits, the chart's for what it does not name.
#[must_use]
pub fn limits(tenant: &Tenant, settings: &Settings) -> TenantLimits {
    let (own, default) = (tenant.spec.quota.as_ref(), &settings.tenants.default_quota);
    let number = |read: fn(&Quota) -> Option<u32>| own.and_then(read).or_else(|| read(default));
    TenantLimits {
        cap: number(|quota| quota.concurrent_builds).unwrap_or(u32::MAX),
        weight: number(|quota| quota.weight).unwrap_or(1),
        room: room(own, default),
    }
}

/// What the quota of a tenant admits: the tenant's own, the chart's for what it does not name.
fn room(own: Option<&Quota>, default: &Quota) -> Room {
    let amount = |read: fn(&Quota) -> Option<&Quantity>, unit: i128| {
        own.and_then(read)
            .or_else(|| read(default))
            .and_then(|quantity| nano(quantity.as_str()))
            .map(|nano| u64::try_from(nano / unit).unwrap_or(u64::MAX))
    };
    Room {
        cpu: amount(|quota| quota.cpu.as_ref(), MILLI),
        memory: amount(|quota| quota.memory.as_ref(), ONE),
        storage: amount(|quota| quota.ephemeral_storage.as_ref(), ONE),
        pods: own.and_then(|quota| quota.pods).or(default.pods).map(u64::from),
    }
}

/// What a build takes from its start: its pod, and what comes after it in the tenant's namespace, set aside already.
#[must_use]
pub fn demand_of_build(build: &Validated, settings: &Settings) -> Amounts {
    let step = container(&settings.builds.step_resources, settings);
    // Init containers run one after the other, and before the others: the pod asks for the greatest of them. The pod
    // that publishes with the tenant's own credential is one step of ours and comes after this one: never more.
    step.either(container(&build.resources, settings))
}

/// What a build takes once its image is staged: the scan runs in the work namespace, and so does publishing, unless
/// the tenant's own credential does it.
#[must_use]
pub fn demand_after_staging(build: &Build, settings: &Settings) -> Amounts {
    let recorded = build.status.as_ref().and_then(|status| status.resolved_spec.as_ref());
    let output = recorded.map_or(build.spec.output.as_ref(), |resolved| resolved.output.as_ref());
    output
        .and_then(|output| output.push_secret_ref.as_ref())
        .map(|_| container(&settings.builds.step_resources, settings))
        .unwrap_or_default()
}

const MILLI: i128 = 1_000_000;
const ONE: i128 = 1_000_000_000;

/// What a pod with this one container counts for: its requests; where it names none its limits; where it names
/// neither what the tenant's LimitRange puts there.
fn container(resources: &Resources, settings: &Settings) -> Amounts {
    let tenants = &settings.tenants;
    let layers = [
        resources.requests.as_ref(),
        resources.limits.as_ref(),
        Some(&tenants.default_requests),
        Some(&tenants.default_limits),
        Some(&tenants.max_limits),
    ];
    let amount = |read: fn(&ResourceList) -> Option<&Quantity>, unit: i128| {
        let named = layers.iter().flatten().find_map(|list| read(list));
        let nano = named.and_then(|quantity| nano(quantity.as_str())).unwrap_or_default();
        // Rounded up, as the API server counts.
        u64::try_from((nano + unit - 1) / unit).unwrap_or(u64::MAX)
    };
    Amounts {
        cpu: amount(|list| list.cpu.as_ref(), MILLI),
        memory: amount(|list| list.memory.as_ref(), ONE),
        storage: amount(|list| list.ephemeral_storage.as_ref(), ONE),
        pods: 1,
    }
}
