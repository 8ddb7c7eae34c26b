//! From the raw spec and what it refers to, to a build that can be planned, or to the reason why not.
//!
//! After this what is made and judged is read from here, and of the raw spec only whether its user has it ended. The same function runs before a pod exists and before an image is
//! published, so that an entitlement that was withdrawn meanwhile is seen.

use std::sync::Arc;

use imagefactory_crds::admission::entitlement::{self, Withheld};
use imagefactory_crds::build::{
    BuildSecret, CacheMode, CustomBuilder, Failure, FailureClass, ImageLabel, LongField, Method, NamedValue, Output,
    Placement, Proxy, RegistryMirror, ResolvedSpec, Source,
};
use imagefactory_crds::common::{DurationText, LocalRef, Resources};
use imagefactory_crds::{Build, BuildSpec, Project, Tenant, TenantSettings, conditions};
use jiff::SignedDuration;

use crate::build::names::{self as build_names, Identity};
use crate::build::sources::Unvouched;
use crate::build::spec::{self, Resolved};
use crate::build::{options, references as referred, sources};
use crate::dispatch::{self, TenantLimits};
use crate::policy::Policies;
use crate::reference::{ImageName, lies_under};
use crate::settings::Settings;
use crate::step::{AppliedPolicy, ClosedPlaces, StepSource};
use crate::work::Work;

/// How the tags begin under which a registry without the referrers API keeps what is attached to an image.
const EVIDENCE_TAG: &str = "sha256-";
/// Reason: who asked is not known.
pub const REQUESTER_UNKNOWN: &str = "RequesterUnknown";

/// The objects that a Build refers to, as they were found.
#[derive(Clone, Copy, Debug)]
pub struct References<'a> {
    /// Tenant of the namespace.
    pub tenant: Option<&'a Tenant>,
    /// The tenant's settings.
    pub tenant_settings: Option<&'a TenantSettings>,
    /// Project that the Build names.
    pub project: Option<&'a Project>,
    /// Every ImagePolicy by name.
    pub policies: &'a Policies,
    /// The Build that a rerun names.
    pub rerun_of: Option<&'a Build>,
    /// The Build whose spec holds what a rerun's record refers to.
    pub inputs_of: Option<&'a Build>,
    /// What the build's pod says that it was made for, where the status does not yet.
    pub begun_with: Option<&'a ResolvedSpec>,
    /// The namespace is going away, and everything in it.
    pub is_leaving: bool,
}

/// What goes away, and the build with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// The Tenant, once what runs has ended: nothing new starts.
    Tenant,
    /// The namespace, now: nothing is begun any more, and nothing goes on.
    Namespace,
}

/// A build that can be planned.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    /// Who it is.
    pub identity: Identity,
    /// What builds it.
    pub method: Method,
    /// Where the source comes from.
    pub source: StepSource,
    /// Secret with Git credentials.
    pub git_secret: Option<String>,
    /// ConfigMap that is the source.
    pub source_config_map: Option<String>,
    /// Directory of the source that is the context; empty for the whole source.
    pub context_dir: String,
    /// Path of the Dockerfile in the context.
    pub dockerfile: String,
    /// Stage to build.
    pub target: Option<String>,
    /// Platforms of the image; empty for that of the node.
    pub platforms: Vec<String>,
    /// The builder of method custom.
    pub custom: Option<CustomBuilder>,
    /// Secrets for the build's steps.
    pub secrets: Vec<BuildSecret>,
    /// Whether the project's cache is used.
    pub cache: CacheMode,
    /// Proxies to fetch through.
    pub proxy: Option<Proxy>,
    /// Whom others can pose as by them.
    pub unvouched: Unvouched,
    /// Where the pod runs; all of it is allowed.
    pub placement: Placement,
    /// Prefixes that everything the build pulls must lie under.
    pub pull_prefixes: Vec<String>,
    /// What is not pulled though it lies under one of them.
    pub closed: ClosedPlaces,
    /// Values for ARG lines.
    pub build_args: Vec<NamedValue>,
    /// Labels of the image.
    pub labels: Vec<ImageLabel>,
    /// Pull secrets.
    pub pull_secrets: Vec<String>,
    /// Mirrors, the build's own before the platform's.
    pub mirrors: Vec<RegistryMirror>,
    /// ConfigMap and key with the build's own certificate authorities.
    pub ca_bundle: Option<(String, String)>,
    /// Resources of the container that builds.
    pub resources: Resources,
    /// Longest run, less what earlier attempts took.
    pub timeout: SignedDuration,
    /// Repository in staging.
    pub staging_repository: String,
    /// Name with tag to publish as.
    pub output_image: String,
    /// Prefixes that the output may lie under; a credential is used for nothing else.
    pub output_prefixes: Vec<String>,
    /// The tenant's own credential for the output; none for the platform's.
    pub push_secret: Option<String>,
    /// Policies that apply; all must pass.
    pub policies: Vec<Arc<AppliedPolicy>>,
    /// What goes away, if something does.
    pub leaving: Option<Leaving>,
    /// New work of the tenant waits.
    pub suspended: bool,
    /// Nothing new starts in the project; what runs finishes.
    pub archived: bool,
    /// Why the tenant's namespace is not in place, as the Tenant says it; none where it is.
    pub not_ready: Option<String>,
    /// Priority among the tenant's builds.
    pub priority: i32,
    /// Most retries, if the build says.
    pub retries: Option<u32>,
    /// What the tenant may run at a time.
    pub limits: TenantLimits,
    /// What is recorded of the spec.
    pub resolved: Box<ResolvedSpec>,
}

