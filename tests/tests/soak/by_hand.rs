//! What the factory adds to a real build: a Build from its creation until its image is staged, and the very pod that the factory
//! makes for it, made by hand on the same cluster. Scan and publication are in neither. They take turns; nothing is asserted of times.
//!
//! Runs alone, and only in `make soak`: what else is built on the machine would be measured too. docs/benchmarks.md says how to
//! read it.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt, pin_mut};
use imagefactory_crds::Build;
use imagefactory_tests::TestTenant;
use imagefactory_tests::access::Person;
use imagefactory_tests::building::{LONGEST, status_of, told};
use imagefactory_tests::busy::{figure, times};
use imagefactory_tests::dockerfile::{BASE, inline};
use imagefactory_tests::image::crane;
use imagefactory_tests::wait::until;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Between two of them: what follows the end of a build is over.
const REST: Duration = Duration::from_secs(5);
/// Tag of the first attempt in staging.
const TAG: &str = "attempt-1";

/// Of each kind.
fn rounds() -> u32 {
    times("IMAGEFACTORY_BY_HAND", 8)
}

/// Two stages and a layer of 16 MiB that no other run has.
fn source() -> Value {
    inline(&format!(
        "FROM {BASE} AS made\n\
         RUN mkdir /made && for i in $(seq 1 64); do head -c 262144 /dev/urandom > /made/$i; done\n\
         RUN cat /made/* | sha256sum > /made/sum\n\
         FROM {BASE}\n\
         COPY --from=made /made /made\n\
         RUN find /made -type f | wc -l > /count\n\
         ENTRYPOINT [\"cat\", \"/count\"]\n"
    ))
}

/// When a watcher first saw what it is named by: a Build that is staged, a pod, a pod that ended well.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sight {
    Staged(String),
    Pod(String),
    Ended(String),
}

/// One watcher for all that is measured. Watching ends when it goes.
struct Watched {
    seen: Arc<Mutex<BTreeMap<Sight, Instant>>>,
    _watches: JoinSet<()>,
}

impl Watched {
    fn start(tenant: &TestTenant) -> Self {
        let seen = Arc::<Mutex<BTreeMap<Sight, Instant>>>::default();
        let mut watches = JoinSet::new();
        let into = seen.clone();
        watches.spawn(follow(tenant.api::<Build>(), move |build| {
            if build.status.as_ref().is_some_and(|status| status.staged.is_some()) {
                note(&into, Sight::Staged(build.name_any()));
            }
        }));
        let into = seen.clone();
        watches.spawn(follow(tenant.api::<Pod>(), move |pod| {
            note(&into, Sight::Pod(pod.name_any()));
            if phase_of(&pod) == "Succeeded" {
                note(&into, Sight::Ended(pod.name_any()));
            }
        }));
        Self {
            seen,
            _watches: watches,
        }
    }

    fn when(&self, sight: &Sight) -> Option<Instant> {
        lock(&self.seen).get(sight).copied()
    }
}

/// Tells of each object as it stands and as it changes.
async fn follow<K>(api: Api<K>, tell: impl Fn(K))
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let objects = watcher(api, watcher::Config::default())
        .default_backoff()
        .applied_objects();
    pin_mut!(objects);
    while let Some(object) = objects.next().await {
        if let Ok(object) = object {
            tell(object);
        }
    }
}

fn note(seen: &Mutex<BTreeMap<Sight, Instant>>, sight: Sight) {
    let now = Instant::now();
    lock(seen).entry(sight).or_insert(now);
}

fn lock(seen: &Mutex<BTreeMap<Sight, Instant>>) -> MutexGuard<'_, BTreeMap<Sight, Instant>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn phase_of(pod: &Pod) -> &str {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    phase.unwrap_or_default()
}

/// One method, built in both ways.
struct Contest<'a> {
    tenant: &'a TestTenant,
    watched: &'a Watched,
    /// Pods in a tenant's namespace are let in from the operator alone.
    pods: Api<Pod>,
    method: &'static str,
    through: Vec<Through>,
    by_hand: Vec<Duration>,
    /// What was pushed by hand, which no Build's retention takes away.
    pushed: Vec<String>,
}

/// A Build, from the request that made it.
struct Through {
    until_pod: Duration,
    until_pod_ended: Duration,
    until_staged: Duration,
}

