#!/usr/bin/env bash
# `make run`: installs what is missing, builds, and starts the gateway on an unprivileged port, delivering into
# ./var/maildir. Every setting can be given in the environment instead.
set -euo pipefail
cd "$(dirname "$0")/.."
unset MAKEFLAGS MFLAGS # the calling make's job server is not ours

tools/setup.sh build run
make --no-print-directory

export LISTEN=${LISTEN:-127.0.0.1:2525}
export RELAY_TRANSPORT=${RELAY_TRANSPORT:-maildir:$PWD/var/maildir}
export ALLOWED_DOMAINS=${ALLOWED_DOMAINS:-example.com}
export QUEUE_DIRECTORY=${QUEUE_DIRECTORY:-$PWD/var/spool}
mkdir -p var

# What to type in another terminal, for the first address and the first domain.
first=${LISTEN%%[, ]*}
port=${first##*:}
host=${first%"$port"}
host=${host%:}
host=${host//[\[\]]/}
host=${host:-127.0.0.1}
to=ann@${ALLOWED_DOMAINS%%[, ]*}
cat <<EOF

Send it a mail from another terminal:
  swaks --server $host --port $port --from bob@example.org --to $to
or with nothing but nc:
  printf 'HELO me\nMAIL FROM:<bob@example.org>\nRCPT TO:<$to>\nDATA\nSubject: hi\n\nhello\n.\nQUIT\n' | nc $host $port
It goes to $RELAY_TRANSPORT; what waits is in $QUEUE_DIRECTORY. Stop with Ctrl-C.

EOF
exec build/mxgate serve