/// Why a build is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// CamelCase, or a code of product.md's Denials table.
    pub reason: &'static str,
    /// Whose failure it is; none for a denial.
    pub class: Option<FailureClass>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub next: String,
    /// What is missing may just not have been seen yet: objects that were applied together arrive one by one.
    pub may_heal: bool,
}

impl Refusal {
    pub(crate) fn denial(reason: &'static str, message: &str, next: &str) -> Self {
        Self {
            reason,
            class: None,
            message: message.to_owned(),
            next: next.to_owned(),
            may_heal: false,
        }
    }

    /// As it stands in status; none for a denial.
    pub(crate) fn as_failure(&self) -> Option<Box<Failure>> {
        let failure = |class| Failure {
            class,
            reason: self.reason.to_owned(),
            container: None,
            exit_code: None,
            message: self.message.clone(),
            log: None,
            next: self.next.clone(),
        };
        self.class.map(failure).map(Box::new)
    }

    /// The build has ended: what it would run is nobody's question any more, and is not asked.
    #[must_use]
    pub fn of_ended() -> Self {
        Self::denial("Ended", "The build has ended.", "")
    }

    /// The project is archived: nothing new starts in it.
    #[must_use]
    pub fn archived(project: &str) -> Self {
        Self::withheld(&entitlement::archived(project))
    }

    /// Nobody knows who asked.
    #[must_use]
    pub fn requester_unknown(work: Work) -> Self {
        let message = format!(
            "Nobody knows who asked for this {}: it has no annotation imagefactory.dev/requested-by, which the webhook sets \
             when {} is created.",
            work.noun(),
            work.a_kind(),
        );
        let next = format!("Create a new {}, while the webhook answers.", work.kind());
        Self::denial(REQUESTER_UNKNOWN, &message, &next)
    }

    /// Whether entitlement is what refuses it, and nothing that may come yet.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        self.class.is_none() && !self.may_heal
    }

    /// What the webhook would deny, in the same words.
    #[must_use]
    pub fn withheld(withheld: &Withheld) -> Self {
        Self::denial(withheld.code.as_str(), &withheld.message, withheld.remediation)
    }

    pub(crate) fn failure(class: FailureClass, reason: &'static str, message: String, next: &str) -> Self {
        Self {
            class: Some(class),
            message,
            ..Self::denial(reason, "", next)
        }
    }

    pub(crate) fn not_found(reason: &'static str, message: String, next: &str) -> Self {
        Self {
            may_heal: true,
            ..Self::failure(FailureClass::Source, reason, message, next)
        }
    }
}

