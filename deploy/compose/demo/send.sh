#!/bin/bash
# Sends one mail to ann@example.com by SMTP, as a stranger would, and prints it as it lies in her mailbox. Bash alone: its
# /dev/tcp is the connection.
set -euo pipefail
token=demo-$$-$(date +%s)

# expect CODE: reads one reply and shows it.
expect() {
    local line
    while IFS= read -r -t 30 line <&3; do
        echo "S: ${line%$'\r'}"
        [ "${line:3:1}" = - ] || break
    done
    [ "${line:0:3}" = "$1" ] || { echo "expected $1" >&2; exit 1; }
}
say() {
    echo "C: $1"
    printf '%s\r\n' "$1" >&3
}

exec 3<>/dev/tcp/mxgate/25
expect 220
say 'EHLO sender.example.org'
expect 250
say 'MAIL FROM:<bob@example.org>'
expect 250
say 'RCPT TO:<ann@example.com>'
expect 250
say 'DATA'
expect 354
say 'From: Bob <bob@example.org>'
say 'To: Ann <ann@example.com>'
say "Subject: hello ($token)"
say ''
say 'It works.'
say '.'
expect 250
say 'QUIT'
expect 221

# 250 was said after Dovecot had it, or once it was safe in the gateway's queue: so it is there, or comes at once.
for _ in $(seq 100); do
    if file=$(grep -rl "$token" /srv/mail/ann/new 2>/dev/null); then
        echo
        echo "it is in Dovecot, at $file:"
        cat "$file"
        exit 0
    fi
    sleep 0.1
done
echo "no mail within 10 s; see: docker compose logs" >&2
exit 1
