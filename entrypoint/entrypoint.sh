#!/bin/sh
# entrypoint - the container's first process: runs the operator's init scripts, then becomes the gateway
#
#   /docker-init.db/*.sh   deprecated, said so; then
#   /docker-init.d/*.sh    both in the order of their names, as boky/postfix runs them: one that is executable is
#                          sourced (what it exports reaches the gateway), any other is run by bash, or by sh where
#                          the image has no bash. Other files are named and ignored.
#   exec mxgate serve      in this process: it is PID 1 and gets the signals
#
# A command given as arguments runs instead of all that. The first script that fails ends the container with its exit
# code: a gateway that is half set up must not take mail. `postconf -e "name = value"` works inside the scripts, and so
# do the words of boky/postfix's own: info, notice, warn, error, fatal, do_postconf.
#
# MXGATE_INIT_D, MXGATE_INIT_DB: other folders, for tests.
set -e

info() { printf '‣ INFO  %s\n' "$*"; }
notice() { printf '‣ NOTE  %s\n' "$*"; }
warn() { printf '‣ WARN  %s\n' "$*"; }
error() { printf '‣ ERROR %s\n' "$*" >&2; }
fatal() {
    printf '‣ FATAL %s\n' "$*" >&2
    exit 1
}
do_postconf() { postconf "$@"; }

# Which script ended us, and why the gateway did not start.
mxgate_on_exit() {
    mxgate_code=$?
    error "${mxgate_script} ended with exit code ${mxgate_code}: the gateway is not started"
    exit "$mxgate_code"
}

mxgate_run_scripts() {
    mxgate_folder=$1
    for mxgate_script in "$mxgate_folder"/*; do
        case $mxgate_script in
        *.sh)
            if [ -x "$mxgate_script" ]; then
                printf '\tsourcing %s\n' "$mxgate_script"
                # shellcheck disable=SC1090 # the operator's
                . "$mxgate_script"
            elif command -v bash >/dev/null; then
                printf '\trunning bash %s\n' "$mxgate_script"
                bash "$mxgate_script"
            else
                printf '\trunning sh %s\n' "$mxgate_script"
                sh "$mxgate_script"
            fi
            ;;
        "$mxgate_folder/*") ;; # the folder is empty
        *) echo "$0: ignoring $mxgate_script" ;;
        esac
    done
}

[ $# -eq 0 ] || exec "$@"

mxgate_init_d=${MXGATE_INIT_D:-/docker-init.d}
mxgate_init_db=${MXGATE_INIT_DB:-/docker-init.db}
trap mxgate_on_exit EXIT
if [ -d "$mxgate_init_db" ]; then
    notice "Executing any found custom scripts found in ${mxgate_init_db}/..."
    warn "${mxgate_init_db}/ is deprecated. Please move your scripts (mount them) to ${mxgate_init_d}/"
    mxgate_run_scripts "$mxgate_init_db"
fi
if [ -d "$mxgate_init_d" ]; then
    notice "Executing any found custom scripts found in ${mxgate_init_d}/..."
    mxgate_run_scripts "$mxgate_init_d"
fi
trap - EXIT
exec mxgate serve