/// Checks a Build against everything that it refers to.
///
/// # Errors
/// The first reason why it can't be carried out, entitlement before everything that the tenant could mend itself.
pub fn validate(build: &Build, references: References<'_>, settings: &Settings) -> Result<Validated, Refusal> {
    let (identity, tenant) = find_tenant(build, references)?;
    let project = find_project(&identity, references)?;
    check_entitlement(tenant, project, settings)?;
    let Resolved { spec, record, lost } = spec::resolve(build, &identity, project, references, settings)?;
    let method = spec.method.unwrap_or_default();
    options::check_method(&spec, method)?;
    referred::check(build, &spec, settings)?;
    let (pull_prefixes, closed) = choose_pulls(&spec, &identity, tenant, settings)?;
    let Chosen {
        source,
        git_secret,
        source_config_map,
        context_dir,
        dockerfile,
    } = choose_source(&spec, &lost)?;
    let timeout = choose_timeout(build, &spec, settings)?;
    let (output_image, output_prefixes) = choose_output(&spec, &identity, tenant, settings)?;
    let policies = choose_policies(spec.policy_ref.as_ref(), project, tenant, references.policies, settings)?;
    let unvouched = Unvouched::of(&spec, &source, settings);
    sources::check(&source, method, unvouched, &policies)?;
    Ok(Validated {
        placement: options::check_placement(&spec, tenant, settings)?,
        method,
        platforms: spec.platforms.iter().map(|platform| platform.0.clone()).collect(),
        custom: spec.custom.map(|custom| *custom),
        secrets: spec.secrets,
        cache: spec.cache.unwrap_or_default().mode,
        proxy: spec.proxy.map(|proxy| *proxy),
        pull_prefixes,
        closed,
        unvouched,
        source,
        git_secret,
        source_config_map,
        context_dir,
        dockerfile,
        target: spec.target.as_ref().map(|stage| stage.0.clone()),
        build_args: spec.build_args,
        labels: spec.labels,
        pull_secrets: spec.pull_secrets.iter().map(|secret| secret.name.0.clone()).collect(),
        mirrors: spec.registry_mirrors.iter().chain(&settings.mirrors).cloned().collect(),
        ca_bundle: (spec.ca_bundle.as_ref()).map(|bundle| (bundle.name.0.clone(), bundle.key.0.clone())),
        resources: spec.resources.map(|resources| *resources).unwrap_or_default(),
        timeout,
        staging_repository: staging_repository(&identity, settings),
        output_image,
        output_prefixes,
        push_secret: spec.output.as_deref().and_then(push_secret),
        policies,
        leaving: leaving(tenant, references.is_leaving),
        suspended: tenant.spec.suspended,
        archived: project.spec.archived,
        not_ready: not_in_place(tenant),
        priority: spec.priority.unwrap_or_default(),
        retries: spec.retries,
        limits: dispatch::limits(tenant, settings),
        resolved: record,
        identity,
    })
}

/// The tenant's own credential for the output, by its name.
fn push_secret(output: &Output) -> Option<String> {
    output.push_secret_ref.as_ref().map(name_of)
}

/// Where the image waits for its verdict.
fn staging_repository(identity: &Identity, settings: &Settings) -> String {
    build_names::staging_repository(
        &settings.staging.prefix,
        &identity.tenant,
        &identity.project,
        &identity.uid,
    )
}

/// The timeout, less what earlier attempts took of it.
fn choose_timeout(build: &Build, spec: &BuildSpec, settings: &Settings) -> Result<SignedDuration, Refusal> {
    let timeout = spec.timeout.as_ref().unwrap_or(&settings.builds.default_timeout);
    let used = build.status.as_ref().and_then(|status| status.used_seconds);
    let used = SignedDuration::from_secs(used.unwrap_or_default().into());
    let left = parse_duration(timeout)?.saturating_sub(used);
    Ok(left.max(SignedDuration::from_secs(1)))
}

fn find_tenant<'a>(build: &Build, references: References<'a>) -> Result<(Identity, &'a Tenant), Refusal> {
    let identity = Identity::of(build);
    match (identity, references.tenant) {
        (Some(identity), Some(tenant)) => Ok((identity, tenant)),
        (_, _) => Err(Refusal::not_found(
            "TenantNotFound",
            format!(
                "Namespace {} belongs to no tenant.",
                build.metadata.namespace.as_deref().unwrap_or_default()
            ),
            "Create the Build in the namespace of a tenant, tenant-<name>.",
        )),
    }
}

fn find_project<'a>(identity: &Identity, references: References<'a>) -> Result<&'a Project, Refusal> {
    references.project.ok_or_else(|| {
        Refusal::not_found(
            "ProjectNotFound",
            format!(
                "Project {} does not exist in namespace {}.",
                identity.project, identity.namespace
            ),
            "Create the Project, or name another in spec.projectRef of a new Build.",
        )
    })
}

