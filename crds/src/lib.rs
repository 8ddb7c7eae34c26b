//! What users of Image Factory write and read.
//!
//! One module per kind, each with the types of its `spec` and `status`. Everything here is plain data:
//! no client, no clock, no I/O, so that the operator, the webhook, tests and outside tools can share it.
//!
//! Static rules live in the schema (patterns, bounds, CEL) where the API server enforces them; [`crd::all`]
//! is the one place where the CustomResourceDefinitions are finished and from which `charts/` is generated.

#![allow(clippy::duplicated_attributes, reason = "each printer column has the same keys")]
#![allow(unreachable_pub, reason = "kube's derive writes its own module around each kind")]

#[macro_use]
mod strings;

pub mod admission;
pub mod audit;
pub mod build;
pub mod common;
pub mod conditions;
pub mod crd;
pub mod denial;
pub mod digest;
pub mod entitlement;
pub mod home;
pub mod image_policy;
pub mod image_scan;
pub mod names;
pub mod project;
pub mod quantity;
pub mod quarantine_request;
pub mod reference;
pub mod retention;
pub mod sor_record;
pub mod subjects;
pub mod tenant;
pub mod tenant_settings;
pub mod usage;

pub use build::{Build, BuildSpec, BuildStatus};
pub use image_policy::{ImagePolicy, ImagePolicySpec, ImagePolicyStatus};
pub use image_scan::{ImageScan, ImageScanSpec, ImageScanStatus};
pub use project::{Project, ProjectSpec, ProjectStatus};
pub use quarantine_request::{QuarantineRequest, QuarantineRequestSpec, QuarantineRequestStatus};
pub use sor_record::{SorRecord, SorRecordSpec, SorRecordStatus};
pub use tenant::{Tenant, TenantSpec, TenantStatus};
pub use tenant_settings::{TenantSettings, TenantSettingsSpec, TenantSettingsStatus};

/// API group of every kind.
pub const GROUP: &str = "imagefactory.dev";
/// The one served version.
pub const VERSION: &str = "v1alpha1";
/// `kubectl get imagefactory` lists every kind.
pub const CATEGORY: &str = "imagefactory";
