"""testssl.sh (Debian's package) looks at our STARTTLS: nothing that it finds is worse than LOW."""

import json
import os
import shutil
import subprocess

import pytest

from harness import wait

pytestmark = pytest.mark.skipif(not shutil.which("testssl"), reason="needs Debian's package testssl.sh")

# All of it takes minutes: here protocols, ciphers by kind, forward secrecy; MXGATE_TESTSSL=full for the rest (certificate,
# resumption, each known attack, each cipher, simulated clients; docs/TLS.md has the result).
FULL = os.environ.get("MXGATE_TESTSSL") == "full"
CHECKS = [] if FULL else ["-p", "-s", "-f"]
HARMLESS = {"OK", "INFO", "LOW"}
# Of the way it is tested, not of the server: what testssl's openssl cannot do here.
NOT_OURS = {"engine_problem", "sessionresumption_ID"}
NEVER = {"SSLv2", "SSLv3", "TLS1", "TLS1_1", "cipherlist_NULL", "cipherlist_aNULL", "cipherlist_EXPORT", "cipherlist_LOW",
         "cipherlist_3DES_IDEA"}


def run(*command, cwd):
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    """(folder, chain files): certificates for localhost from a CA, as a public one would make them."""
    top = tmp_path_factory.mktemp("issued")
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "90",
        "-subj", "/O=Test/CN=Test CA", cwd=top)
    (top / "extensions").write_text("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n"
                                    "keyUsage=digitalSignature\ncrlDistributionPoints=URI:http://localhost/crl\n")
    for kind, options in (("rsa", ["rsa:2048"]), ("ec", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"])):
        run("openssl", "req", "-newkey", *options, "-nodes", "-keyout", f"{kind}.key", "-out", f"{kind}.csr", "-subj",
            "/CN=localhost", cwd=top)
        run("openssl", "x509", "-req", "-in", f"{kind}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days",
            "90", "-extfile", "extensions", "-out", f"{kind}.crt", cwd=top)
        (top / f"{kind}.pem").write_bytes((top / f"{kind}.key").read_bytes() + (top / f"{kind}.crt").read_bytes())
        (top / f"{kind}.pem").chmod(0o600)
    return top, f"{top / 'rsa.pem'}, {top / 'ec.pem'}"


@pytest.mark.slow
@pytest.mark.timeout(900 * wait.SCALE)
def test_nothing_worse_than_low(gateways, peer, issued):
    top, chains = issued
    gateway = gateways(relay_transport=peer.transport, smtpd_tls_chain_files=chains,
                       smtpd_client_connection_count_limit=500)
    done = subprocess.run(["testssl", "--warnings", "off", "--color", "0", "--quiet", "--nodns", "none", "--add-ca",
                           top / "ca.pem", "--jsonfile", top / "found.json", *CHECKS, "--ip", "127.0.0.1", "--starttls",
                           "smtp", f"localhost:{gateway.port}"], cwd=top, capture_output=True, text=True, check=False)
    try:
        found = json.loads((top / "found.json").read_text())
    except (OSError, ValueError):
        pytest.fail(f"testssl did not come to its end:\n{done.stdout}\n{done.stderr}")
    by_id = {item["id"]: item for item in found}
    assert [f"{i['severity']} {i['id']}: {i['finding']}" for i in found
            if i["severity"] not in HARMLESS and i["id"] not in NOT_OURS] == []
    assert "offered" in by_id["TLS1_2"]["finding"] and by_id["TLS1_2"]["severity"] == "OK"
    for name in NEVER:
        assert by_id[name]["finding"] == "not offered" or by_id[name]["finding"].startswith("not offered"), by_id[name]
    secrecy = by_id.get("FS") or by_id["PFS"]  # its name before 3.2
    assert secrecy["severity"] == "OK", secrecy
    for attack in ("heartbleed", "CCS", "ROBOT", "secure_client_renego", "CRIME_TLS", "LUCKY13") if FULL else ():
        assert by_id[attack]["severity"] == "OK", by_id[attack]
