{{/*
The webhook's names, and its two configurations. They are written here once: the chart renders them, and the webhook's own
process reads the same text from a ConfigMap when it has to restore one.
*/}}

{{- define "image-factory.webhookServiceAccount" -}}
{{- default (printf "%s-webhook" (include "image-factory.fullname" .)) .Values.webhook.serviceAccount.name -}}
{{- end -}}

{{- define "image-factory.webhookUser" -}}
{{- printf "system:serviceaccount:%s:%s" .Release.Namespace (include "image-factory.webhookServiceAccount" .) -}}
{{- end -}}

{{/* Whether the webhook makes its certificates itself. */}}
{{- define "image-factory.webhookOwnCertificates" -}}
{{- if eq .Values.webhook.certificates.mode "self" }}true{{ end -}}
{{- end -}}

{{- define "image-factory.webhookSecret" -}}
{{- if include "image-factory.webhookOwnCertificates" . -}}
{{- printf "%s-webhook-tls" (include "image-factory.fullname" .) -}}
{{- else -}}
{{- default (printf "%s-webhook-tls" (include "image-factory.fullname" .)) .Values.webhook.certificates.secret -}}
{{- end -}}
{{- end -}}

{{/* Where events go: the address that is given, else the release's own intake, else nowhere. */}}
{{- define "image-factory.auditUrl" -}}
{{- if .Values.webhook.audit.url -}}
{{- .Values.webhook.audit.url -}}
{{- else if .Values.audit.enabled -}}
{{- printf "https://%s-audit.%s.svc:8443" (include "image-factory.fullname" .) .Release.Namespace -}}
{{- end -}}
{{- end -}}

{{/* What decisions rest on (imagefactory_webhook::settings). An unknown key is refused there. */}}
{{- define "image-factory.webhookSettings" -}}
{{- $own := concat (include "image-factory.ownUsers" . | fromJsonArray) (include "image-factory.tidyingUsers" . | fromJsonArray) -}}
{{- $persons := dict "platformGroups" .Values.platformAdmins.groups "securityGroups" .Values.securityTeam.groups "gitopsAccounts" .Values.gitops.accounts "ownAccounts" $own -}}
{{- $registries := dict "staging" .Values.staging.prefix "output" .Values.output.prefix -}}
{{- dict "onboarding" (dict "build" .Values.onboarding.build) "placement" .Values.builds.placement "persons" $persons "registries" $registries "pullSecrets" .Values.images.pullSecrets | toJson -}}
{{- end -}}

{{/* Where the API server calls. Takes a list: root, path. */}}
{{- define "image-factory.webhookClient" -}}
{{- $root := index . 0 -}}
service:
  name: {{ include "image-factory.fullname" $root }}-webhook
  namespace: {{ $root.Release.Namespace }}
  path: {{ index . 1 }}
  port: 443
{{- if and (eq $root.Values.webhook.certificates.mode "files") $root.Values.webhook.certificates.caBundle }}
caBundle: {{ $root.Values.webhook.certificates.caBundle | b64enc }}
{{- end }}
{{- end -}}

{{/* Labels and annotations of both configurations. */}}
{{- define "image-factory.webhookMetadata" -}}
name: {{ include "image-factory.fullname" . }}-webhook
labels:
  {{- include "image-factory.componentLabels" (list . "webhook") | nindent 2 }}
{{- if eq .Values.webhook.certificates.mode "certManager" }}
annotations:
  cert-manager.io/inject-ca-from: {{ printf "%s/%s-webhook" .Release.Namespace (include "image-factory.fullname" .) }}
{{- end }}
{{- end -}}

{{/* What nothing is decided about: writes of the factory's own accounts, and what Kubernetes' own controllers tidy up. */}}
{{- define "image-factory.webhookExclusions" -}}
- name: not-the-factory-itself
  expression: '!(request.userInfo.username in {{ include "image-factory.ownUsers" . }})'
- name: not-kubernetes-tidying-up
  expression: '!(request.operation == "DELETE" && request.userInfo.username in {{ include "image-factory.tidyingUsers" . }})'
{{- end -}}

