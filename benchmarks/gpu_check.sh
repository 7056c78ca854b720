#!/usr/bin/env bash
# Does training, resuming and evaluating hold on this machine's GPU, and how fast is it?
#
#   benchmarks/gpu_check.sh [--wheels FOLDER] [--out FOLDER] [--device cuda|cpu] [--minutes 8] [part ...]
#
# Needs this checkout, Python 3.12 with torch for CUDA, and what else pyproject.toml asks for: there already, or as wheels
# in a folder (.wheels in the checkout, unless --wheels names another). Nothing is installed and nothing is fetched.
# PYTHON names another interpreter than python3. What is written: <out>/gpu_check.json and <out>/gpu_check.md.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
wheels=$root/.wheels
arguments=()
while (($#)); do
    if [[ $1 == --wheels ]]; then
        wheels=${2:?--wheels needs a folder}
        shift 2
    else
        arguments+=("$1")
        shift
    fi
done

site=$(mktemp -d) # the packages as a wheel would lay them out
trap 'rm -rf "$site"' EXIT
cp -r "$root/vae_cli" "$root/hydra_plugins" "$site"
cp -r "$root/conf" "$site/vae_cli/conf"
if compgen -G "$wheels/*.whl" >/dev/null; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$site/wheels" "$wheels"/*.whl
fi

export PYTHONPATH="$site:$site/wheels:$root/benchmarks" PYTHONSAFEPATH=1 MPLBACKEND=agg # not from the present folder
"$python" -m gpu_check "${arguments[@]}"
