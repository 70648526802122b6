{{- /* Names as the chart before makes them: selectors cannot change in an upgrade. */ -}}
{{- define "locket.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "locket.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $both := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- .Values.fullnameOverride | default $both | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "locket.labels" -}}
app: {{ include "locket.name" . | quote }}
app.kubernetes.io/name: {{ include "locket.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* What --reuse-values brings along are the defaults of the chart before. */ -}}
{{- define "locket.check" -}}
{{- if not .Values.locket -}}
{{- fail "the values are all of the chart before: upgrade with --reset-then-reuse-values, or with your own file" -}}
{{- end -}}
{{- if hasSuffix "csi-secrets-store/driver" .Values.linux.image.repository -}}
{{- fail "linux.image.repository is the image of the driver before: name Locket's, or leave it out" -}}
{{- end -}}
{{- with .Values.locket.provider -}}
{{- if and .mintTokens (not .separate) -}}
{{- fail "locket.provider.mintTokens: only an account of its own may mint; set locket.provider.separate, too" -}}
{{- end -}}
{{- end -}}
{{- with .Values.locket.agent.audit -}}
{{- if and .failClosed (not .enabled) -}}
{{- fail "locket.agent.audit.failClosed: nothing could be published without lines; enable the audit, too" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* (context, object of the cluster): "true" where Helm would take it as this release's. */ -}}
{{- define "locket.ours" -}}
{{- $release := (index . 0).Release }}
{{- $says := dig "metadata" "annotations" dict (index . 1) }}
{{- $owner := printf "%s/%s" (get $says "meta.helm.sh/release-namespace") (get $says "meta.helm.sh/release-name") }}
{{- if eq $owner (printf "%s/%s" $release.Namespace $release.Name) }}true{{ end }}
{{- end -}}

{{- /* (context): "true" where drivers of the release before run by our account: this upgrade takes their place, not all
       nodes are over, or Windows has them. */ -}}
{{- define "locket.old" -}}
{{- $there := lookup "apps/v1" "DaemonSet" .Release.Namespace (include "locket.fullname" .) }}
{{- $names := list "agent" }}
{{- with $there }}{{ $names = list }}{{ range .spec.template.spec.containers }}{{ $names = append $names .name }}{{ end }}{{ end }}
{{- if or .Values.locket.oldDriver .Values.windows.enabled (not (has "agent" $names)) }}true{{ end }}
{{- end -}}

{{- define "locket.image" -}}
{{- $image := .Values.linux.image -}}
{{- $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- /* (context, path): a file of deploy/daemonset, with the release's names in the place of its own. */ -}}
{{- define "locket.read" -}}
{{- $c := index . 0 -}}
{{- $c.Files.Get (index . 1)
    | replace "kube-system" $c.Release.Namespace
    | replace "app: csi-secrets-store" (printf "app: %q" (include "locket.name" $c))
    | replace "name: csi-secrets-store" (printf "name: %s" (include "locket.fullname" $c))
    | replace "metrics-addr=:8095" (printf "metrics-addr=%s" $c.Values.linux.metricsAddr)
    | replace "8095" ($c.Values.linux.metricsAddr | splitList ":" | last)
    | replace "9808" (toString $c.Values.livenessProbe.port)
    | replace "/var/lib/kubelet" $c.Values.linux.kubeletRootDir
    | replace "/var/run/secrets-store-csi-providers" $c.Values.linux.providersDir
    | replace "image: locket" (printf "image: %s" (include "locket.image" $c)) -}}
{{- end -}}

{{- /* (context, path): its objects, with the release's labels. */ -}}
{{- define "locket.objects" -}}
{{- $c := index . 0 -}}
{{- range splitList "\n---\n" (include "locket.read" .) }}
{{- $object := fromYaml . }}
{{- $labels := $object.metadata.labels | default dict }}
{{- $_ := set $object.metadata "labels" (merge (dict) $labels (fromYaml (include "locket.labels" $c))) }}
---
{{ toYaml $object }}
{{- end }}
{{- end -}}

{{- /* (table of files/values.yaml, prefix, values): a line for each value that does nothing. */ -}}
{{- define "locket.warnings" -}}
{{- $table := index . 0 }}
{{- $prefix := index . 1 }}
{{- range $name, $value := index . 2 }}
{{- $path := print $prefix $name }}
{{- if hasKey $table $path }}
{{- with get $table $path }}
WARNING: {{ $path }} has no effect: {{ . }}
{{- end }}
{{- else if and (kindIs "map" $value) $value }}
{{- include "locket.warnings" (list $table (print $path ".") $value) }}
{{- else }}
WARNING: {{ $path }} is unknown to this chart
{{- end }}
{{- end }}
{{- end -}}
