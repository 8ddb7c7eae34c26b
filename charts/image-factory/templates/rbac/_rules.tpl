{{/*
What each role of product.md's table may do, in pieces: a built-in role is a sum of them, and each permission of custom
roles is one. What RBAC can't tell apart (whose build is cancelled, who joins the team) is for admission.
*/}}

{{/* See projects, builds and artifacts; read logs. Pods carry no secret: credentials come to them as volumes. */}}
{{- define "image-factory.rules.view-projects" -}}
- apiGroups: [imagefactory.dev]
  resources: [projects, builds, imagescans, quarantinerequests, tenantsettings]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods, events]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
{{- end -}}

{{/* Whoever asks may withdraw what he asked for: that it is his own, the webhook says, and admission/persons.yaml. */}}
{{- define "image-factory.rules.create-builds" -}}
- apiGroups: [imagefactory.dev]
  resources: [builds, imagescans, quarantinerequests]
  verbs: [create]
- apiGroups: [imagefactory.dev]
  resources: [quarantinerequests]
  verbs: [update, patch]
{{- end -}}

{{/* To cancel a build or a scan, or to withdraw a request is to set a field. */}}
{{- define "image-factory.rules.cancel-builds" -}}
- apiGroups: [imagefactory.dev]
  resources: [builds, imagescans, quarantinerequests]
  verbs: [update, patch, delete]
{{- end -}}

{{- define "image-factory.rules.manage-projects" -}}
- apiGroups: [imagefactory.dev]
  resources: [projects]
  verbs: [update, patch]
{{- end -}}

{{/* Members and roles are fields of the settings: a verb of its own says who may change those (admission/persons.yaml). */}}
{{- define "image-factory.rules.manage-team" -}}
- apiGroups: [imagefactory.dev]
  resources: [tenantsettings]
  verbs: [update, patch, manageteam]
{{- end -}}

{{- define "image-factory.rules.edit-settings" -}}
- apiGroups: [imagefactory.dev]
  resources: [tenantsettings]
  verbs: [update, patch]
{{- end -}}

{{/*
What no object of the API server stands for: a role without rules. That somebody is bound to it is what counts, for those
who ask by that binding.
*/}}
{{- define "image-factory.rules.noted" -}}
[]
{{- end -}}

{{/* Secrets are made and never read: update, patch and delete would return the content as well. */}}
{{- define "image-factory.rules.sources" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, update, patch, delete]
{{- end -}}

{{- define "image-factory.rules.own-projects" -}}
- apiGroups: [imagefactory.dev]
  resources: [projects]
  verbs: [create, delete]
{{- end -}}

{{- define "image-factory.rules.viewer" -}}
{{ include "image-factory.rules.view-projects" . }}
{{- end -}}

{{- define "image-factory.rules.member" -}}
{{ include "image-factory.rules.viewer" . }}
{{ include "image-factory.rules.create-builds" . }}
{{- end -}}

{{- define "image-factory.rules.admin" -}}
{{ include "image-factory.rules.member" . }}
{{ include "image-factory.rules.cancel-builds" . }}
{{ include "image-factory.rules.manage-projects" . }}
{{ include "image-factory.rules.manage-team" . }}
{{ include "image-factory.rules.sources" . }}
{{- end -}}

{{- define "image-factory.rules.owner" -}}
{{ include "image-factory.rules.admin" . }}
{{ include "image-factory.rules.own-projects" . }}
{{- end -}}

{{/* Part of the ClusterRole's name, and which rules it has. The operator binds exactly these. */}}
{{- define "image-factory.tenantRoles" -}}
owner: owner
admin: admin
member: member
viewer: viewer
permission-view-projects: view-projects
permission-create-builds: create-builds
permission-cancel-builds: cancel-builds
permission-manage-projects: manage-projects
permission-manage-team: manage-team
permission-view-analytics: noted
permission-read-audit: noted
permission-edit-settings: edit-settings
permission-manage-billing: noted
permission-approve-quarantine: noted
permission-release-quarantine: noted
{{- end -}}
