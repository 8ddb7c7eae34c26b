{{/*
What the schema of the values can't say: bounds of durations, and values that don't go together. The operator refuses most of
it at its start (operator/src/config/check.rs), which is later than anybody wants to know.
*/}}

{{/* Seconds of a duration as 90s, 30m or 1h30m. */}}
{{- define "image-factory.seconds" -}}
{{- $text := . -}}
{{- $total := 0 -}}
{{- range $unit, $seconds := dict "h" 3600 "m" 60 "s" 1 -}}
{{- with regexFind (printf "[0-9]+%s" $unit) $text -}}
{{- $total = add $total (mul $seconds (trimSuffix $unit . | atoi)) -}}
{{- end -}}
{{- end -}}
{{- $total -}}
{{- end -}}

{{/* Fails where a duration is out of bounds. Takes a list: key, duration, least and most seconds, what it must be. */}}
{{- define "image-factory.within" -}}
{{- $seconds := include "image-factory.seconds" (index . 1) | int64 -}}
{{- if or (lt $seconds (int64 (index . 2))) (gt $seconds (int64 (index . 3))) -}}
{{- fail (printf "%s must be %s, and is %s" (index . 0) (index . 4) (index . 1)) -}}
{{- end -}}
{{- end -}}

{{- define "image-factory.checks" -}}
{{- include "image-factory.within" (list "builds.defaultTimeout" .Values.builds.defaultTimeout 10 86400 "from 10s to 24h") -}}
{{- with .Values.builds.retention.maxAge -}}
{{- include "image-factory.within" (list "builds.retention.maxAge" . 3600 31536000 "from 1h to 8760h") -}}
{{- end -}}
{{- include "image-factory.within" (list "sor.expiringWindow" .Values.sor.expiringWindow 0 31536000 "from 0s to 8760h") -}}
{{- with .Values.sor.http -}}
{{- if .url -}}
{{- include "image-factory.within" (list "sor.http.interval" .interval 10 86400 "from 10s to 24h") -}}
{{- include "image-factory.within" (list "sor.http.timeout" .timeout 1 60 "from 1s to 60s") -}}
{{- $least := mul 2 (include "image-factory.seconds" .interval | int64) -}}
{{- include "image-factory.within" (list "sor.http.greatestAge" .greatestAge $least 31536000 "from two intervals to 8760h") -}}
{{- if and .tokenSecret (not (hasPrefix "https://" .url)) -}}
{{- fail "sor.http.url must begin with https:// where there is a sor.http.tokenSecret: the token is sent there" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "image-factory.checkAmounts" . -}}
{{- include "image-factory.checkRegistries" . -}}
{{- include "image-factory.checkNames" . -}}
{{- end -}}

{{/* An amount as 500m or 20Gi, in units. */}}
{{- define "image-factory.units" -}}
{{- $factors := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 -}}
{{- $suffix := regexFind "[A-Za-z]*$" (toString .) -}}
{{- mulf (trimSuffix $suffix (toString .) | float64) (get $factors $suffix) -}}
{{- end -}}

{{/* Fails where an amount is above another list's. Takes a list: key, amounts, key of the most, amounts of the most. */}}
{{- define "image-factory.atMost" -}}
{{- $key := index . 0 -}}
{{- $mostKey := index . 2 -}}
{{- $most := index . 3 | default dict -}}
{{- range $name, $amount := index . 1 -}}
{{- with get $most $name -}}
{{- if gt (include "image-factory.units" $amount | float64) (include "image-factory.units" . | float64) -}}
{{- fail (printf "%s.%s must be at most %s.%s, and is %v where that is %v" $key $name $mostKey $name $amount .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "image-factory.checkAmounts" -}}
{{- $tenants := .Values.tenants -}}
{{- $steps := .Values.builds.stepResources -}}
{{- range list (list "builds.defaultResources" .Values.builds.defaultResources) (list "builds.stepResources" $steps) -}}
{{- $key := index . 0 -}}
{{- $resources := index . 1 -}}
{{- include "image-factory.atMost" (list (printf "%s.requests" $key) $resources.requests (printf "%s.limits" $key) $resources.limits) -}}
{{- include "image-factory.atMost" (list (printf "%s.requests" $key) $resources.requests "tenants.maxLimits" $tenants.maxLimits) -}}
{{- include "image-factory.atMost" (list (printf "%s.limits" $key) $resources.limits "tenants.maxLimits" $tenants.maxLimits) -}}
{{- end -}}
{{- $holds := mergeOverwrite (deepCopy ($tenants.defaultLimits | default dict)) ($steps.limits | default dict) -}}
{{- include "image-factory.atMost" (list "builds.stepResources.requests" $steps.requests "tenants.defaultLimits" $holds) -}}
{{- include "image-factory.atMost" (list "tenants.defaultRequests" $tenants.defaultRequests "tenants.defaultLimits" $tenants.defaultLimits) -}}
{{- include "image-factory.atMost" (list "tenants.defaultRequests" $tenants.defaultRequests "tenants.maxLimits" $tenants.maxLimits) -}}
{{- include "image-factory.atMost" (list "tenants.defaultLimits" $tenants.defaultLimits "tenants.maxLimits" $tenants.maxLimits) -}}
{{- end -}}

{{- define "image-factory.checkRegistries" -}}
{{- $staging := .Values.staging -}}
{{- if and $staging.prefix (eq $staging.prefix .Values.output.prefix) -}}
{{- fail "output.prefix must be another than staging.prefix: what waits for its verdict must not lie where images are published" -}}
{{- end -}}
{{- $given := dict -}}
{{- range list (list "staging" $staging) (list "output" .Values.output) (list "staging.tenantCredentials" $staging.tenantCredentials) -}}
{{- $key := index . 0 -}}
{{- $source := index . 1 -}}
{{- if $source.data -}}
{{- with get $given $source.secret -}}
{{- fail (printf "%s.data and %s.data are both content of Secret %s: give all of it in one of them, or let them be two Secrets" . $key $source.secret) -}}
{{- end -}}
{{- $_ := set $given $source.secret $key -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "image-factory.checkNames" -}}
{{- $nodes := .Values.seccomp.namespace.name -}}
{{- if and .Values.seccomp.install (has $nodes (list .Values.workNamespace.name .Release.Namespace)) -}}
{{- fail (printf "seccomp.namespace.name must be a namespace of its own, and %s has other pods of the release: it is privileged, and closed to all traffic" $nodes) -}}
{{- end -}}
{{- $prefix := include "image-factory.fullname" . -}}
{{- $java := .Values.scan.javaDatabase -}}
{{- if and $java.enabled $java.schedule (gt (len $prefix) 38) -}}
{{- fail (printf "scan.javaDatabase.schedule needs a shorter prefix of names than %s: the name of a CronJob has 52 characters at most, which leaves 38. Set fullnameOverride" $prefix) -}}
{{- end -}}
{{- end -}}
