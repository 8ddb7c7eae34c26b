//! The seccomp profile of BuildKit's pods, and what keeps it on nodes.

use std::collections::BTreeSet;

use crate::support::render;
use imagefactory_tests::chart::object::{find, kind, list, text};
use imagefactory_tests::chart::{Chart, folder, read};
use serde_json::{Value, json};

/// clone(2) and unshare(2): a new namespace of this kind.
const NEW_TIME: u64 = 0x80;
const NEW_CGROUP: u64 = 0x0200_0000;
const NEW_PID: u64 = 0x2000_0000;
const NEW_USER: u64 = 0x1000_0000;

fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

fn profile() -> Value {
    serde_json::from_str(&read(&folder().join("files/seccomp/buildkit.json")).unwrap()).unwrap()
}

/// Rules that let a call through.
fn rules<'a>(profile: &'a Value, call: &str) -> Vec<&'a Value> {
    list(profile, "/syscalls")
        .iter()
        .filter(|rule| rule["action"] == "SCMP_ACT_ALLOW")
        .filter(|rule| list(rule, "/names").iter().any(|name| name == call))
        .collect()
}

#[test]
fn what_the_profile_does_not_name_is_denied_and_these_calls_it_does_not_name() {
    let profile = profile();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let denied = [
        "bpf",
        "perf_event_open",
        "userfaultfd",
        "kexec_load",
        "kexec_file_load",
        "init_module",
        "finit_module",
        "delete_module",
        "reboot",
        "swapon",
        "swapoff",
        "open_by_handle_at",
        "clone3",
        "keyctl",
        "add_key",
        "request_key",
        "fsopen",
        "fsconfig",
        "fsmount",
        "move_mount",
        "open_tree",
        "mount_setattr",
        "setdomainname",
        "settimeofday",
        "acct",
        "quotactl",
        "nfsservctl",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "iopl",
        "ioperm",
        "fanotify_init",
        "lookup_dcookie",
        "vhangup",
        "umount",
    ];
    for call in denied {
        assert!(rules(&profile, call).is_empty(), "{call}");
    }
}

#[test]
fn what_it_lets_through_beyond_the_runtimes_default_is_this() {
    let profile = profile();
    for call in ["chroot", "mount", "pivot_root", "sethostname", "umount2"] {
        assert_eq!(rules(&profile, call).len(), 1, "{call}");
    }
    let argument = |call: &str| rules(&profile, call)[0]["args"].clone();
    assert_eq!(
        argument("unshare"),
        json!([{"index": 0, "value": NEW_CGROUP | NEW_PID | NEW_TIME, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}])
    );
    assert_eq!(
        argument("setns"),
        json!([{"index": 1, "value": 0x20000, "op": "SCMP_CMP_EQ"}]),
        "mount namespaces alone"
    );
    let clone = argument("clone");
    assert_ne!(
        clone[0]["value"].as_u64().unwrap() & NEW_USER,
        0,
        "clone makes no namespace"
    );
}

#[test]
fn a_call_stands_in_one_rule_unless_its_arguments_tell_them_apart() {
    let profile = profile();
    let mut seen = BTreeSet::new();
    for rule in list(&profile, "/syscalls") {
        for name in list(rule, "/names") {
            assert!(
                seen.insert(name.to_string()) || name == "personality",
                "{name} is named twice"
            );
        }
    }
    assert!(seen.len() > 300, "the runtime's default list is in it");
}

#[test]
fn every_node_gets_the_file_as_it_stands_in_the_chart() {
    let objects = render(&Chart::minimal());
    let map = find(&objects, "ConfigMap", "image-factory-seccomp").unwrap();
    let told: Value = serde_json::from_str(text(map, "/data/buildkit.json")).unwrap();
    assert_eq!(told, profile());
    assert_eq!(namespace(map), "image-factory-nodes");
}

#[test]
fn the_pod_with_a_folder_of_the_node_has_that_folder_and_no_more() {
    let objects = render(&Chart::minimal());
    let set = find(&objects, "DaemonSet", "image-factory-seccomp").unwrap();
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["hostUsers"], false);
    assert_eq!(pod["automountServiceAccountToken"], false);
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod.get(field).is_none(), "{field}");
    }
    let folders: Vec<&Value> = list(pod, "/volumes")
        .iter()
        .filter_map(|volume| volume.get("hostPath"))
        .collect();
    assert_eq!(
        folders,
        [&json!({"path": "/var/lib/kubelet/seccomp/imagefactory", "type": "DirectoryOrCreate"})]
    );
    assert_eq!(
        pod["containers"][0]["securityContext"],
        json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "runAsUser": 0,
            "runAsGroup": 0,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        })
    );
}

#[test]
fn it_lives_in_a_namespace_of_its_own_that_only_it_needs_privileged() {
    let objects = render(&Chart::minimal());
    let label = "/metadata/labels/pod-security.kubernetes.io~1enforce";
    let privileged: Vec<&str> = objects
        .iter()
        .filter(|object| kind(object) == "Namespace" && text(object, label) == "privileged")
        .map(|object| text(object, "/metadata/name"))
        .collect();
    assert_eq!(privileged, ["image-factory-nodes"]);
    let pods: Vec<&str> = objects
        .iter()
        .filter(|object| namespace(object) == "image-factory-nodes" && object.pointer("/spec/template").is_some())
        .map(kind)
        .collect();
    assert_eq!(pods, ["DaemonSet"]);
}

#[test]
fn where_nodes_are_managed_otherwise_nothing_of_it_is_left() {
    let objects = render(&Chart::minimal().set("seccomp.install=false"));
    assert!(find(&objects, "DaemonSet", "image-factory-seccomp").is_none());
    assert!(objects.iter().all(|object| namespace(object) != "image-factory-nodes"));
    assert!(find(&objects, "Namespace", "image-factory-nodes").is_none());
}
