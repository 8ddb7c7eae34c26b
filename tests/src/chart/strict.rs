//! Reads an object with the very type of its kind. What the type does not know is lost on the way back, and told:
//! a misspelt field, a wrong type, a field of another version.

use imagefactory_crds::ImagePolicy;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
    ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::monitoring::{PrometheusRule, ServiceMonitor};
use super::object::{kind, text};

/// What is wrong with an object; empty when nothing is.
#[must_use]
pub fn faults(object: &Value) -> Vec<String> {
    let read: fn(&Value) -> Vec<String> = match (text(object, "/apiVersion"), kind(object)) {
        ("v1", "Namespace") => through::<Namespace>,
        ("v1", "ServiceAccount") => through::<ServiceAccount>,
        ("v1", "Pod") => through::<Pod>,
        ("v1", "Secret") => through::<Secret>,
        ("v1", "ConfigMap") => through::<ConfigMap>,
        ("v1", "Service") => through::<Service>,
        ("v1", "PersistentVolumeClaim") => through::<PersistentVolumeClaim>,
        ("apps/v1", "Deployment") => through::<Deployment>,
        ("apps/v1", "DaemonSet") => through::<DaemonSet>,
        ("batch/v1", "Job") => through::<Job>,
        ("batch/v1", "CronJob") => through::<CronJob>,
        ("networking.k8s.io/v1", "NetworkPolicy") => through::<NetworkPolicy>,
        ("policy/v1", "PodDisruptionBudget") => through::<PodDisruptionBudget>,
        ("monitoring.coreos.com/v1", "ServiceMonitor") => through::<ServiceMonitor>,
        ("monitoring.coreos.com/v1", "PrometheusRule") => through::<PrometheusRule>,
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => through::<ClusterRole>,
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => through::<ClusterRoleBinding>,
        ("rbac.authorization.k8s.io/v1", "Role") => through::<Role>,
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => through::<RoleBinding>,
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition") => through::<CustomResourceDefinition>,
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy") => through::<ValidatingAdmissionPolicy>,
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding") => {
            through::<ValidatingAdmissionPolicyBinding>
        }
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration") => {
            through::<ValidatingWebhookConfiguration>
        }
        ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration") => through::<MutatingWebhookConfiguration>,
        ("imagefactory.dev/v1alpha1", "ImagePolicy") => through::<ImagePolicy>,
        (version, kind) => {
            return vec![format!(
                "{version} {kind} is not a kind that this chart is known to install"
            )];
        }
    };
    read(object)
}

fn through<K: DeserializeOwned + Serialize>(object: &Value) -> Vec<String> {
    match serde_json::from_value::<K>(object.clone()).and_then(serde_json::to_value) {
        Ok(again) => differences(object, &again),
        Err(error) => vec![error.to_string()],
    }
}

/// What of `written` is not in `read`, by path. What is only in `read` does not count.
#[must_use]
pub fn differences(written: &Value, read: &Value) -> Vec<String> {
    let mut lost = Vec::new();
    compare(written, read, "", &mut lost);
    lost
}

fn compare(written: &Value, read: &Value, path: &str, lost: &mut Vec<String>) {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            for (key, value) in written {
                match read.get(key) {
                    // Server-side apply takes a null for a wish to remove.
                    _ if value.is_null() => lost.push(format!("{path}/{key} is null")),
                    Some(again) => compare(value, again, &format!("{path}/{key}"), lost),
                    None => lost.push(format!("{path}/{key} is not a field of this kind")),
                }
            }
        }
        (Value::Array(written), Value::Array(read)) if written.len() == read.len() => {
            for (index, (value, again)) in written.iter().zip(read).enumerate() {
                compare(value, again, &format!("{path}/{index}"), lost);
            }
        }
        _ if same(written, read) => {}
        _ => lost.push(format!("{path} was written as {written} and read as {read}")),
    }
}

/// Numbers compare by value: a schema's bound of 1 is read as 1.0.
fn same(written: &Value, read: &Value) -> bool {
    written == read
        || matches!((written.as_f64(), read.as_f64()), (Some(one), Some(other)) if one.to_bits() == other.to_bits())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_misspelt_field_a_wrong_type_and_a_null_are_told() {
        let service =
            |spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": spec});
        assert_eq!(faults(&service(json!({"ports": [{"port": 80}]}))), Vec::<String>::new());
        assert_eq!(
            faults(&service(json!({"ports": [{"prot": 80, "port": 80}]}))),
            ["/spec/ports/0/prot is not a field of this kind"]
        );
        assert_eq!(faults(&service(json!({"type": null}))), ["/spec/type is null"]);
        assert!(!faults(&service(json!({"ports": [{"port": "http"}]}))).is_empty());
        assert!(!faults(&json!({"apiVersion": "v1", "kind": "Gadget"})).is_empty());
    }
}
