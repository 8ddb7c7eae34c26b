{{/*
The settings that the operator reads (imagefactory_core::settings::Settings). An unknown key is refused there, and a
test reads what is rendered here with that very type.
*/}}
{{- define "image-factory.settings" -}}
{{- include "image-factory.checks" . -}}
{{- $work := .Values.workNamespace.name -}}
{{- $prefix := include "image-factory.fullname" . -}}
releaseNamespace: {{ .Release.Namespace }}
workNamespace: {{ $work }}
clusterRolePrefix: {{ $prefix }}
operatorServiceAccount: {{ include "image-factory.operatorServiceAccount" . }}
credentialsServiceAccount: {{ include "image-factory.credentialsServiceAccount" . }}
images:
  worker: {{ include "image-factory.image" (list . "worker") }}
  kaniko: {{ include "image-factory.image" (list . "kaniko") }}
  buildkit: {{ include "image-factory.image" (list . "buildkit") }}
  trivy: {{ include "image-factory.image" (list . "trivy") }}
  pullPolicy: {{ .Values.images.pullPolicy }}
  pullSecrets: {{ toJson .Values.images.pullSecrets }}
onboarding:
  build: {{ .Values.onboarding.build }}
{{- with .Values.defaultPolicy.name }}
defaultPolicy: {{ . }}
{{- end }}
staging:
  prefix: {{ required "staging.prefix is required: registry and path where images wait for their verdict, as in registry.example.com/factory/staging" .Values.staging.prefix | quote }}
  secret: {{ .Values.staging.secret }}
  scope: {{ .Values.staging.scope }}
stagingTtlSeconds: {{ int64 .Values.staging.ttlSeconds }}
output:
  prefix: {{ required "output.prefix is required: registry and path where images are published, as in registry.example.com/images" .Values.output.prefix | quote }}
  secret: {{ .Values.output.secret }}
  scope: {{ .Values.output.scope }}
mirrors:
  {{- toYaml .Values.mirrors | nindent 2 }}
{{- with .Values.caBundle }}
caBundle: {{ toJson . }}
{{- end }}
builds:
  {{- toYaml .Values.builds | nindent 2 }}
dispatch:
  {{- toYaml .Values.dispatch | nindent 2 }}
scan:
  serverUrl: http://{{ $prefix }}-trivy.{{ $work }}.svc:4954
  tokenSecret: {{ .Values.scan.tokenSecret }}
  {{- if .Values.scan.javaDatabase.enabled }}
  javaDatabaseClaim: {{ include "image-factory.javaDatabaseClaim" . }}
  {{- end }}
  resources:
    {{- toYaml .Values.scan.clientResources | nindent 4 }}
objectStore:
  url: {{ .Values.objectStore.url | quote }}
  options: {{ toJson .Values.objectStore.options }}
logs:
  maxBytes: {{ int64 .Values.logs.maxBytes }}
  retentionDays: {{ int64 .Values.logs.retentionDays }}
tenants:
  {{- toYaml .Values.tenants | nindent 2 }}
sor:
  expiringWindow: {{ .Values.sor.expiringWindow }}
  {{- with .Values.sor.http }}
  {{- if .url }}
  http:
    url: {{ .url | quote }}
    interval: {{ .interval }}
    timeout: {{ .timeout }}
    outage: {{ .outage }}
    greatestAge: {{ .greatestAge }}
    {{- if .tokenSecret }}
    tokenFile: /etc/image-factory-sor/token
    {{- end }}
    {{- with .caBundle }}
    caBundle: {{ toJson . }}
    {{- end }}
  {{- end }}
  {{- end }}
requireUserNamespaces: {{ .Values.requireUserNamespaces }}
stampsRequester: {{ .Values.webhook.enabled }}
{{- end -}}
