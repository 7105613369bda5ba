#!/usr/bin/env bash
# Run once, by root, when Gradescope builds the image: makes an environment with what marks, beside this folder.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$source")
torch_index=""

find_python() {
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    return 1
}

if ! find_python >/dev/null; then # as on Ubuntu 22.04
    export DEBIAN_FRONTEND=noninteractive
    apt-get update
    apt-get install -y --no-install-recommends python3.11 python3.11-venv
fi
"$(find_python)" -m venv "$root/env"
install=("$root/env/bin/python" -m pip --disable-pip-version-check --no-cache-dir install --constraint "$source/constraints.txt")
if [ -n "$torch_index" ]; then
    "${install[@]}" --index-url "$torch_index" torch
fi
"${install[@]}" --requirement "$source/requirements.txt"
"${install[@]}" --no-deps --force-reinstall "$source"/packages/*.whl
chmod go= "$source"
