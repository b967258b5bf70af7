/*
 * Tests of tls/credentials: every kind of key and file that OpenSSL writes, chains in any order,
 * what is refused and how that is said, damage at every byte, and which name gets which.
 */
#include "tls/credentials.h"

#include "base/text.h"
#include "openssl_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])

static struct openssl_fixture material;

/* A key and a certificate for it, signed by what `ca` names ("": by itself). */
static void make(const char *name, const char *genpkey, const char *subject, const char *ca)
{
    openssl_run(&material, "openssl genpkey %s -out %s.key", genpkey, name);
    openssl_run(&material,
                "printf 'subjectAltName=DNS:%s\\nbasicConstraints=CA:%s\\n' >ext && "
                "openssl req -new -key %s.key -subj '/O=Test/CN=%s' -out %s.csr",
                subject, strstr(name, "ca") ? "TRUE" : "FALSE", name, subject, name);
    if (ca[0])
        openssl_run(&material,
                    "openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial "
                    "-days 90 -extfile ext -out %s.pem",
                    name, ca, ca, name);
    else
        openssl_run(&material,
                    "openssl x509 -req -in %s.csr -signkey %s.key -days 90 -extfile ext -out "
                    "%s.pem",
                    name, name, name);
}

static int group_setup(void **state)
{
    openssl_setup(&material);
    make("rootca", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256", "root.example.com", "");
    make("subca", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048", "sub.example.com", "rootca");
    make("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048", "mx.example.com", "subca");
    make("rsa4096", "-algorithm RSA -pkeyopt rsa_keygen_bits:4096", "big.example.com", "");
    make("rsa2049", "-algorithm RSA -pkeyopt rsa_keygen_bits:2049", "odd.example.com", "");
    make("rsa1024", "-algorithm RSA -pkeyopt rsa_keygen_bits:1024", "small.example.com", "");
    make("ec", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256", "mx.example.com", "subca");
    make("p384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384", "mx.example.net", "subca");
    make("p521", "-algorithm EC -pkeyopt ec_paramgen_curve:P-521", "mx.example.net", "");
    make("ed", "-algorithm ED25519", "mx.example.net", "");
    make("other", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048", "mx.example.org", "rootca");
    openssl_run(&material,
                "openssl rsa -in rsa.key -traditional -out rsa.pkcs1; "
                "openssl ec -in ec.key -out ec.sec1; openssl ec -in p384.key -out p384.sec1; "
                "openssl pkcs8 -topk8 -in rsa.key -passout pass:x -out rsa.locked; "
                "openssl rsa -in rsa.key -traditional -aes128 -passout pass:x -out rsa.locked1; "
                "openssl ecparam -name prime256v1 >params.pem; cat params.pem ec.sec1 >ec.both; "
                "openssl ec -in ec.key -param_enc explicit -out ec.explicit; "
                "openssl pkcs12 -export -inkey rsa.key -in rsa.pem -certfile subca.pem -passout "
                "pass:x -out bag; openssl pkcs12 -in bag -passin pass:x -nodes -out rsa.bag; "
                "openssl x509 -in rsa.pem -outform DER -out rsa.der; "
                "openssl genrsa -primes 3 -out rsa.three 2048; "
                "openssl x509 -in rsa.pem -text >rsa.text; "
                "sed 's/$/\\r/' rsa.pem >rsa.crlf; : >empty");
    return 0;
}

static int group_teardown(void **state)
{
    openssl_teardown(&material);
    return 0;
}

/* ---- loading ---- */

struct notes {
    char text[2000];
};

static void on_note(void *ctx, const char *text)
{
    struct notes *n = ctx;

    strncat(n->text, text, sizeof n->text - strlen(n->text) - 2);
    strcat(n->text, "\n");
}

/* "a.pem b.key": one file each; "a.pem+b.key": one file of both. */
static int load(const char *names, struct credentials **out, struct notes *notes,
                struct errbuf *err)
{
    struct credentials_file files[8];
    char *texts[8];
    char buf[256];
    size_t count = 0;
    int rc;

    snprintf(buf, sizeof buf, "%s", names);
    for (char *name = strtok(buf, " "); name; name = strtok(NULL, " ")) {
        char parts[256];

        snprintf(parts, sizeof parts, "%s", name);
        for (char *p = parts; *p; p++)
            *p = *p == '+' ? ' ' : *p;
        texts[count] = openssl_read(&material, parts);
        files[count] = (struct credentials_file){name, span_of(texts[count])};
        count++;
    }
    *out = credentials_new();
    assert_non_null(*out);
    notes->text[0] = '\0';
    rc = credentials_add_group(*out, files, count, on_note, notes, err);
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    return rc;
}

/* Whether the chain has these certificates, as OpenSSL writes them. */
static void check_chain(const struct credential *c, const char *names)
{
    char buf[256];
    size_t i = 0;

    snprintf(buf, sizeof buf, "%s", names);
    for (char *name = strtok(buf, " "); name; name = strtok(NULL, " "), i++) {
        char command[300];
        char *text;
        unsigned hex;

        assert_true(i < c->chain_len);
        snprintf(command, sizeof command, "openssl x509 -in %s.pem -outform DER | od -An -v -tx1",
                 name);
        text = openssl_output(&material, command);
        for (size_t at = 0; at < c->chain[i].data_len; at++) {
            assert_int_equal(sscanf(text + 3 * at + at / 16, " %2x", &hex), 1);
            assert_int_equal(hex, c->chain[i].data[at]);
        }
        free(text);
    }
    assert_int_equal(i, c->chain_len);
}

static void what_is_taken(void **state)
{
    static const struct {
        const char *files, *rsa, *ec, *note; /* chains; NULL: there is none */
    } rows[] = {
        {"rsa.pem+subca.pem rsa.key",                         "rsa subca",        NULL,       NULL                                },
        {"rsa.key rsa.pem+subca.pem",                         "rsa subca",        NULL,       NULL                                },
        {"rsa.key+rsa.pem+subca.pem",                         "rsa subca",        NULL,       NULL                                },
        {"rsa.pem+subca.pem+rootca.pem+rsa.pkcs1",            "rsa subca rootca", NULL,       NULL                                },
        {"rsa.pem+rsa.key",                                   "rsa",              NULL,       NULL                                },
        {"rsa.pem+rsa.key rsa.pem+rsa.key",                   "rsa",              NULL,       NULL                                }, /* cert_file is key_file */
        {"rsa.text+rsa.key",                                  "rsa",              NULL,       NULL                                },
        {"rsa.crlf+rsa.key",                                  "rsa",              NULL,       NULL                                },
        {"rsa.bag",                                           "rsa subca",        NULL,       NULL                                },
        {"ec.pem+subca.pem ec.key",                           NULL,               "ec subca", NULL                                },
        {"ec.pem ec.sec1",                                    NULL,               "ec",       NULL                                },
        {"ec.both ec.pem",                                    NULL,               "ec",       NULL                                },
        {"p384.pem p384.key",                                 NULL,               "p384",     NULL                                },
        {"p384.pem p384.sec1",                                NULL,               "p384",     NULL                                },
        {"rsa4096.pem rsa4096.key",                           "rsa4096",          NULL,       NULL                                },
        {"rsa2049.pem rsa2049.key",                           "rsa2049",          NULL,       NULL                                },
 /* both, in every order that people write */
        {"rsa.pem+subca.pem rsa.key ec.pem+subca.pem ec.key", "rsa subca",        "ec subca", NULL                                },
        {"rsa.key+rsa.pem+subca.pem+ec.key+ec.pem+subca.pem", "rsa subca",        "ec subca", NULL                                },
        {"rsa.pem+rsa.key ec.key+ec.pem",                     "rsa",              "ec",       NULL                                },
        {"rsa.key ec.key ec.pem rsa.pem subca.pem",           "rsa subca",        "ec subca", NULL                                },
 /* what was hardly meant */
        {"rootca.pem+subca.pem+rsa.pem+rsa.key",              "rsa subca rootca", NULL,       "wrong order"                       },
        {"rsa.pem+rootca.pem+subca.pem+rsa.key",              "rsa subca rootca", NULL,       "wrong order"                       },
        {"rsa.pem+other.pem+rsa.key",                         "rsa",              NULL,       "mx.example.org belongs to no chain"},
        {"rsa.pem+rsa.key other.pem+other.key",               "other",            NULL,       "pair of this kind before"          },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct credential_choice choice;
        struct credentials *c;
        struct errbuf err = {""};
        struct notes notes;

        if (load(rows[i].files, &c, &notes, &err) != 0)
            fail_msg("%s: %s", rows[i].files, err.text);
        choice = credentials_choose(c, "");
        assert_int_equal(choice.rsa != NULL, rows[i].rsa != NULL);
        assert_int_equal(choice.ec != NULL, rows[i].ec != NULL);
        if (choice.rsa)
            check_chain(choice.rsa, rows[i].rsa);
        if (choice.ec)
            check_chain(choice.ec, rows[i].ec);
        if (rows[i].note ? !strstr(notes.text, rows[i].note) : notes.text[0] != '\0')
            fail_msg("%s: noted \"%s\"", rows[i].files, notes.text);
        credentials_unref(c);
    }
}

static void what_is_refused(void **state)
{
    static const struct {
        const char *files, *why;
    } rows[] = {
        {"rsa.pem",                 "rsa.pem: there is no private key in it"                          },
        {"rsa.pem subca.pem",       "rsa.pem, subca.pem: there is no private key in it"               },
        {"rsa.key",                 "rsa.key: there is no certificate in it"                          },
        {"empty",                   "empty: there is no certificate in it"                            },
        {"params.pem",              "params.pem: there is no certificate in it"                       },
        {"rsa.pem other.key",       "other.key: the private key does not fit the certificate"         },
        {"rsa.pem ec.key",          "ec.key: the private key does not fit the certificate"            },
        {"ec.pem p384.key",         "p384.key: the private key does not fit the certificate"          },
        {"rsa.pem+rsa.key ec.key",  "ec.key: the private key does not fit"                            },
        {"rsa.pem rsa.locked",      "rsa.locked: the private key is encrypted, which is not supported"},
        {"rsa.pem rsa.locked1",     "rsa.locked1: the private key is encrypted"                       },
        {"rsa1024.pem rsa1024.key",
         "rsa1024.key: the private key is an RSA key of fewer than 2048"                              },
        {"p521.pem p521.key",       "p521.key: the private key is on another curve"                   },
        {"ed.pem ed.key",           "ed.key: the private key is neither RSA nor EC"                   },
        {"ec.pem ec.explicit",      "ec.explicit: the private key is on another curve"                },
        {"rsa.pem rsa.three",       "rsa.three: the private key has more than two primes"             },
        {"rsa.der rsa.key",         "rsa.der, rsa.key: this is DER"                                   },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct credentials *c;
        struct errbuf err = {""};
        struct notes notes;

        assert_int_equal(load(rows[i].files, &c, &notes, &err), -EINVAL);
        if (strncmp(err.text, rows[i].why, strlen(rows[i].why)) != 0)
            fail_msg("%s: %s", rows[i].files, err.text);
        credentials_unref(c);
    }
}

static void what_is_known_of_it(void **state)
{
    struct credential_choice choice;
    struct credentials *c;
    struct errbuf err = {""};
    struct notes notes;
    char *dates = openssl_output(&material, "date -u -d \"$(openssl x509 -in rsa.pem -noout "
                                            "-startdate | cut -d= -f2)\" +%s; date -u -d "
                                            "\"$(openssl x509 -in rsa.pem -noout -enddate | cut "
                                            "-d= -f2)\" +%s");
    long long from, to;

    assert_int_equal(sscanf(dates, "%lld %lld", &from, &to), 2);
    assert_int_equal(load("rsa.pem rsa.key rootca.pem rootca.key", &c, &notes, &err), 0);
    choice = credentials_choose(c, "");
    assert_string_equal(choice.rsa->subject, "mx.example.com");
    assert_int_equal(choice.rsa->not_before_s, from);
    assert_int_equal(choice.rsa->not_after_s, to);
    assert_int_equal(choice.rsa->key_type, BR_KEYTYPE_RSA);
    assert_int_equal(choice.rsa->issuer_key_type, BR_KEYTYPE_RSA);
    assert_false(choice.rsa->self_signed);
    assert_int_equal(choice.rsa->key.rsa.n_bitlen, 2048);
    assert_true(choice.ec->self_signed);
    assert_int_equal(choice.ec->issuer_key_type, BR_KEYTYPE_EC);
    assert_int_equal(choice.ec->key.ec.curve, BR_EC_secp256r1);
    assert_int_equal(choice.ec->key.ec.xlen, 32);
    credentials_unref(c);
    free(dates);
}

/* ---- damage ---- */

static int load_text(struct span text)
{
    struct credentials_file file = {"x.pem", text};
    struct credentials *c = credentials_new();
    struct errbuf err = {""};
    int rc;

    assert_non_null(c);
    rc = credentials_add_group(c, &file, 1, NULL, NULL, &err);
    if (rc < 0)
        assert_memory_equal(err.text, "x.pem", 5);
    credentials_unref(c);
    return rc;
}

static void every_truncation(void **state)
{
    static const char *const files[] = {"rsa.key rsa.pem", "ec.sec1 ec.pem", "rsa.pem rsa.pkcs1"};

    for (size_t i = 0; i < ROWS(files); i++) {
        char *text = openssl_read(&material, files[i]);
        size_t len = strlen(text);

        for (size_t cut = 0; cut + 1 < len; cut++) { /* without the last line's end it is whole */
            char *exact = malloc(cut + 1);           /* so that a byte too far is seen */

            assert_non_null(exact);
            memcpy(exact, text, cut);
            assert_int_equal(load_text(span_make(exact, cut)), -EINVAL);
            free(exact);
        }
        assert_int_equal(load_text(span_make(text, len - 1)), 0);
        free(text);
    }
}

/* A key with one bit turned is never taken: it would fail in the middle of a handshake. */
static void every_damaged_byte_of_a_key(void **state)
{
    static const char *const files[] = {"ec.key ec.pem", "ec.sec1 ec.pem"};
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    for (size_t i = 0; i < ROWS(files); i++) {
        char *text = openssl_read(&material, files[i]);
        char *end = strstr(text, "-----END");
        unsigned taken = 0;

        for (char *p = strchr(text, '\n') + 1; p < end; p++) {
            char was = *p;

            *p = digits[(size_t)(p - text) % (sizeof digits - 1)];
            if (*p != was && load_text(span_of(text)) == 0)
                taken++; /* the public half at the key's end is computed, not read */
            *p = was;
        }
        if (taken > 100)
            fail_msg("%s: %u damaged keys were taken", files[i], taken);
        free(text);
    }
}

/* An RSA key's numbers stand one after the other: in each of them damage must be found. */
static void damaged_numbers_of_an_rsa_key(void **state)
{
    char *text = openssl_read(&material, "rsa.pkcs1 rsa.pem");
    char *begin = strchr(text, '\n') + 1;
    char *end = strstr(text, "-----END");
    size_t step = (size_t)(end - begin) / 40;
    unsigned taken = 0;

    for (size_t at = 10; at < (size_t)(end - begin); at += step) {
        char *p = begin[at] == '\n' ? begin + at + 1 : begin + at;
        char was = *p;

        *p = was == 'A' ? 'B' : 'A';
        taken += load_text(span_of(text)) == 0;
        *p = was;
    }
    if (taken > 11) /* d, an eighth to a quarter of the file, is not needed: CRT has its parts */
        fail_msg("%u of 40 damaged keys were taken", taken);
    assert_int_equal(load_text(span_of(text)), 0);
    free(text);
}

/* What BearSSL 0.6's own decoder overflows on: numbers larger than those of RSA 4096. */
static void oversized_keys(void **state)
{
    struct errbuf err = {""};
    struct credentials *c;
    struct notes notes;

    openssl_run(&material, "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4608 "
                           "-out huge.key; openssl req -x509 -new -key huge.key -subj /CN=x "
                           "-out huge.pem");
    assert_int_equal(load("huge.pem huge.key", &c, &notes, &err), -EINVAL);
    assert_non_null(strstr(err.text, "huge.key: the private key is an RSA key of more than 4096"));
    credentials_unref(c);
    /* SEC 1 with 1559 bytes where 32 belong */
    openssl_run(&material,
                "python3 -c \"import base64,sys; x=b'\\\\x01'*1559; "
                "o=b'\\\\x04\\\\x82'+len(x).to_bytes(2,'big')+x; "
                "p=bytes.fromhex('a00a06082a8648ce3d030107'); b=b'\\\\x02\\\\x01\\\\x01'+o+p; "
                "s=b'\\\\x30\\\\x82'+len(b).to_bytes(2,'big')+b; "
                "print('-----BEGIN EC PRIVATE KEY-----'); print(base64.b64encode(s).decode()); "
                "print('-----END EC PRIVATE KEY-----')\" >wide.key");
    assert_int_equal(load("ec.pem wide.key", &c, &notes, &err), -EINVAL);
    assert_non_null(strstr(err.text, "wide.key: the private key is damaged: its numbers"));
    credentials_unref(c);
}

/* ---- names ---- */

static struct credentials *with_names(void)
{
    static const char *const names[] = {".example.net", ".sub.example.net", "mx.example.net",
                                        "mx.example.org"};
    static const size_t groups[] = {1, 2, 2, 1};
    static const char *const files[] = {"ec.pem ec.key", "rsa.pem rsa.key"};
    struct credentials *c;
    struct errbuf err = {""};
    struct notes notes;

    assert_int_equal(load("p384.pem p384.key", &c, &notes, &err), 0);
    for (size_t i = 0; i < ROWS(files); i++) {
        char *text = openssl_read(&material, files[i]);
        struct credentials_file file = {files[i], span_of(text)};

        assert_int_equal(credentials_add_group(c, &file, 1, NULL, NULL, &err), (int)i + 1);
        free(text);
    }
    for (size_t i = 0; i < ROWS(names); i++)
        assert_int_equal(credentials_add_name(c, names[i], groups[i]), 0);
    assert_int_equal(credentials_groups(c), 3);
    return c;
}

static void which_name_gets_which(void **state)
{
    static const struct {
        const char *name;
        size_t group;
    } rows[] = {
        {"",                  0},
        {"mx.example.com",    0},
        {"mx.example.net",    2},
        {"MX.Example.NET",    2},
        {"mx.example.net.",   2},
        {"other.example.net", 1},
        {"a.b.example.net",   1},
        {"a.sub.example.net", 2},
        {"sub.example.net",   1},
        {"example.net",       0},
        {".example.net",      1}, /* what a client may not say, but can */
        {"xexample.net",      0},
        {"mx.example.org",    1},
        {"a.mx.example.org",  0},
        {".",                 0},
    };
    struct credentials *c = with_names();
    char longest[400];

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct credential_choice got = credentials_choose(c, rows[i].name);
        struct credential_choice want = credentials_group(c, rows[i].group);

        if (got.rsa != want.rsa || got.ec != want.ec)
            fail_msg("%s", rows[i].name);
    }
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_ptr_equal(credentials_choose(c, longest).ec, credentials_group(c, 0).ec);
    assert_ptr_equal(credentials_ref(c), c);
    credentials_unref(c);
    assert_int_equal(credentials_groups(c), 3); /* there is one reference left */
    credentials_unref(c);
    credentials_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(what_is_known_of_it),
        cmocka_unit_test(every_truncation),
        cmocka_unit_test(every_damaged_byte_of_a_key),
        cmocka_unit_test(damaged_numbers_of_an_rsa_key),
        cmocka_unit_test(oversized_keys),
        cmocka_unit_test(which_name_gets_which),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