impl Contest<'_> {
    /// A Build whose pod is made again by hand, and its pod.
    async fn pattern(&self) -> (Build, Pod) {
        let name = format!("{}-first", self.method);
        self.through_factory(&name).await;
        let pod = self.pods.get(&self.tenant.pod_of(&name).await).await;
        (self.tenant.build(&name).await, pod.expect("the build's pod is there"))
    }

    async fn through_factory(&self, name: &str) -> Through {
        let began = Instant::now();
        let spec = json!({"source": source(), "method": self.method, "retries": 0});
        self.tenant.start(name, spec).await;
        let build = self.tenant.has_succeeded(name).await;
        assert_eq!(status_of(&build).attempts, Some(1), "{}", told(&build));
        let pod = self.tenant.pod_of(name).await;
        let took = |sight| {
            let seen = self.watched.when(&sight).expect("the watcher has seen it");
            seen.saturating_duration_since(began)
        };
        Through {
            until_pod: took(Sight::Pod(pod.clone())),
            until_pod_ended: took(Sight::Ended(pod)),
            until_staged: took(Sight::Staged(name.to_owned())),
        }
    }

    async fn again(&mut self, (build, pod): &(Build, Pod), name: &str) -> Duration {
        let copy = by_hand(build, pod, name);
        let began = Instant::now();
        self.pods
            .create(&PostParams::default(), &copy)
            .await
            .expect("making a pod as the operator");
        let ended = until(&format!("pod {name} has ended"), LONGEST, async || {
            if let Some(ended) = self.watched.when(&Sight::Ended(name.to_owned())) {
                return Some(ended);
            }
            let pod = self.pods.get(name).await.expect("reading the pod");
            assert_ne!(phase_of(&pod), "Failed", "{:?}", pod.status);
            None
        })
        .await;
        let repository = in_place_of(&status_of(build).staged.as_ref().unwrap().repository, build, name);
        let manifest = self.tenant.cluster.registry().manifest(&repository, TAG).await;
        let digest = manifest.expect("it pushed what a Build would").digest;
        self.pushed.push(format!("{repository}@{digest}"));
        let pods = self.tenant.api::<Pod>();
        pods.delete(name, &DeleteParams::default())
            .await
            .expect("deleting the pod");
        ended.saturating_duration_since(began)
    }

    async fn run(&mut self) {
        let pattern = self.pattern().await;
        let first = format!("{}-by-hand-first", self.method);
        self.again(&pattern, &first).await;
        for round in 0..rounds() {
            // Forwards and backwards in turn.
            for through in [round % 2 == 0, round % 2 == 1] {
                tokio::time::sleep(REST).await;
                if through {
                    let took = self.through_factory(&format!("{}-{round}", self.method)).await;
                    self.through.push(took);
                } else {
                    let took = self.again(&pattern, &format!("{}-by-hand-{round}", self.method)).await;
                    self.by_hand.push(took);
                }
            }
        }
    }

    fn tell(&self) {
        let of = |part: fn(&Through) -> Duration| self.through.iter().map(part).collect::<Vec<_>>();
        let staged = of(|through| through.until_staged);
        let mut text = format!(
            "{}: {} builds through the factory {}, {} of the same pod by hand {}",
            self.method,
            staged.len(),
            seconds(&staged),
            self.by_hand.len(),
            seconds(&self.by_hand)
        );
        let _ = write!(
            text,
            ": {:.3}",
            median(&staged).as_secs_f64() / median(&self.by_hand).as_secs_f64()
        );
        figure(&text);
        figure(&format!(
            "{}: of a build, until its pod was there {}, that pod {}, from the pod's end until its status said staged {}",
            self.method,
            seconds(&of(|through| through.until_pod)),
            seconds(&of(|through| through.until_pod_ended.saturating_sub(through.until_pod))),
            seconds(&of(|through| through
                .until_staged
                .saturating_sub(through.until_pod_ended)))
        ));
    }
}

/// The same pod without what binds it to its Build, which pushes to a place of its own: where an image lies already, less is
/// sent.
fn by_hand(build: &Build, pod: &Pod, name: &str) -> Pod {
    let spec = serde_json::to_string(&pod.spec).expect("a pod is JSON");
    let mut copy = Pod {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: pod.namespace(),
            ..ObjectMeta::default()
        },
        spec: serde_json::from_str(&in_place_of(&spec, build, name)).expect("a pod's spec"),
        status: None,
    };
    copy.spec.as_mut().expect("a pod has a spec").node_name = None;
    copy
}

/// The text with another name where the Build's uid stands.
fn in_place_of(text: &str, build: &Build, name: &str) -> String {
    text.replace(&build.uid().expect("a Build has a uid"), name)
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => (sorted[middle - 1] + sorted[middle]) / 2,
        _ => sorted[middle],
    }
}

/// Median, least and most.
fn seconds(times: &[Duration]) -> String {
    let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    format!(
        "{:.2} s ({:.2} to {:.2})",
        median(times).as_secs_f64(),
        least.as_secs_f64(),
        most.as_secs_f64()
    )
}

async fn as_the_operator(tenant: &TestTenant) -> Client {
    let user = tenant.cluster.installation.operator_user();
    let operator = Person::service_account(&user);
    tenant.cluster.client_as(operator.user, operator.groups).await
}

#[tokio::test]
#[ignore = "run by `make soak`: it takes minutes"]
async fn a_build_through_the_factory_beside_the_same_pod_by_hand() {
    let _alone = crate::ALONE.lock().await;
    let tenant = TestTenant::create("by-hand").await;
    let watched = Watched::start(&tenant);
    let operator = as_the_operator(&tenant).await;
    for method in ["kaniko", "buildx"] {
        let mut contest = Contest {
            tenant: &tenant,
            watched: &watched,
            pods: Api::namespaced(operator.clone(), &tenant.namespace),
            method,
            through: Vec::new(),
            by_hand: Vec::new(),
            pushed: Vec::new(),
        };
        contest.run().await;
        contest.tell();
        for image in &contest.pushed {
            crane(&tenant.cluster.environment, &["delete", image]);
        }
    }
}

#[test]
fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
    let of = |times: &[u64]| {
        let times: Vec<_> = times.iter().copied().map(Duration::from_secs).collect();
        median(&times).as_secs()
    };
    assert_eq!((of(&[9, 1, 3]), of(&[8, 2, 4, 0])), (3, 3));
}
