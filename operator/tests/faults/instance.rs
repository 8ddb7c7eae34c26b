//! One process of the operator: its watches, controllers, dispatcher, keeper and janitor as its role `run` starts them,
//! on a thread and a clock of their own. Only the election is left out (it is tested by itself), and metrics are not
//! served. It dies where it stands when the layer says so.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use imagefactory_core::settings::Settings;
use imagefactory_operator::archive::Archive;
use imagefactory_operator::context::Context;
use imagefactory_operator::controllers;
use imagefactory_operator::dispatcher::Dispatcher;
use imagefactory_operator::keeper::Keeper;
use imagefactory_operator::metrics::Metrics;
use imagefactory_operator::watches::Hubs;
use kube::runtime::events::{Recorder, Reporter};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Clock};
use crate::layer::Layer;

/// How often it is looked whether the caches are filled.
const LOOK: Duration = Duration::from_millis(100);

/// The operator of one schedule, which is started again when it died.
pub struct Operator {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    /// Its clock.
    pub clock: Arc<Clock>,
}

impl Operator {
    /// Starts it.
    pub fn start(layer: &Arc<Layer>, settings: &Settings) -> Self {
        let (clock, stop) = (Clock::new(), watch::Sender::new(false));
        let (layer, settings, stopped) = (layer.clone(), Arc::new(settings.clone()), stop.subscribe());
        let its_clock = clock.clone();
        let thread = std::thread::spawn(move || {
            while !*stopped.borrow() {
                live(&layer, &settings, &its_clock, stopped.clone());
            }
        });
        Self {
            stop,
            thread: Some(thread),
            clock,
        }
    }
}

impl Operator {
    /// Whether its thread ended by itself.
    pub fn has_died(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // It has said why.
            let _ = thread.join();
        }
    }
}

/// From start to death.
fn live(layer: &Arc<Layer>, settings: &Arc<Settings>, clock: &Arc<Clock>, mut stop: watch::Receiver<bool>) {
    let runtime = Clock::runtime();
    let mut crashes = layer.crashes();
    crashes.mark_unchanged();
    let busy = layer.clone();
    runtime.block_on(async {
        tokio::select! {
            () = clock.clone().run(move || busy.is_busy()) => {}
            () = work(layer, settings) => {}
            _ = crashes.changed() => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    });
    runtime.shutdown_background();
}

/// As `startup::leading` does.
async fn work(layer: &Arc<Layer>, settings: &Arc<Settings>) {
    // The clock's first step comes before anybody asks for the time.
    tokio::task::yield_now().await;
    let (client, metrics, hubs) = (layer.client(), Arc::new(Metrics::default()), Hubs::default());
    let mut watches = JoinSet::new();
    hubs.start(&client, &metrics, &mut watches);
    while !hubs.synced().iter().all(|(_, synced)| *synced) {
        tokio::time::sleep(LOOK).await;
    }
    let reporter = Reporter {
        controller: "image-factory".to_owned(),
        instance: None,
    };
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), reporter),
        client,
        settings: settings.clone(),
        stores: hubs.stores(),
        dispatcher: Arc::new(Dispatcher::new(settings)),
        metrics,
        keeper: Keeper::new(Archive::open_with(settings, &[]).unwrap()),
        clock: clock::now,
    });
    let mut tasks = JoinSet::new();
    controllers::start(&context, &hubs, &CancellationToken::new(), &mut tasks);
    tokio::select! {
        _ = watches.join_next() => panic!("a watch ended"),
        _ = tasks.join_next() => panic!("a controller ended"),
    }
}
