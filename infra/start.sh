#!/bin/sh
# What a container does: start.sh server | setup | control | machine
set -eu
role=${1:?server, setup, control or machine}
root=${TALKHEAD_ROOT:-/workspace}
code=${TALKHEAD_CODE:-/opt/talkhead}

# A workspace of its own for each worker: a clone of the image's code on the worker's volume, brought to the image's commit at
# each start; the register of speakers is the worker's own.
workspace() {
    if [ ! -d "$root/.git" ]; then
        git clone --quiet --no-checkout "$code" "$root/.clone"
        mv "$root/.clone/.git" "$root/.git"
        rmdir "$root/.clone"
        git -C "$root" reset --quiet --hard
    else
        cp "$root/speakers.yaml" "$root/.speakers.yaml"
        git -C "$root" fetch --quiet "$code" HEAD
        git -C "$root" reset --quiet --hard FETCH_HEAD
        mv "$root/.speakers.yaml" "$root/speakers.yaml"
    fi
    cd "$root"
    export TALKHEAD_ROOT="$root" PYTHONPATH="$root"
}

case $role in
server)
    exec prefect server start --host 0.0.0.0 --port 4200
    ;;
setup)
    cd "$code"
    # shellcheck disable=SC2086  # several options
    python -m flows.server_setup ${TALKHEAD_MACHINES:-}
    exec prefect --no-prompt deploy --all
    ;;
control)
    workspace
    [ -z "${TALKHEAD_STORE:-}" ] || python -m flows.command_line store use "$TALKHEAD_STORE"
    exec prefect worker start --pool control --limit 20
    ;;
machine)
    workspace
    [ -z "${TALKHEAD_STORE:-}" ] || python -m flows.command_line store use "$TALKHEAD_STORE" --machine
    exec prefect worker start --pool machines --limit 1
    ;;
*)
    echo "start.sh: no such role: $role" >&2
    exit 2
    ;;
esac
