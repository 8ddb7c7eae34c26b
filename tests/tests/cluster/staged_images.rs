//! Staged images are removed when their time is over: that one alone, with what refers to it, and nothing that is published.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use imagefactory_crds::Build;
use imagefactory_tests::TestTenant;
use imagefactory_tests::building::{output_of, status_of};
use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::store::archive_folder;
use imagefactory_tests::wait::until;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::json;

/// The list is looked after once a minute.
const ROUND: u64 = 75;
/// Images that are due within so many seconds lie together on the list (docs/decisions/0010).
const TOGETHER: i64 = 600;
/// What such a folder is called: the end of its time.
const SLOT: &str = "%Y-%m-%dT%H-%M";

/// The operator's list in its store: a folder for each ten minutes in which images are due.
struct List(PathBuf);

impl List {
    /// Where the build's first attempt stands on it.
    fn entry(&self, build: &Build) -> Option<PathBuf> {
        let name = format!("{}-attempt-1.json", build.uid().unwrap());
        let slots = fs::read_dir(&self.0).into_iter().flatten().flatten();
        slots.map(|slot| slot.path().join(&name)).find(|path| path.is_file())
    }

    /// Has the image be due long ago, as it is when its time has passed. What is not due is left where it is.
    fn let_time_pass(&self, entry: &Path) {
        let past = Timestamp::now() - SignedDuration::from_secs(3 * TOGETHER);
        let slot = Timestamp::from_second(past.as_second() / TOGETHER * TOGETHER).unwrap();
        let slot = self.0.join(slot.strftime(SLOT).to_string());
        fs::create_dir_all(&slot).unwrap();
        // The operator is somebody else, and takes the entry from there.
        fs::set_permissions(&slot, fs::Permissions::from_mode(0o777)).unwrap();
        fs::rename(entry, slot.join(entry.file_name().unwrap())).unwrap();
    }
}

/// Expects that the entry stands where the build's images are due: the set time after it began.
fn is_due_in_time(tenant: &TestTenant, build: &Build, entry: &Path) {
    let slot = entry.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let slot = DateTime::strptime(SLOT, slot.unwrap()).unwrap();
    let slot = slot.to_zoned(TimeZone::UTC).unwrap().timestamp();
    let keeps = tenant.cluster.installation.settings["stagingTtlSeconds"].as_i64();
    let begun = status_of(build).start_time.as_ref().unwrap().0;
    let late = slot.as_second() - begun.as_second() - keeps.unwrap();
    assert!((0..TOGETHER).contains(&late), "{begun} and {keeps:?} s, not {slot}");
}

async fn is_staged(tenant: &TestTenant, build: &Build) -> bool {
    let staged = status_of(build).staged.as_ref().unwrap();
    let registry = tenant.cluster.registry();
    registry.manifest(&staged.repository, &staged.digest).await.is_some()
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_staged_image_goes_when_its_time_is_over_and_what_is_young_or_published_stays() {
    let tenant = TestTenant::create("expires").await;
    let list = List(archive_folder(&tenant.cluster).await.join("expire"));
    for name in ["old", "young"] {
        tenant.start(name, json!({"source": quick()})).await;
    }
    let (old, young) = (tenant.has_succeeded("old").await, tenant.has_succeeded("young").await);
    let entries = until("both are on the list", ROUND, async || {
        Some((list.entry(&old)?, list.entry(&young)?))
    })
    .await;
    is_due_in_time(&tenant, &old, &entries.0);
    is_due_in_time(&tenant, &young, &entries.1);
    assert!(is_staged(&tenant, &old).await && is_staged(&tenant, &young).await);
    let registry = tenant.cluster.registry();
    let staged = status_of(&old).staged.as_ref().unwrap();
    assert!(registry.referrers(&staged.repository, &staged.digest).await.len() >= 2);

    list.let_time_pass(&entries.0);
    until(
        "the old one is removed, with what referred to it",
        2 * ROUND,
        async || {
            let referrers = registry.referrers(&staged.repository, &staged.digest).await;
            (referrers.is_empty() && !is_staged(&tenant, &old).await).then_some(())
        },
    )
    .await;
    until("it is off the list", 2 * ROUND, async || {
        list.entry(&old).is_none().then_some(())
    })
    .await;
    assert!(is_staged(&tenant, &young).await && list.entry(&young).is_some());
    let output = output_of(&old);
    let (repository, tag) = tenant.default_output("old");
    let published = registry.manifest(&repository, &tag).await.map(|found| found.digest);
    assert_eq!(published.as_deref(), Some(output.digest.as_str()));
    assert!(registry.referrers(&repository, &output.digest).await.len() >= 2);
}