/// Entitlement: what the webhook asks too, asked again before a pod exists and before an image is published.
fn check_entitlement(tenant: &Tenant, project: &Project, settings: &Settings) -> Result<(), Refusal> {
    entitlement::may_build(Some(tenant), Some(project), settings.onboarding)
        .map_err(|withheld| Refusal::withheld(&withheld))
}

/// The source that was chosen, with what must be mounted for it.
struct Chosen {
    source: StepSource,
    git_secret: Option<String>,
    source_config_map: Option<String>,
    context_dir: String,
    dockerfile: String,
}

impl Chosen {
    fn of(source: StepSource, written: Option<&Source>) -> Self {
        Self {
            source,
            git_secret: None,
            source_config_map: None,
            context_dir: written
                .and_then(|source| source.context_dir.as_deref())
                .unwrap_or_default()
                .to_owned(),
            dockerfile: written
                .and_then(|source| source.dockerfile.as_deref())
                .unwrap_or("Dockerfile")
                .to_owned(),
        }
    }
}

/// The recipe or the source. One that is lost is of use to nobody: the attempt that goes on has it, and no other is begun.
fn choose_source(spec: &BuildSpec, lost: &[LongField]) -> Result<Chosen, Refusal> {
    if [LongField::Source, LongField::Recipe]
        .iter()
        .any(|field| lost.contains(field))
    {
        return Ok(Chosen::of(StepSource::Inline { files: Vec::new() }, None));
    }
    if let Some(recipe) = &spec.recipe {
        return Ok(Chosen::of(StepSource::Recipe(recipe.clone()), None));
    }
    let written = spec.source.as_deref();
    match written {
        Some(Source { git: Some(git), .. }) => {
            let git_secret = git.secret_ref.as_ref().map(name_of);
            let source = StepSource::Git {
                url: git.url.0.clone(),
                revision: git.revision.as_ref().map(|revision| revision.0.clone()),
                credentials: git_secret.is_some(),
            };
            Ok(Chosen {
                git_secret,
                ..Chosen::of(source, written)
            })
        }
        Some(Source {
            inline: Some(inline), ..
        }) => Ok(Chosen::of(
            StepSource::Inline {
                files: inline.files.clone(),
            },
            written,
        )),
        Some(Source {
            config_map: Some(config_map),
            ..
        }) => {
            let source_config_map = Some(config_map.name.0.clone());
            Ok(Chosen {
                source_config_map,
                ..Chosen::of(StepSource::ConfigMap, written)
            })
        }
        Some(Source { oci: Some(oci), .. }) => {
            let image = oci.image.0.clone();
            Ok(Chosen::of(StepSource::Oci { image }, written))
        }
        Some(_) | None => Err(Refusal::failure(
            FailureClass::Source,
            "SourceMissing",
            "Neither the Build nor its Project names a source.".to_owned(),
            "Name spec.source or spec.recipe in a new Build, or spec.source in the Project.",
        )),
    }
}

/// The name to publish as, and the prefixes that bind the credential: the platform's for this tenant and those that the Tenant lists.
fn choose_output(
    spec: &BuildSpec,
    identity: &Identity,
    tenant: &Tenant,
    settings: &Settings,
) -> Result<(String, Vec<String>), Refusal> {
    let own = format!("{}/{}", settings.output.prefix, identity.tenant);
    let prefixes: Vec<String> = std::iter::once(own.clone())
        .chain(tenant.spec.registries.iter().map(|prefix| prefix.0.clone()))
        .collect();
    let default = spec::default_image(identity, settings);
    let named = spec.output.as_ref().and_then(|output| output.image.as_ref());
    if let Some(tag) = ImageName::parse(named.map_or(default.as_str(), |image| image.0.as_str()))
        .and_then(|name| name.tag)
        .filter(|tag| tag.starts_with(EVIDENCE_TAG))
    {
        return Err(Refusal::failure(
            FailureClass::Publish,
            "OutputNotAllowed",
            format!("Tags that begin with {EVIDENCE_TAG} are where registries keep what is known of an image: {tag}."),
            "Choose another tag, or another name, in a new Build.",
        ));
    }
    let Some(written) = named.filter(|image| image.0 != default) else {
        return Ok((default, prefixes));
    };
    // Whatever the Tenant lists, the platform's own prefixes hold a part for each tenant and staging is nobody's.
    let is_others = |repository: &str| {
        (lies_under(repository, &settings.output.prefix) && !lies_under(repository, &own))
            || lies_under(repository, &settings.staging.prefix)
    };
    let allowed = ImageName::parse(written)
        .filter(|name| name.digest.is_none())
        .filter(|name| prefixes.iter().any(|prefix| lies_under(&name.repository, prefix)))
        .filter(|name| !is_others(&name.repository));
    match allowed {
        Some(name) => Ok((
            format!("{}:{}", name.repository, name.tag.as_deref().unwrap_or("latest")),
            prefixes,
        )),
        None => Err(Refusal::failure(
            FailureClass::Publish,
            "OutputNotAllowed",
            format!(
                "The tenant may not publish to {written}. It may publish under {}.",
                prefixes.join(", ")
            ),
            "Choose a name under one of these prefixes in a new Build, or ask a platform administrator to list the registry in the Tenant.",
        )),
    }
}

