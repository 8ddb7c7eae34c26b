//! Black-box tests against the deployed chart that leave one another alone: each has a tenant of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on ends and says why"
)]

mod build_sources;
mod buildkit;
mod chart_on_cluster;
mod credentials;
mod custom_builders;
mod custom_roles;
mod dashboards;
mod door_denials;
mod door_fields;
mod door_persons;
mod door_records;
mod door_roles;
mod examples;
mod failing_builds;
mod foreign_platforms;
mod full_volumes;
mod gitops_health;
mod hostile;
mod image_scans;
mod isolation;
mod kind_rules;
mod logs;
mod methods;
mod metrics;
mod own_rights;
mod placements;
mod policy;
mod proxies;
mod published_image;
mod quarantine_requests;
mod queue;
mod read_by_people;
mod readme_commands;
mod refused_builds;
mod retention;
mod retries;
mod roles;
mod schema_rules;
mod sor_records;
mod staged_images;
mod stopped_builds;
#[path = "../chart/support/mod.rs"]
mod support;
mod templates;
mod tenant_deletion;
mod tenant_namespaces;
mod tenants;
mod walls;
mod written_with_kubectl;
