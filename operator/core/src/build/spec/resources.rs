//! What the container that builds asks for and what it may use at most, by the words of all who say something of it.
//!
//! A request above its limit makes a pod that the API server refuses. Where the two come from different places, the nearer
//! word counts: the other one is a default and gives way. Where they come from the same place they contradict each other, and
//! who wrote them is told.

use imagefactory_crds::build::FailureClass;
use imagefactory_crds::common::{ResourceList, Resources};
use imagefactory_crds::quantity::Quantity;
use imagefactory_crds::{Build, BuildSpec};

use super::record::is_to_begin;
use super::{Origin, template_of};
use crate::build::validated::Refusal;
use crate::tenant::amount::{AMOUNTS, Above, Amount, above, exceeds, named};

type List = fn(&Resources) -> Option<&ResourceList>;

const REQUESTS: List = |resources| resources.requests.as_ref();
const LIMITS: List = |resources| resources.limits.as_ref();

/// What is asked for of an amount, and its limit.
type Pair = (Option<Quantity>, Option<Quantity>);

/// The first of each amount, most particular first; none if nobody says anything. `unnamed` are the limits that a container
/// gets for which nobody names one.
pub(super) fn merged(layers: &[Option<&Resources>], unnamed: &ResourceList) -> Option<Resources> {
    let pairs = AMOUNTS.map(|(_, amount)| pair(layers, amount, amount(unnamed)));
    let list = |of: fn(&Pair) -> &Option<Quantity>| {
        let [cpu, memory, ephemeral_storage] = pairs.each_ref().map(|pair| of(pair).clone());
        let amounts = ResourceList {
            cpu,
            memory,
            ephemeral_storage,
        };
        (amounts != ResourceList::default()).then_some(amounts)
    };
    let merged = Resources {
        requests: list(|(request, _)| request),
        limits: list(|(_, limit)| limit),
    };
    (merged != Resources::default()).then_some(merged)
}

fn pair(layers: &[Option<&Resources>], amount: Amount, unnamed: Option<&Quantity>) -> Pair {
    let first = |list: List| {
        let mut said = layers.iter().map(|layer| layer.and_then(list).and_then(amount));
        let place = said.position(|said| said.is_some())?;
        let said = layers.get(place).copied().flatten().and_then(list).and_then(amount)?;
        Some((place, said.clone()))
    };
    match (first(REQUESTS), first(LIMITS)) {
        (Some((asks, request)), Some((caps, limit))) if exceeds(&request, &limit) && asks != caps => {
            let nearer = if asks < caps { request } else { limit };
            (Some(nearer.clone()), Some(nearer))
        }
        (Some((_, request)), None) if unnamed.is_some_and(|limit| exceeds(&request, limit)) => {
            (Some(request.clone()), Some(request))
        }
        (request, limit) => (request.map(|(_, request)| request), limit.map(|(_, limit)| limit)),
    }
}

/// Refuses a request above its limit, and what is above the platform's ceiling where status shows no attempt that goes on: what
/// was made below an earlier ceiling runs to its end.
pub(super) fn check(spec: &BuildSpec, build: &Build, origin: Origin<'_>) -> Result<(), Refusal> {
    let said = spec.resources.as_deref();
    let broken = AMOUNTS.into_iter().find_map(|(name, amount)| {
        let (request, limit) = both(said, amount)?;
        exceeds(request, limit).then_some((name, amount, request, limit))
    });
    let Some((name, amount, request, limit)) = broken else {
        return keep_below(said, build, origin);
    };
    let says = |said: Option<&Resources>| both(said, amount) == Some((request, limit));
    let (class, place) = who_says(says, build, origin);
    let next = match class {
        FailureClass::Infrastructure => "Name both in a new Build, or ask the platform's administrators to mend it.",
        _ => "Lower the request or raise the limit, and create a new Build.",
    };
    let (request, limit) = (request.as_str(), limit.as_str());
    let message = format!(
        "A build can't ask for more than it may use: in {place}, resources.requests.{name} is {request} and \
         resources.limits.{name} is {limit}."
    );
    Err(Refusal::failure(class, "InvalidSpec", message, next))
}

