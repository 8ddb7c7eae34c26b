//! The containers of our own image: `prepare` fetches the source and pins its bases, `push` sends a built image to
//! staging, `evaluate` judges what the scanner wrote, `publish` gives an image its name, `unstage` removes staged images that have expired. They run no tenant code,
//! and take everything that tenant code wrote as hostile.

pub mod beneath;
pub mod ca;
pub mod entry;
pub mod evaluate;
pub mod failure;
pub mod layout;
pub mod manifest;
pub mod places;
pub mod prepare;
pub mod publish;
pub mod push;
pub mod registry;
pub mod unstage;
