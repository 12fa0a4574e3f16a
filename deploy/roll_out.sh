#!/usr/bin/env bash
# Apply the production overlay with the image NAME:TAG, and wait until its services are ready.
# KUBECONFIG_TEXT contains a configuration of kubectl, if there is no file with one.
set -euo pipefail

image=${1:?name the image: deploy/roll_out.sh registry.example.org/ai-agent-system:v0.2.0}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -n "${KUBECONFIG_TEXT:-}" ]; then
  KUBECONFIG=$(mktemp)
  export KUBECONFIG
  trap 'rm -f "$KUBECONFIG"' EXIT
  printf '%s' "$KUBECONFIG_TEXT" > "$KUBECONFIG"
fi
namespace=(--namespace ai-agent-system)
# A Job is immutable, so that of the previous release is deleted.
kubectl "${namespace[@]}" delete job migration --ignore-not-found
kubectl kustomize deploy/k8s/overlays/production \
  | sed -E "s#(image: ).*/ai-agent-system:.*#\\1$image#" \
  | kubectl apply --filename -
kubectl "${namespace[@]}" wait --for=condition=complete --timeout=15m job/migration
kubectl "${namespace[@]}" rollout status deployment --timeout=15m