/// Refuses what is above the ceiling. A limit that nobody names is the namespace's, which is not. Of a request and a limit that
/// were made to agree, one is nobody's word.
fn keep_below(said: Option<&Resources>, build: &Build, origin: Origin<'_>) -> Result<(), Refusal> {
    if !is_to_begin(build) {
        return Ok(());
    }
    let ceiling = &origin.settings.tenants.max_limits;
    let lists = [("requests", REQUESTS), ("limits", LIMITS)];
    let found = lists
        .into_iter()
        .find_map(|(name, list)| Some((name, list, above(list(said?)?, ceiling)?)));
    let Some((list_name, list, Above { name, asked, most })) = found else {
        return Ok(());
    };
    // What made the two agree is the nearer word, in whichever list it stands.
    let told = |list: List| {
        move |said: Option<&Resources>| {
            said.and_then(list)
                .is_some_and(|said| named(said).any(|said| said == (name, asked)))
        }
    };
    let (list_name, (class, place)) = [list_name, "limits"]
        .into_iter()
        .zip([list, LIMITS])
        .map(|(list_name, list)| (list_name, who_says(told(list), build, origin)))
        .find(|(_, (class, _))| *class != FailureClass::Infrastructure)
        .unwrap_or_else(|| (list_name, who_says(told(list), build, origin)));
    let next = match (class, &build.spec.rerun_of) {
        (FailureClass::Infrastructure, _) => {
            "Create the Build again: what it had by default when it was taken on is above the ceiling now."
        }
        (_, Some(_)) => "Write out what is to be built in a new Build, with less.",
        (_, None) => "Name less there, and create a new Build.",
    };
    let (asked, most) = (asked.as_str(), most.as_str());
    let message = format!(
        "The platform lets a container use {most} of {name} at most: in {place}, resources.{list_name}.{name} is {asked}."
    );
    Err(Refusal::failure(class, "InvalidSpec", message, next))
}

/// Request and limit of an amount, where both are said.
fn both(said: Option<&Resources>, amount: Amount) -> Option<(&Quantity, &Quantity)> {
    let said = said?;
    REQUESTS(said).and_then(amount).zip(LIMITS(said).and_then(amount))
}

/// Where that stands, and whose it is: all that is not of the same place was made to agree.
fn who_says(says: impl Fn(Option<&Resources>) -> bool, build: &Build, origin: Origin<'_>) -> (FailureClass, String) {
    let (identity, references) = (origin.identity, origin.references);
    let template = template_of(build, origin.project).ok().flatten();
    let of_template = template.and_then(|template| template.inputs.resources.as_deref());
    let of_project = (origin.project.spec.build_defaults.as_ref()).and_then(|defaults| defaults.resources.as_ref());
    let of_tenant = references.tenant_settings.and_then(|settings| {
        let defaults = settings.spec.build_defaults.as_ref()?;
        defaults.resources.as_ref()
    });
    let name_of_template = template.map_or("", |template| &template.name);
    let places = [
        (build.spec.resources.as_deref(), "the Build".to_owned()),
        (
            of_template,
            format!("template {name_of_template} of project {}", identity.project),
        ),
        (
            of_project,
            format!("spec.buildDefaults of project {}", identity.project),
        ),
        (of_tenant, "spec.buildDefaults of the TenantSettings".to_owned()),
    ];
    if let Some((_, place)) = places.into_iter().find(|(said, _)| says(*said)) {
        return (FailureClass::Source, place);
    }
    match &build.spec.rerun_of {
        Some(of) => (FailureClass::Source, format!("what Build {} ran", of.name)),
        None if says(Some(&origin.settings.builds.default_resources)) => {
            let place = "the platform's builds.defaultResources";
            (FailureClass::Infrastructure, place.to_owned())
        }
        // Recorded of what was a default then.
        None => (FailureClass::Infrastructure, "status.resolvedSpec".to_owned()),
    }
}
