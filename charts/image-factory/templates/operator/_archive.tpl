{{/* Not empty where the object store is a directory on the chart's own volume. */}}
{{- define "image-factory.archiveOnVolume" -}}
{{- if hasPrefix "file://" .Values.objectStore.url -}}yes{{- end -}}
{{- end -}}

{{/*
Where the operator runs: what its values say, and together on one node where they share a volume that only one node can
mount. Without that a second replica would wait for the volume for ever, and an upgrade with it.
*/}}
{{- define "image-factory.operatorPlacement" -}}
{{- $placement := deepCopy .Values.operator -}}
{{- $modes := .Values.objectStore.volume.accessModes -}}
{{- if and (include "image-factory.archiveOnVolume" .) (has "ReadWriteOncePod" $modes) (gt (int .Values.operator.replicas) 1) -}}
{{- fail "objectStore.volume.accessModes: ReadWriteOncePod is for one replica of the operator" -}}
{{- end -}}
{{- if and (include "image-factory.archiveOnVolume" .) (not (has "ReadWriteMany" $modes)) -}}
{{- $selector := include "image-factory.selector" (list . "operator") | fromYaml -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $selector) -}}
{{- $affinity := default dict $placement.affinity -}}
{{- $pods := default dict $affinity.podAffinity -}}
{{- $terms := append (default list $pods.requiredDuringSchedulingIgnoredDuringExecution) $term -}}
{{- $_ := set $pods "requiredDuringSchedulingIgnoredDuringExecution" $terms -}}
{{- $_ := set $affinity "podAffinity" $pods -}}
{{- $_ := set $placement "affinity" $affinity -}}
{{- end -}}
{{- toYaml (pick $placement "nodeSelector" "tolerations" "affinity" "priorityClassName") -}}
{{- end -}}
