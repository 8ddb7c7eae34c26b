//! The cases that are searched: in `make test` so far as a few seconds take each, in `make soak` as far as
//! `IMAGEFACTORY_SEARCH_STATES` says. The nearest states come first, so what is cut off are the longest ways.

use imagefactory_crds::tenant::Quota;

use super::check::Caps;
use super::cluster::May;
use super::state::Budget;
use super::{Case, search};
use crate::build::fixtures::World;
use crate::settings::RetrySettings;

/// A world with a build of that name and tenant, and one retry of each class.
fn world(tenant: &str, name: &str, most: usize, cap: usize) -> World {
    let mut world = World::new();
    let namespace = format!("tenant-{tenant}");
    world.build.metadata.name = Some(name.to_owned());
    world.build.metadata.namespace = Some(namespace.clone());
    world.build.metadata.uid = Some(format!("uid-{tenant}-{name}"));
    let tenant_object = world.tenant.as_mut().unwrap();
    tenant_object.metadata.name = Some(tenant.to_owned());
    tenant_object.spec.quota = Some(Quota {
        concurrent_builds: Some(u32::try_from(cap).unwrap()),
        ..Quota::default()
    });
    world.project.as_mut().unwrap().metadata.namespace = Some(namespace);
    world.settings.dispatch.max_builds = u32::try_from(most).unwrap();
    world.settings.builds.retries = RetrySettings {
        evicted: 1,
        infrastructure: 1,
        scan: 1,
        publish: 1,
        ..RetrySettings::default()
    };
    world
}

/// One build, alone.
fn alone(name: &'static str, may: May, budget: Budget) -> Case {
    Case {
        name,
        worlds: vec![world("acme", "hello", 1, 1)],
        caps: Caps {
            cluster: 1,
            tenants: vec![],
        },
        may,
        budget,
        limit: limit(),
    }
}

/// Builds of these tenants, each of which may have `cap` at a time, and all together `most`.
fn several(name: &'static str, tenants: &[&str], caps: (usize, usize), may: May) -> Case {
    let (most, cap) = caps;
    let worlds = ["a", "b", "c"].into_iter().zip(tenants);
    let of_tenant = |tenant: &str| (0..tenants.len()).filter(|of| tenants[*of] == tenant).collect();
    Case {
        name,
        worlds: worlds.map(|(name, tenant)| world(tenant, name, most, cap)).collect(),
        caps: Caps {
            cluster: most,
            tenants: tenants.iter().map(|tenant| (cap, of_tenant(tenant))).collect(),
        },
        may,
        budget: Budget::default(),
        limit: limit(),
    }
}

/// Most states of a search. Those that end by themselves below it are marked so.
fn limit() -> usize {
    let asked = std::env::var("IMAGEFACTORY_SEARCH_STATES").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(10_000)
}

/// The process dies at any point, also with caches that lag when it starts; requests fail, applied or not; every watch
/// lags for itself.
const OPERATOR: May = May {
    crash: true,
    lag_at_start: true,
    fail_requests: true,
    lag_apart: true,
    ..NOTHING
};
/// Watches lag together, and the process dies: what is left of the above where more builds make many more states.
const CRASHES: May = May { crash: true, ..NOTHING };
const NOTHING: May = May {
    break_steps: false,
    evict: false,
    get_stuck: false,
    fail_policy: false,
    break_jobs: false,
    publish_late: false,
    cancel: false,
    delete: false,
    crash: false,
    lag_at_start: false,
    fail_requests: false,
    lag_apart: false,
};

#[test]
fn a_good_build_whatever_becomes_of_the_operator() {
    let found = search(alone("good build", OPERATOR, Budget::default()));
    assert!(found.exhausted && found.states > 1_000, "{}", found.states);
}

#[test]
fn a_build_whose_pod_fails_or_is_evicted() {
    let may = May {
        break_steps: true,
        evict: true,
        ..OPERATOR
    };
    search(alone("failing build, evicted pod", may, Budget::default()));
}

#[test]
fn a_build_whose_scan_or_publish_fails() {
    let may = May {
        fail_policy: true,
        break_jobs: true,
        publish_late: true,
        ..OPERATOR
    };
    search(alone("failing jobs", may, Budget::default()));
}

#[test]
fn a_build_that_is_cancelled_or_deleted_at_any_point() {
    let may = May {
        cancel: true,
        delete: true,
        evict: true,
        ..OPERATOR
    };
    search(alone("cancelled, deleted", may, Budget::default()));
}

#[test]
fn a_build_whose_pod_or_job_is_deleted_by_hand() {
    let budget = Budget {
        deletions: 1,
        ..Budget::default()
    };
    search(alone("pod or job deleted by hand", OPERATOR, budget));
}

#[test]
fn a_build_whose_tenant_is_suspended_or_not_entitled_any_more_or_whose_policy_changes() {
    let budget = Budget {
        suspensions: 1,
        withdrawals: 1,
        policies: 1,
        ..Budget::default()
    };
    let may = May {
        evict: true,
        ..OPERATOR
    };
    search(alone("suspended, withdrawn, other policy", may, budget));
}

#[test]
fn a_build_that_is_stuck_or_takes_too_long() {
    let budget = Budget {
        deadlines: 1,
        ..Budget::default()
    };
    let may = May {
        get_stuck: true,
        cancel: true,
        ..OPERATOR
    };
    search(alone("stuck, timed out", may, budget));
}

#[test]
fn a_build_with_a_request_that_arrives_late() {
    let budget = Budget {
        late: 1,
        deletions: 1,
        ..Budget::default()
    };
    let may = May {
        evict: true,
        cancel: true,
        ..CRASHES
    };
    search(alone("a request arrives late", may, budget));
}

#[test]
fn two_builds_of_one_tenant_that_may_have_one() {
    let may = May {
        evict: true,
        cancel: true,
        ..CRASHES
    };
    search(several("two of one tenant", &["acme", "acme"], (5, 1), may));
}

#[test]
fn two_builds_of_two_tenants_where_one_may_run() {
    let may = May {
        delete: true,
        fail_requests: true,
        ..CRASHES
    };
    search(several("two of two tenants", &["acme", "beta"], (1, 1), may));
}

#[test]
fn three_builds_of_two_tenants_where_two_may_run() {
    search(several(
        "three of two tenants",
        &["acme", "acme", "beta"],
        (2, 1),
        CRASHES,
    ));
}

/// A check that can't fail would say nothing.
#[test]
#[should_panic(expected = "more build pods live than the cluster may have")]
fn a_cap_that_is_exceeded_is_found() {
    let mut case = several("a cap that is lower than said", &["acme", "beta"], (2, 1), CRASHES);
    case.caps.cluster = 1;
    search(case);
}
