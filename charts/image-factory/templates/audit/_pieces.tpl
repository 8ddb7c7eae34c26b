{{- define "image-factory.auditServiceAccount" -}}
{{- default (printf "%s-audit" (include "image-factory.fullname" .)) .Values.audit.serviceAccount.name -}}
{{- end -}}

{{/* Not empty where the audit is a file on a volume. */}}
{{- define "image-factory.auditOnVolume" -}}
{{- if not .Values.audit.database.existingSecret -}}yes{{- end -}}
{{- end -}}

{{- define "image-factory.auditClaim" -}}
{{- default (printf "%s-audit" (include "image-factory.fullname" .)) .Values.audit.persistence.existingClaim -}}
{{- end -}}

{{/* Where the operator tells the audit; empty where the release has none. */}}
{{- define "image-factory.operatorAuditUrl" -}}
{{- if .Values.audit.enabled -}}
{{- printf "https://%s-audit.%s.svc:8443" (include "image-factory.fullname" .) .Release.Namespace -}}
{{- end -}}
{{- end -}}

{{/*
What a sender of events needs, as sources of a projected volume: a token for the intake alone, and who signs its certificate.
The authority may come later than the pod: nothing waits for the audit.
*/}}
{{- define "image-factory.auditSenderSources" -}}
- serviceAccountToken: {audience: image-factory-audit, expirationSeconds: 3600, path: token}
{{ include "image-factory.auditAuthority" (list . (include "image-factory.auditSecret" .)) }}
{{- end -}}

{{/*
ConfigMap of who signs the factory's own servers. The webhook makes the one of mode self, without Helm's marks, and it stays
when the mode changes: the release's own has another name, or Helm would refuse the upgrade.
*/}}
{{- define "image-factory.authorityName" -}}
{{- $kept := ternary "ca" "given-ca" (eq .Values.webhook.certificates.mode "self") -}}
{{- printf "%s-%s" (include "image-factory.fullname" .) $kept -}}
{{- end -}}

{{/*
Who signs an intake's certificate, as a source of a projected volume. Of a Secret of cert-manager it is the authority alone,
never the key. Takes a list: root, that Secret.
*/}}
{{- define "image-factory.auditAuthority" -}}
{{- $root := index . 0 -}}
{{- if eq $root.Values.webhook.certificates.mode "certManager" -}}
- secret:
    name: {{ index . 1 }}
    items: [{key: ca.crt, path: ca.crt}]
    optional: true
{{- else -}}
- configMap:
    name: {{ include "image-factory.authorityName" $root }}
    items: [{key: ca.crt, path: ca.crt}]
    optional: true
{{- end -}}
{{- end -}}

{{/* The Secret of the intake's certificate: the webhook makes it, or cert-manager, or it is given. */}}
{{- define "image-factory.auditSecret" -}}
{{- $made := printf "%s-audit-tls" (include "image-factory.fullname" .) -}}
{{- if eq .Values.webhook.certificates.mode "files" -}}
{{- default $made .Values.audit.certificate.secret -}}
{{- else -}}
{{- $made -}}
{{- end -}}
{{- end -}}

{{/* The Secret whose authority the webhook trusts an intake by: an address that is given is signed as the webhook is. */}}
{{- define "image-factory.webhookAuditAuthority" -}}
{{- $own := and .Values.audit.enabled (not .Values.webhook.audit.url) -}}
{{- ternary (include "image-factory.auditSecret" .) (include "image-factory.webhookSecret" .) $own -}}
{{- end -}}

{{/* User names of those who may send events: the webhook and the operator. */}}
{{- define "image-factory.auditSenders" -}}
- {{ include "image-factory.webhookUser" . }}
- {{ include "image-factory.operatorUser" . }}
{{- end -}}
