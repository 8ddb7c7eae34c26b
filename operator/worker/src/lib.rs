//! The containers of our own image: `prepare` fetches the source and pins its bases, `load-cache` lays the project's
//! cache out, `push` sends a built image to staging, `scan` runs the scanner, `evaluate` judges what it wrote,
//! `publish` gives an image its name, `unstage` removes staged images that have expired. They run no tenant code, and take everything that tenant code wrote as hostile.

pub mod beneath;
pub mod ca;
pub mod cache;
mod disk;
pub mod entry;
pub mod evaluate;
pub mod failure;
pub mod install;
pub mod launch;
pub mod layout;
pub mod manifest;
pub mod places;
pub mod platform;
pub mod prepare;
pub mod proxy;
pub mod publish;
pub mod push;
pub mod registry;
pub mod resolve;
pub mod scan;
pub mod spelling;
pub mod unstage;