/// The tenant's policy, or the chart's default, always; the project's and the run's own beside it.
pub(crate) fn choose_policies(
    own: Option<&LocalRef>,
    project: &Project,
    tenant: &Tenant,
    policies: &Policies,
    settings: &Settings,
) -> Result<Vec<Arc<AppliedPolicy>>, Refusal> {
    let of_tenant = tenant
        .spec
        .policy_ref
        .as_ref()
        .map(name_of)
        .or_else(|| settings.default_policy.clone());
    let Some(of_tenant) = of_tenant else {
        return Err(Refusal::failure(
            FailureClass::Policy,
            "PolicyMissing",
            "No ImagePolicy applies to this tenant, so nothing can be judged.".to_owned(),
            "Ask a platform administrator to set spec.policyRef of the Tenant or the chart's default policy.",
        ));
    };
    let mut wanted = vec![of_tenant];
    for more in [project.spec.policy_ref.as_ref(), own]
        .into_iter()
        .flatten()
        .map(name_of)
    {
        if !wanted.contains(&more) {
            wanted.push(more);
        }
    }
    wanted
        .into_iter()
        .map(|name| match policies.get(&name) {
            Some(policy) => Ok(policy.clone()),
            None => Err(Refusal {
                class: Some(FailureClass::Policy),
                ..Refusal::not_found(
                    "PolicyNotFound",
                    format!("ImagePolicy {name} does not exist."),
                    "Create the ImagePolicy, or name another.",
                )
            }),
        })
        .collect()
}

/// Prefixes that the build may pull from; what it names itself lies under them.
fn choose_pulls(
    spec: &BuildSpec,
    identity: &Identity,
    tenant: &Tenant,
    settings: &Settings,
) -> Result<(Vec<String>, ClosedPlaces), Refusal> {
    let prefixes = options::pull_prefixes(tenant, &identity.tenant, settings);
    let closed = options::closed_places(tenant, &identity.tenant, settings);
    options::check_pulls(spec, &prefixes, &closed)?;
    Ok((prefixes, closed))
}

/// What goes away, if anything does.
pub(crate) fn leaving(tenant: &Tenant, namespace_leaves: bool) -> Option<Leaving> {
    let of_tenant = tenant.metadata.deletion_timestamp.as_ref().map(|_| Leaving::Tenant);
    if namespace_leaves {
        Some(Leaving::Namespace)
    } else {
        of_tenant
    }
}

/// What the Tenant itself says of why it is not ready.
pub(crate) fn not_in_place(tenant: &Tenant) -> Option<String> {
    let status = tenant.status.as_ref();
    let ready = status.and_then(|status| conditions::find(&status.conditions, conditions::READY));
    let has_namespace = status.is_some_and(|status| status.namespace.is_some());
    match ready {
        Some(ready) if ready.status == "True" && has_namespace => None,
        Some(ready) => Some(format!("The tenant is not ready: {}: {}", ready.reason, ready.message)),
        None => Some("The tenant's namespace is being put in place.".to_owned()),
    }
}

fn name_of(reference: &LocalRef) -> String {
    reference.name.0.clone()
}

/// Reads `1h30m`.
pub(crate) fn parse_duration(text: &DurationText) -> Result<SignedDuration, Refusal> {
    text.parse::<SignedDuration>()
        .ok()
        .filter(|duration| *duration >= SignedDuration::from_secs(10) && *duration <= SignedDuration::from_hours(24))
        .ok_or_else(|| {
            Refusal::failure(
                FailureClass::Source,
                "InvalidTimeout",
                format!("{text} is not a timeout between 10s and 24h."),
                "Write a timeout as in 30m in a new Build.",
            )
        })
}
