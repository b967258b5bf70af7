#!/usr/bin/env bash
# Makes deploy/kubernetes/plain/*.yaml from the chart: tools/kubernetes-plain.sh [FOLDER]
#
# With Helm where there is one, else with tests/deploy/offline (tools/setup.sh test installs what that needs). The tests
# compare what is in the tree with what comes out here.
set -euo pipefail
cd "$(dirname "$0")/.."
to=${1:-deploy/kubernetes/plain}

render() { # VALUES
    if command -v helm >/dev/null; then
        helm template mxgate deploy/kubernetes/chart --namespace mail --values "$1"
    else
        tools/deploy-offline.sh render deploy/kubernetes/chart mxgate mail <"$1"
    fi
}

for name in mxgate mxgate-proxy-protocol; do
    values=deploy/kubernetes/plain/values${name#mxgate}.yaml
    {
        echo "# Made by tools/kubernetes-plain.sh from chart/ and plain/$(basename "$values"). Edit the placeholders:"
        echo '# image, domains, host name, transport.'
        # What says that Helm looks after these objects would not be true of them.
        render "$values" | sed -e '/^# Source: /d' -e '/^ *helm.sh\/chart: /d' -e '/^ *app.kubernetes.io\/managed-by: Helm$/d' \
            -e 's/ *$//'
    } >"$to/$name.yaml.new"
    mv "$to/$name.yaml.new" "$to/$name.yaml"
done
