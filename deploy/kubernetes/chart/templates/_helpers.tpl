{{- define "mxgate.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "mxgate.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "mxgate.labels" -}}
{{ include "mxgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "mxgate.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- /* The configuration, as a map of variables: what the chart sets wins over settings that would contradict it. */ -}}
{{- define "mxgate.environment" -}}
{{- $own := dict
      "POSTFIX_myhostname" .Values.hostname
      "ALLOWED_DOMAINS" (join "," .Values.domains)
      "RELAY_TRANSPORT" .Values.transport
      "LISTEN" (.Values.containerPort | int | toString)
      "QUEUE_DIRECTORY" "/var/spool/mxgate/spool" -}}
{{- if .Values.proxyProtocol.enabled -}}
{{- $_ := set $own "SMTPD_UPSTREAM_PROXY_PROTOCOL" "haproxy" -}}
{{- $_ := set $own "SMTPD_UPSTREAM_PROXY_HOSTS" (join "," .Values.proxyProtocol.trustedSources) -}}
{{- end -}}
{{- range $name, $file := .Values.secretSettings -}}
{{- $_ := set $own (printf "%s_FILE" $name) (printf "/run/secrets/mxgate/%s" $file) -}}
{{- end -}}
{{- range $name, $value := .Values.settings -}}
{{- if hasKey $own $name -}}
{{- fail (printf "settings.%s: the chart sets this itself; use its own value for it" $name) -}}
{{- end -}}
{{- /* A number comes as a float, which would be printed as 5.24288e+07. */ -}}
{{- $_ := set $own $name (kindIs "float64" $value | ternary (int64 $value | toString) (toString $value)) -}}
{{- end -}}
{{- toYaml $own -}}
{{- end -}}
