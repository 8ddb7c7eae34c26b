{{/*
Expressions that several policies share. User names come from values and are written as CEL strings by toJson.
*/}}

{{/* CEL list of the factory's own service accounts. */}}
{{- define "image-factory.ownUsers" -}}
[{{ include "image-factory.operatorUser" . | toJson }}, {{ include "image-factory.credentialsUser" . | toJson }}{{ if .Values.webhook.enabled }}, {{ include "image-factory.webhookUser" . | toJson }}{{ end }}]
{{- end -}}

{{/* CEL list of controllers of Kubernetes that tidy up: with and without a service account for each. */}}
{{- define "image-factory.tidyingUsers" -}}
["system:serviceaccount:kube-system:namespace-controller", "system:serviceaccount:kube-system:generic-garbage-collector", "system:kube-controller-manager"]
{{- end -}}

{{/* CEL: the factory itself, or who asks as the platform does: its administrators and the accounts of GitOps that they name. */}}
{{- define "image-factory.isPlatform" -}}
request.userInfo.username in {{ include "image-factory.ownUsers" . }}
{{- with .Values.gitops.accounts }} || request.userInfo.username in {{ toJson . }}{{ end }}
{{- with .Values.platformAdmins.groups }} || (has(request.userInfo.groups) && request.userInfo.groups.exists(g, g in {{ toJson . }})){{ end }}
{{- end -}}

{{/* A binding that denies. Takes a list: root, name of the policy. */}}
{{- define "image-factory.denyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ include "image-factory.fullname" (index . 0) }}-{{ index . 1 }}
  labels:
    {{- include "image-factory.componentLabels" (list (index . 0) "admission") | nindent 4 }}
spec:
  policyName: {{ include "image-factory.fullname" (index . 0) }}-{{ index . 1 }}
  validationActions: [Deny]
{{- end -}}
