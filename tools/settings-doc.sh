#!/usr/bin/env bash
# Prints docs/SETTINGS.md from src/config/settings.def; `make lint` compares the two.
#
#   tools/settings-doc.sh >docs/SETTINGS.md
set -euo pipefail
cd "$(dirname "$0")/.."

cat <<'EOF'
# Settings

Made by `tools/settings-doc.sh` from `src/config/settings.def`; do not edit by hand.

A setting `x` is given as `POSTFIX_x=value`, or by its name in capitals (`X=value`), or as `x = value` in the
ini file. Of two variables `POSTFIX_x` wins; any variable beats the ini file; an empty variable returns the setting
to its default. `postconf -e "x = value"` beats them all, at once and over restarts, until `postconf -X x`. Names with a friendly variable: `ALLOWED_DOMAINS` (relay_domains), `DOMAIN` (mydomain), `INBOUND_DEBUGGING` (debug_peer_list).
A secret may be in a file: `X_FILE=/run/secrets/x` (or `POSTFIX_x_FILE`) is `X` with what the file holds; here
anonymize_emails (its salt).
`HOSTNAME` is the default of myhostname. `mail_name` is only `POSTFIX_mail_name`, since container engines
set `MAIL_NAME` for links.

The ini file is `/etc/mxgate/mxgate.ini`, or the one that `MXGATE_INI` or `-c FILE` names:

    [mxgate]                        ; may be left out
    relay_domains = example.com,    ; a comment, after a blank
        example.net                 ; a line that begins with a blank continues the one before
    # a comment

A name in it that is neither a setting nor a parameter of Postfix stops the start; in the environment it is a warning.
[POSTFIX-PARAMETERS.md](POSTFIX-PARAMETERS.md) says what becomes of Postfix's parameters that are not here.
`mxgate check` shows what all sources together come to, and what is wrong with them, without starting.

A list takes commas, blanks and newlines alike. A time is `300s`, `5m`, `1h`, `5d` or `500ms`; a bare number has the
unit of the default. A size is in bytes, or with K, M, G (1024). `$name` stands for another setting,
`${name?{a}:{b}}` for a if that is not empty, else for b. Settings marked "restart" are fixed at start; all others are
taken over by SIGHUP, and by `postconf -e` at once.

| setting | default | what it is | values |
| --- | --- | --- | --- |
EOF

awk '
    function time(ms) {
        if (ms >= 86400000 && ms % 86400000 == 0) return ms / 86400000 "d"
        if (ms >= 60000 && ms % 60000 == 0) return ms / 60000 "m"
        return ms % 1000 == 0 ? ms / 1000 "s" : ms "ms"
    }
    function size(n) {
        if (n >= 1073741824 && n % 1073741824 == 0) return n / 1073741824 "G"
        if (n >= 1048576 && n % 1048576 == 0) return n / 1048576 "M"
        return n
    }
    function values(kind, def, min, max) {
        if (kind == "choice") { gsub(/\|/, "`, `", def); return "`" def "`" }
        if (kind == "flag") return "`yes`, `no`"
        if (kind == "time") return time(min) " to " time(max)
        if (kind == "bytes") return size(min) " to " size(max)
        if (kind == "number") return min " to " max
        return kind == "words" ? "a list" : "a text"
    }
    /^\/\*.*\*\/$/ {
        title = $0; gsub(/^\/\* *| *\*\/$/, "", title)
        print "| **" title "** | | | |"
    }
    /^SETTING\(/ {
        # SETTING(kind, name, "default", min, max, live, "help")
        if (split($0, quoted, "\"") != 5 || split(quoted[1], head, /[(,] */) != 4 || split(quoted[3], tail, /, */) != 5) {
            print "settings-doc: this row is not understood: " $0 >"/dev/stderr"
            exit 1
        }
        shown = quoted[2]
        if (head[2] == "choice") sub(/\|.*/, "", shown)
        print "| `" head[3] "` | " (shown == "" ? "" : "`" shown "`") " | " quoted[4] \
            (tail[4] == "FIXED" ? " *Restart.*" : "") " | " values(head[2], quoted[2], tail[2], tail[3]) " |"
    }' src/config/settings.def
