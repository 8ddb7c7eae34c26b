//! The figures, each a way of putting the operator to work and of reading what that took.

mod audit;
mod block;
mod door;
mod fairness;
mod keeping;
mod peers;
mod rivals;
mod through;

use clap::ValueEnum;

use crate::error::Result;
use crate::output::{Contender, Figures};
use crate::rig::Places;

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scale {
    /// A minute or two: that everything works.
    Small,
    /// What the figures in the documentation were taken with.
    Full,
}

/// Numbers of builds.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Drained in each block, operator and null in turn and in the opposite order.
    pub drain: usize,
    /// Drained in each block where others' controllers are beside the operator.
    pub units: usize,
    /// Made there at each pace.
    pub units_paced: usize,
    /// Drained once by each.
    pub long_drain: usize,
    /// Made at each pace.
    pub paced: usize,
    /// Finished ones that are kept.
    pub finished: usize,
    /// Those that run beside them.
    pub live: usize,
    /// Of the tenant that floods.
    pub flood: usize,
    /// Of the small tenant, one after the other.
    pub single: usize,
    /// Tenants of the large installation that the webhook knows.
    pub tenants: usize,
    /// Their projects.
    pub projects: usize,
    /// Seconds of each block of load on the webhook and on the audit.
    pub load_seconds: u64,
    /// Builds of each kind that are asked for through the API server.
    pub asked: usize,
}

impl Scale {
    /// Numbers of builds of this scale.
    #[must_use]
    pub fn sizes(self) -> Sizes {
        match self {
            Self::Small => Sizes {
                drain: 60,
                units: 40,
                units_paced: 30,
                long_drain: 0,
                paced: 30,
                finished: 200,
                live: 10,
                flood: 150,
                single: 5,
                tenants: 100,
                projects: 300,
                load_seconds: 3,
                asked: 300,
            },
            Self::Full => Sizes {
                drain: 1000,
                units: 300,
                units_paced: 150,
                long_drain: 5000,
                paced: 300,
                finished: 10_000,
                live: 500,
                flood: 5000,
                single: 30,
                tenants: 3000,
                projects: 10_000,
                load_seconds: 20,
                asked: 3000,
            },
        }
    }
}

/// A group of figures that are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Group {
    /// Rate, reaction, requests and processor time, beside the null contender.
    Work,
    /// The same for many builds at once.
    Long,
    /// Memory, restart, and what a restart writes.
    Keeping,
    /// A small tenant beside a flood.
    Fairness,
    /// The webhook's answers over TLS, its memory, and what it costs through the API server.
    Door,
    /// The audit's store, on both databases.
    Audit,
    /// The webhook beside Gatekeeper with the same rule, which has to be built before: `hack/tools/build.sh gatekeeper`.
    Rivals,
    /// The operator beside Tekton and Shipwright, which have to be built before: `hack/tools/build.sh tekton shipwright`.
    Peers,
}

/// Takes the figures of the groups.
///
/// # Errors
/// When something does not come up or a build does not end.
pub async fn take(places: &Places, groups: &[Group], sizes: Sizes, figures: &mut Figures) -> Result<()> {
    use Contender::{Null, NullOnePod, Operator, Shipwright, Tekton};
    for group in groups {
        match group {
            Group::Work => {
                // In the opposite order the second time: what drifts while it runs falls on both alike.
                for contender in [Operator, Null, Null, Operator] {
                    block::take(places, contender, sizes, figures).await?;
                }
            }
            Group::Long if sizes.long_drain > 0 => {
                for contender in [Null, Operator] {
                    block::long(places, contender, sizes, figures).await?;
                }
            }
            Group::Long => {}
            Group::Keeping => keeping::take(places, sizes, figures).await?,
            Group::Fairness => fairness::take(places, sizes, figures).await?,
            Group::Door => {
                door::take(places, sizes, figures).await?;
                through::take(places, sizes, figures).await?;
            }
            Group::Audit => audit::take(sizes, figures).await?,
            Group::Rivals => rivals::take(places, sizes, figures).await?,
            Group::Peers => {
                let order = [Operator, Null, NullOnePod, Tekton, Shipwright];
                for contender in order.into_iter().chain(order.into_iter().rev()) {
                    peers::take(places, contender, sizes, figures).await?;
                }
            }
        }
    }
    Ok(())
}
