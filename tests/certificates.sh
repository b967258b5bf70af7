#!/usr/bin/env bash
# Certificates for tests of TLS: tests/certificates.sh FOLDER
#
#   ca.pem              the CA that is trusted (RSA 2048); ca.key
#   middle.pem          an intermediate CA below it (EC P-384)
#   other-ca.pem        a CA that nobody trusts
#   NAME.pem NAME.key   a server certificate with what it should send behind it, and its key:
#     good              RSA 2048; mail.example.com, other.example.com, 192.0.2.53, 2001:db8::53, 127.0.0.1
#     ec                EC P-256, the same names
#     chain             EC P-384, mail.example.com, by the intermediate CA
#     alone             the same without its intermediate
#     wildcard          *.example.com
#     common-name       no subjectAltName; common name mail.example.com
#     wrong             mail.example.net
#     expired, not-yet  by their dates; mail.example.com
#     unknown           mail.example.com, by the CA that nobody trusts
#     self-signed       mail.example.com, by itself
#     short             RSA 1024, mail.example.com
#     sha1              mail.example.com, signed with SHA-1
set -euo pipefail
mkdir -p "$1"
cd "$1"
names='DNS:mail.example.com,DNS:other.example.com,IP:192.0.2.53,IP:2001:db8::53,IP:127.0.0.1'
rsa=(-newkey rsa:2048)
p256=(-newkey ec -pkeyopt ec_paramgen_curve:P-256)
p384=(-newkey ec -pkeyopt ec_paramgen_curve:P-384)

quietly() { "$@" 2>openssl.log || { cat openssl.log >&2; exit 1; }; }

# A CA of its own: authority NAME KEY...
authority() {
    quietly openssl req -x509 -nodes -sha256 -days 3650 -subj "/O=Example/CN=$1" -keyout "$1.key" -out "$1.pem" "${@:2}"
}

# server NAME CA EXTENSION FROM TO KEY...: dates as openssl ca takes them; no EXTENSION: '' (then only a common name)
server() {
    local name=$1 ca=$2 extension=$3 from=$4 to=$5
    quietly openssl req -new -nodes -subj '/CN=mail.example.com' -keyout "$name.key" -out "$name.csr" "${@:6}"
    printf '%s\n' '[ca]' 'default_ca=d' '[d]' 'new_certs_dir=.' 'database=index.txt' 'rand_serial=yes' 'policy=p' \
        'unique_subject=no' '[p]' 'commonName=supplied' '[e]' "$extension" >ca.cnf
    : >index.txt
    quietly openssl ca -batch -config ca.cnf -md "${digest:-sha256}" -notext -startdate "$from" -enddate "$to" \
        -cert "$ca.pem" -keyfile "$ca.key" -extensions e -in "$name.csr" -out "$name.pem"
}

then=20200101000000Z now=20250101000000Z later=20450101000000Z
authority ca "${rsa[@]}"
authority other-ca "${p256[@]}"
server middle ca 'basicConstraints=critical,CA:TRUE' $now $later "${p384[@]}" -subj '/CN=middle'
server good ca "subjectAltName=$names" $now $later "${rsa[@]}"
server ec ca "subjectAltName=$names" $now $later "${p256[@]}"
server chain middle 'subjectAltName=DNS:mail.example.com' $now $later "${p384[@]}"
cp chain.pem alone.pem
cp chain.key alone.key
cat middle.pem >>chain.pem
server wildcard ca 'subjectAltName=DNS:*.example.com' $now $later "${p256[@]}"
server common-name ca 'basicConstraints=CA:FALSE' $now $later "${p256[@]}"
server wrong ca 'subjectAltName=DNS:mail.example.net' $now $later "${p256[@]}"
server expired ca 'subjectAltName=DNS:mail.example.com' $then $now "${p256[@]}"
server not-yet ca 'subjectAltName=DNS:mail.example.com' 20440101000000Z $later "${p256[@]}"
server unknown other-ca 'subjectAltName=DNS:mail.example.com' $now $later "${p256[@]}"
server short ca 'subjectAltName=DNS:mail.example.com' $now $later -newkey rsa:1024
digest=sha1 server sha1 ca 'subjectAltName=DNS:mail.example.com' $now $later "${p256[@]}"
quietly openssl req -x509 -nodes -sha256 -days 3650 -subj '/CN=mail.example.com' -addext 'subjectAltName=DNS:mail.example.com' \
    -keyout self-signed.key -out self-signed.pem "${p256[@]}"
rm -f ./*.csr ./*.old ./*.attr index.txt ca.cnf openssl.log [0-9A-F][0-9A-F][0-9A-F]*.pem
