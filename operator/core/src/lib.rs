//! What Image Factory decides: pure functions of (spec, observed state, now) that return a plan.
//!
//! Nothing here knows a client, a clock or a database; the compiler sees to it, since the crate has no such
//! dependency. The operator carries plans out, the worker runs the steps that [`step`] describes.

pub use imagefactory_crds::reference;

pub mod audit;
pub mod build;
pub mod dispatch;
pub mod image_policy;
pub mod image_scan;
pub mod keeping;
pub mod partial;
pub mod policy;
pub mod project;
pub mod quarantine_request;
pub mod quota;
pub mod retention;
pub mod scan;
pub mod settings;
pub mod sor_record;
pub mod staging;
pub mod step;
pub mod tenant;
pub mod tenant_settings;
pub mod work;
