//! Which schedules are run, and their sum.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use tokio::runtime::{Builder, Handle};

use crate::fault::{EventFault, Fault, RequestFault, Schedule};
use crate::lab::Lab;
use crate::run::{Ran, run};
use crate::scenario::{Scenario, all};
use crate::world::lock;

/// What came of all schedules.
#[derive(Default)]
pub struct Summary {
    scenarios: usize,
    run: usize,
    happened: usize,
    seconds: u64,
    /// Each schedule that failed, with what is wrong and how to run it again.
    pub failed: Vec<String>,
}

impl Summary {
    /// A line for people and for `hack/test/soak.sh`.
    pub fn line(&self) -> String {
        let Self {
            scenarios,
            run,
            happened,
            seconds,
            failed,
        } = self;
        let failed = failed.len();
        format!(
            "faults: {run} schedules of {scenarios} scenarios, {happened} came to pass, {failed} failed, {seconds} s"
        )
    }
}

/// What the environment asks for.
struct Asked {
    /// One schedule.
    one: Option<Schedule>,
    /// So many, by chance.
    count: usize,
    seed: u64,
    /// Scenarios whose names hold this.
    scenarios: String,
    /// So many of these, by chance.
    sample: usize,
    threads: usize,
}

impl Asked {
    fn from_environment() -> Self {
        let number = |name: &str, or: usize| {
            let text = std::env::var(name).ok();
            text.map_or(or, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
        };
        let one = std::env::var("IMAGEFACTORY_FAULT").ok();
        Self {
            one: one.map(|text| serde_json::from_str(&text).expect("IMAGEFACTORY_FAULT is a schedule")),
            count: number("IMAGEFACTORY_FAULT_SCHEDULES", 120),
            seed: number("IMAGEFACTORY_FAULT_SEED", 1) as u64,
            scenarios: std::env::var("IMAGEFACTORY_FAULT_SCENARIOS").unwrap_or_default(),
            sample: number("IMAGEFACTORY_FAULT_SAMPLE", usize::MAX),
            threads: number("IMAGEFACTORY_FAULT_THREADS", 12),
        }
    }

    fn scenarios(&self) -> Vec<Arc<Scenario>> {
        let wanted = all().into_iter().filter(|scenario| self.wants(scenario));
        let mut wanted: Vec<_> = wanted.map(Arc::new).collect();
        if self.sample < wanted.len() {
            wanted.shuffle(&mut StdRng::seed_from_u64(self.seed));
            wanted.truncate(self.sample);
        }
        wanted
    }

    fn wants(&self, scenario: &Scenario) -> bool {
        match &self.one {
            Some(schedule) => schedule.scenario == scenario.name,
            None => scenario.name.contains(&self.scenarios),
        }
    }
}

/// A scenario with what it does without faults.
struct Known {
    scenario: Arc<Scenario>,
    plain: Ran,
}

/// Runs what is asked for.
pub fn run_all() -> Summary {
    let asked = Asked::from_environment();
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let begun = Instant::now();
    let lab = runtime.block_on(Lab::start());
    println!("the API server is up after {:?}", begun.elapsed());
    let begun = Instant::now();
    let scenarios = asked.scenarios();
    let known = each(asked.threads, scenarios, |scenario| {
        known(&lab, runtime.handle(), &scenario)
    });
    let mut summary = Summary {
        scenarios: known.len(),
        ..Summary::default()
    };
    for Known { scenario, plain } in known.iter().filter(|known| !known.plain.problems.is_empty()) {
        summary.failed.push(format!(
            "{}, without faults: {}",
            scenario.name,
            plain.problems.join("\n  ")
        ));
    }
    println!("{} scenarios without faults after {:?}", known.len(), begun.elapsed());
    let known: BTreeMap<String, Known> = known
        .into_iter()
        .map(|known| (known.scenario.name.clone(), known))
        .collect();
    let schedules = chosen(&asked, &known);
    let (count, done) = (schedules.len(), AtomicUsize::new(0));
    let ran = each(asked.threads, schedules, |schedule| {
        let of = &known[&schedule.scenario];
        let began = Instant::now();
        let ran = runtime.block_on(run(&lab, &of.scenario, &schedule.faults, Some(&of.plain.state)));
        told(
            &schedule,
            &ran,
            began.elapsed(),
            (done.fetch_add(1, Ordering::Relaxed) + 1, count),
        );
        (schedule, ran)
    });
    for (schedule, ran) in ran {
        summary.run += 1;
        summary.happened += usize::from(ran.happened);
        if !ran.problems.is_empty() {
            summary.failed.push(failure(&schedule, &ran.problems));
        }
    }
    summary.seconds = begun.elapsed().as_secs();
    summary
}

fn known(lab: &Lab, io: &Handle, scenario: &Arc<Scenario>) -> Known {
    Known {
        scenario: scenario.clone(),
        plain: io.block_on(run(lab, scenario, &[], None)),
    }
}

/// A failure is told at once: a long run need not end for it to be seen.
fn told(schedule: &Schedule, ran: &Ran, took: Duration, (done, count): (usize, usize)) {
    if !ran.problems.is_empty() {
        println!("FAILED after {took:?}: {}", failure(schedule, &ran.problems));
    }
    if done % 100 == 0 {
        println!("{done} of {count} schedules");
    }
    if std::env::var_os("IMAGEFACTORY_FAULT_TELL").is_some() {
        println!("{took:?} {}", serde_json::to_string(schedule).unwrap());
    }
}

fn failure(schedule: &Schedule, problems: &[String]) -> String {
    let again = serde_json::to_string(schedule).unwrap();
    format!("IMAGEFACTORY_FAULT='{again}'\n  {}", problems.join("\n  "))
}

fn chosen(asked: &Asked, known: &BTreeMap<String, Known>) -> Vec<Schedule> {
    if let Some(schedule) = &asked.one {
        return vec![schedule.clone()];
    }
    let mut all: Vec<Schedule> = Vec::new();
    let mut random = StdRng::seed_from_u64(asked.seed);
    for (name, known) in known {
        let singles = singles(&known.plain);
        let schedule = |faults: Vec<Fault>| Schedule {
            scenario: name.clone(),
            faults,
        };
        all.push(schedule(Vec::new()));
        // Two or three faults in one run, as many as an eighth of the single ones.
        for _ in 0..singles.len() / 8 {
            let several =
                (0..random.random_range(2..=3)).filter_map(|_| singles.get(random.random_range(0..singles.len())));
            all.push(schedule(several.cloned().collect()));
        }
        all.extend(singles.into_iter().map(|fault| schedule(vec![fault])));
    }
    println!("{} schedules in all", all.len());
    all.shuffle(&mut random);
    all.truncate(asked.count);
    all
}

/// Every fault at every request and event of a run.
fn singles(plain: &Ran) -> Vec<Fault> {
    let requests = plain.trace.iter().flat_map(|(at, nth)| {
        RequestFault::of(at).into_iter().map(move |what| Fault::Request {
            at: at.clone(),
            nth: *nth,
            what,
        })
    });
    let events = plain.events.iter().flat_map(|(at, count)| {
        (0..*count).flat_map(move |nth| {
            EventFault::ALL.map(|what| Fault::Event {
                at: at.clone(),
                nth,
                what,
            })
        })
    });
    requests.chain(events).collect()
}

/// Does it to each, so many at a time.
fn each<T: Send, R: Send>(threads: usize, items: Vec<T>, act: impl Fn(T) -> R + Sync) -> Vec<R> {
    let (items, results) = (Mutex::new(items.into_iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some(item) = lock(&items).next() else { return };
                    let result = act(item);
                    lock(&results).push(result);
                }
            });
        }
    });
    results.into_inner().unwrap()
}