{{/* The release's own policy: Helm writes it while the webhook starts. */}}
{{- define "image-factory.isDefaultPolicy" -}}
request.resource.resource == "imagepolicies" && request.name == {{ .Values.defaultPolicy.name | toJson }} && request.operation in ["CREATE", "UPDATE"]
{{- end -}}

{{- define "image-factory.validatingConfiguration" -}}
{{- $default := and .Values.defaultPolicy.create .Values.defaultPolicy.name -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata:
  {{- include "image-factory.webhookMetadata" . | nindent 2 }}
webhooks:
  - name: entitlements.imagefactory.dev
    admissionReviewVersions: [v1]
    clientConfig:
      {{- include "image-factory.webhookClient" (list . "/validate") | nindent 6 }}
    failurePolicy: Fail
    matchPolicy: Equivalent
    sideEffects: NoneOnDryRun
    timeoutSeconds: 3
    namespaceSelector: {}
    objectSelector: {}
    rules:
      - apiGroups: [imagefactory.dev]
        apiVersions: [v1alpha1]
        operations: [CREATE, UPDATE, DELETE]
        resources: [builds, imagepolicies, imagescans, projects, quarantinerequests, sorrecords, tenants, tenantsettings]
        scope: "*"
    matchConditions:
      {{- include "image-factory.webhookExclusions" . | nindent 6 }}
      {{- if $default }}
      - name: not-the-release-s-own-policy
        expression: '!({{ include "image-factory.isDefaultPolicy" . }})'
      {{- end }}
  {{- if $default }}
  # The one object of our kinds that the release itself writes, at a time when no pod of the webhook may be ready yet: asked
  # about where somebody answers, let in where nobody does. RBAC gives it to platform administrators alone.
  - name: default-policy.imagefactory.dev
    admissionReviewVersions: [v1]
    clientConfig:
      {{- include "image-factory.webhookClient" (list . "/validate") | nindent 6 }}
    failurePolicy: Ignore
    matchPolicy: Equivalent
    sideEffects: NoneOnDryRun
    timeoutSeconds: 3
    namespaceSelector: {}
    objectSelector: {}
    rules:
      - apiGroups: [imagefactory.dev]
        apiVersions: [v1alpha1]
        operations: [CREATE, UPDATE]
        resources: [imagepolicies]
        scope: "*"
    matchConditions:
      {{- include "image-factory.webhookExclusions" . | nindent 6 }}
      - name: the-release-s-own-policy
        expression: '{{ include "image-factory.isDefaultPolicy" . }}'
  {{- end }}
{{- end -}}

{{- define "image-factory.mutatingConfiguration" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata:
  {{- include "image-factory.webhookMetadata" . | nindent 2 }}
webhooks:
  - name: requester.imagefactory.dev
    admissionReviewVersions: [v1]
    clientConfig:
      {{- include "image-factory.webhookClient" (list . "/mutate") | nindent 6 }}
    failurePolicy: Fail
    matchPolicy: Equivalent
    reinvocationPolicy: Never
    # What it refuses, it records.
    sideEffects: NoneOnDryRun
    timeoutSeconds: 3
    namespaceSelector: {}
    objectSelector: {}
    rules:
      - apiGroups: [imagefactory.dev]
        apiVersions: [v1alpha1]
        operations: [CREATE, UPDATE]
        resources: [builds, imagescans, quarantinerequests]
        scope: "*"
      # Nothing is stamped on these. What can't change in a record, who may not change the team, and that nobody sets owners and
      # finalizers, is told with its code before the schema and ValidatingAdmissionPolicies are asked.
      - apiGroups: [imagefactory.dev]
        apiVersions: [v1alpha1]
        operations: [CREATE, UPDATE]
        resources: [projects, tenantsettings]
        scope: "*"
      - apiGroups: [imagefactory.dev]
        apiVersions: [v1alpha1]
        operations: [UPDATE]
        resources: [sorrecords, tenants]
        scope: "*"
    matchConditions:
      - name: not-the-factory-itself
        expression: '!(request.userInfo.username in {{ include "image-factory.ownUsers" . }})'
{{- end -}}
