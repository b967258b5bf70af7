#!/usr/bin/env bash
# Prints docs/POSTFIX-PARAMETERS.md from src/config/ (postfix_names, boky_names, settings, aliases) and the list of all
# parameters (tests/unit/postfix_parameters.inc); `make lint` compares the two.
#
#   tools/postfix-doc.sh >docs/POSTFIX-PARAMETERS.md
set -euo pipefail
cd "$(dirname "$0")/.."

# One line per row of a .def file: CLASS<tab>text<tab>text..., with the strings of each argument joined.
rows() {
    awk '
        /^[A-Z_]+\(/ { row = ""; open = 1 }
        open { row = row $0 "\n" }
        open && /"\)$/ {
            open = 0
            class = row; sub(/\(.*/, "", class)
            line = class
            count = split(row, part, "\"")
            text = part[2]
            for (i = 3; i <= count; i += 2) {
                if (part[i] ~ /[,)]/) { line = line "\t" text; text = "" }
                text = text part[i + 1]
            }
            print line
        }' "$1"
}

listed() { grep -oE '"[^"]+"' tests/unit/postfix_parameters.inc | tr -d '"'; }
settings() {
    grep -oE '^SETTING\([a-z]+, [A-Za-z0-9_]+' src/config/settings.def | sed 's/.* //'
    grep -oE '^ALIAS\([A-Za-z0-9_]+' src/config/aliases.def | sed 's/.*(//'
}

classified() {
    rows src/config/postfix_names.def | awk -F '\t' '
        FNR == NR { all[++n] = $0; next }
        {
            class = $1; names = $NF
            count = split(names, name, " ")
            for (i = 1; i <= count; i++) {
                if (name[i] !~ /^\*/) { print class "\t" name[i]; continue }
                end = substr(name[i], 2)
                for (j = 1; j <= n; j++)
                    if (length(all[j]) > length(end) && substr(all[j], length(all[j]) - length(end) + 1) == end)
                        print class "\t" all[j]
            }
        }' <(listed | grep -vxFf <(settings)) - | sort -u -t "$(printf '\t')" -k2,2
}

count() { classified | grep -cE "^$1	"; }

# shellcheck disable=SC2016 # backticks of Markdown
quoted() { sed 's/.*/`&`/' | paste -sd ' ' | fold -s -w 118 | sed 's/ *$//'; }

supported=$(listed | grep -cxFf <(settings))
own=$(($(settings | wc -l) - supported))
cat <<EOF
# Postfix's parameters

Made by \`tools/postfix-doc.sh\` from \`src/config/\`; do not edit by hand.

Every parameter that \`postconf -d\` of Postfix 3.7 to 3.11 knows, and some old ones: $(listed | wc -l) in all. Whatever is set
and is not supported is told at start, once, with the reason.

| what becomes of it | parameters |
| --- | --- |
| supported: a row of [SETTINGS.md](SETTINGS.md) (which has $own more, of mxgate's own) | $supported |
| without meaning here, told as \`INFO\` and ignored | $(count MEANINGLESS) |
| not in this version, told as \`WARN\` and ignored | $(count MISSING) |
| refused: the start ends with exit code 78, as ignoring it would change who may send what where | $(count 'REFUSED(_SMTP)?') |

A refused one may be set to nothing, or to what Postfix has anyway.

## Supported

$(listed | grep -xFf <(settings) | quoted)

## Refused

| parameter | harmless values | otherwise |
| --- | --- | --- |
EOF
rows src/config/postfix_names.def | awk -F '\t' '
    /^REFUSED/ {
        harmless = $2
        gsub(/\|/, "`, `", harmless)
        gsub(/ /, "` `", $4)
        note = $1 == "REFUSED_SMTP" ? " (only if relay_transport is `smtp:`)" : ""
        print "| `" $4 "` | " (harmless == "" ? "" : "`" harmless "`") " | " $3 note " |"
    }' | sed 's/| ``, /| /'

section() {
    echo
    echo "## $2"
    echo
    echo '| because | parameters |'
    echo '| --- | --- |'
    rows src/config/postfix_names.def | awk -F '\t' -v class="$1" '
        $1 == class { gsub(/ /, "` `", $3); print "| " $2 " | `" $3 "` |" }'
}
section MISSING 'Not in this version'
section MEANINGLESS 'Without meaning here'

cat <<'EOF'

# Variables of boky/postfix

`ALLOWED_DOMAINS`-like variables that are settings are in [SETTINGS.md](SETTINGS.md). A `*` stands for any ending.

| variable | what becomes of it |
| --- | --- |
| `RELAYHOST` | not in this version: all mail goes to `relay_transport`; a host that speaks LMTP there is found out and told |
EOF
rows src/config/boky_names.def | awk -F '\t' '
    { print "| `" $2 "` | " ($1 ~ /MEANINGLESS/ ? "without meaning here: " : "not in this version: ") $3 " |" }'
