//! Image Factory's admission webhook: what comes in as a review is looked up in caches that watches fill, decided by the
//! rules in `imagefactory_crds::admission`, recorded, and answered. It asks nobody to decide.

pub mod answer;
pub mod audit;
pub mod caches;
pub mod certs;
pub mod config;
pub mod door;
pub mod health;
pub mod metrics;
pub mod news;
pub mod restore;
pub mod review;
pub mod router;
pub mod serve;
pub mod settings;
pub mod stamp;
pub mod startup;
pub mod subject;

pub use imagefactory_serving::chain;
