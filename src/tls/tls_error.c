/* tls_error - see tls_error.h */
#include "tls/tls_error.h"

#include <bearssl.h>

struct words {
    int number;
    const char *text;
};

static const struct words alerts[] = {
    {BR_ALERT_CLOSE_NOTIFY,            "close notify"                   },
    {BR_ALERT_UNEXPECTED_MESSAGE,      "unexpected message"             },
    {BR_ALERT_BAD_RECORD_MAC,          "bad record mac"                 },
    {21,                               "decryption failed"              },
    {BR_ALERT_RECORD_OVERFLOW,         "record overflow"                },
    {BR_ALERT_DECOMPRESSION_FAILURE,   "decompression failure"          },
    {BR_ALERT_HANDSHAKE_FAILURE,       "handshake failure"              },
    {41,                               "no certificate"                 },
    {BR_ALERT_BAD_CERTIFICATE,         "bad certificate"                },
    {BR_ALERT_UNSUPPORTED_CERTIFICATE, "unsupported certificate"        },
    {BR_ALERT_CERTIFICATE_REVOKED,     "certificate revoked"            },
    {BR_ALERT_CERTIFICATE_EXPIRED,     "certificate expired"            },
    {BR_ALERT_CERTIFICATE_UNKNOWN,     "certificate unknown"            },
    {BR_ALERT_ILLEGAL_PARAMETER,       "illegal parameter"              },
    {BR_ALERT_UNKNOWN_CA,              "unknown ca"                     },
    {BR_ALERT_ACCESS_DENIED,           "access denied"                  },
    {BR_ALERT_DECODE_ERROR,            "decode error"                   },
    {BR_ALERT_DECRYPT_ERROR,           "decrypt error"                  },
    {60,                               "export restriction"             },
    {BR_ALERT_PROTOCOL_VERSION,        "protocol version"               },
    {BR_ALERT_INSUFFICIENT_SECURITY,   "insufficient security"          },
    {BR_ALERT_INTERNAL_ERROR,          "internal error"                 },
    {86,                               "inappropriate fallback"         },
    {BR_ALERT_USER_CANCELED,           "user canceled"                  },
    {BR_ALERT_NO_RENEGOTIATION,        "no renegotiation"               },
    {109,                              "missing extension"              },
    {BR_ALERT_UNSUPPORTED_EXTENSION,   "unsupported extension"          },
    {111,                              "certificate unobtainable"       },
    {112,                              "unrecognized name"              },
    {113,                              "bad certificate status response"},
    {115,                              "unknown psk identity"           },
    {116,                              "certificate required"           },
    {BR_ALERT_NO_APPLICATION_PROTOCOL, "no application protocol"        },
};

/* What we say about an alert of ours: the cause where there is only one. */
static const struct words sent[] = {
    {BR_ALERT_HANDSHAKE_FAILURE, "no cipher, curve or signature algorithm in common"      },
    {BR_ALERT_PROTOCOL_VERSION,  "no protocol version in common"                          },
    {86,                         "inappropriate fallback: the peer speaks a newer version"},
};

static const struct words errors[] = {
    {BR_ERR_OK,                       "no error"                                         },
    {BR_ERR_BAD_PARAM,                "malformed handshake message"                      },
    {BR_ERR_BAD_STATE,                "call in the wrong state"                          },
    {BR_ERR_UNSUPPORTED_VERSION,      "not TLS (plain text?), or an unsupported version" },
    {BR_ERR_BAD_VERSION,              "record with the wrong version"                    },
    {BR_ERR_BAD_LENGTH,               "record with a bad length"                         },
    {BR_ERR_TOO_LARGE,                "record too large"                                 },
    {BR_ERR_BAD_MAC,                  "record was changed on the way (bad MAC)"          },
    {BR_ERR_NO_RANDOM,                "no entropy"                                       },
    {BR_ERR_UNKNOWN_TYPE,             "record of unknown type"                           },
    {BR_ERR_UNEXPECTED,               "unexpected message"                               },
    {BR_ERR_BAD_CCS,                  "bad ChangeCipherSpec"                             },
    {BR_ERR_BAD_ALERT,                "malformed alert"                                  },
    {BR_ERR_BAD_HANDSHAKE,            "malformed handshake message"                      },
    {BR_ERR_OVERSIZED_ID,             "session id too long"                              },
    {BR_ERR_BAD_CIPHER_SUITE,         "the server chose a cipher that was not offered"   },
    {BR_ERR_BAD_COMPRESSION,          "the server chose a compression"                   },
    {BR_ERR_BAD_FRAGLEN,              "bad maximum fragment length"                      },
    {BR_ERR_BAD_SECRENEG,             "bad renegotiation info"                           },
    {BR_ERR_EXTRA_EXTENSION,          "the server sent an extension that was not offered"},
    {BR_ERR_BAD_SNI,                  "bad server name extension"                        },
    {BR_ERR_BAD_HELLO_DONE,           "malformed ServerHelloDone"                        },
    {BR_ERR_LIMIT_EXCEEDED,           "public key or signature too large"                },
    {BR_ERR_BAD_FINISHED,             "Finished does not verify"                         },
    {BR_ERR_RESUME_MISMATCH,          "resumed session with other parameters"            },
    {BR_ERR_INVALID_ALGORITHM,        "unsupported curve or signature algorithm"         },
    {BR_ERR_BAD_SIGNATURE,            "bad signature on the key exchange"                },
    {BR_ERR_WRONG_KEY_USAGE,          "certificate's key does not fit the cipher"        },
    {BR_ERR_NO_CLIENT_AUTH,           "no client certificate"                            },
    {BR_ERR_IO,                       "I/O error"                                        },
    {BR_ERR_X509_INVALID_VALUE,       "certificate: invalid value"                       },
    {BR_ERR_X509_TRUNCATED,           "certificate: truncated"                           },
    {BR_ERR_X509_EMPTY_CHAIN,         "no certificate shown"                             },
    {BR_ERR_X509_INNER_TRUNC,         "certificate: inner element truncated"             },
    {BR_ERR_X509_BAD_TAG_CLASS,       "certificate: bad tag class"                       },
    {BR_ERR_X509_BAD_TAG_VALUE,       "certificate: bad tag value"                       },
    {BR_ERR_X509_INDEFINITE_LENGTH,   "certificate: indefinite length"                   },
    {BR_ERR_X509_EXTRA_ELEMENT,       "certificate: extra element"                       },
    {BR_ERR_X509_UNEXPECTED,          "certificate: unexpected element"                  },
    {BR_ERR_X509_NOT_CONSTRUCTED,     "certificate: element not constructed"             },
    {BR_ERR_X509_NOT_PRIMITIVE,       "certificate: element not primitive"               },
    {BR_ERR_X509_PARTIAL_BYTE,        "certificate: partial byte"                        },
    {BR_ERR_X509_BAD_BOOLEAN,         "certificate: bad boolean"                         },
    {BR_ERR_X509_OVERFLOW,            "certificate: value too large"                     },
    {BR_ERR_X509_BAD_DN,              "certificate: bad name"                            },
    {BR_ERR_X509_BAD_TIME,            "certificate: bad time"                            },
    {BR_ERR_X509_UNSUPPORTED,         "certificate: unsupported feature"                 },
    {BR_ERR_X509_LIMIT_EXCEEDED,      "certificate: limit exceeded"                      },
    {BR_ERR_X509_WRONG_KEY_TYPE,      "certificate: wrong type of key"                   },
    {BR_ERR_X509_BAD_SIGNATURE,       "certificate: bad signature"                       },
    {BR_ERR_X509_TIME_UNKNOWN,        "certificate: time unknown"                        },
    {BR_ERR_X509_EXPIRED,             "certificate has expired or is not valid yet"      },
    {BR_ERR_X509_DN_MISMATCH,         "certificate: issuer and subject do not match"     },
    {BR_ERR_X509_BAD_SERVER_NAME,     "certificate is for another name"                  },
    {BR_ERR_X509_CRITICAL_EXTENSION,  "certificate: unknown critical extension"          },
    {BR_ERR_X509_NOT_CA,              "certificate: issuer is no CA"                     },
    {BR_ERR_X509_FORBIDDEN_KEY_USAGE, "certificate: key usage forbids it"                },
    {BR_ERR_X509_WEAK_PUBLIC_KEY,     "certificate: weak public key"                     },
    {BR_ERR_X509_NOT_TRUSTED,         "certificate is not trusted"                       },
};

static const char *find(const struct words *table, size_t count, int number)
{
    for (size_t i = 0; i < count; i++) {
        if (table[i].number == number)
            return table[i].text;
    }
    return NULL;
}

#define FIND(table, number) find(table, sizeof(table) / sizeof(table)[0], number)

static void alert_words(struct text *out, const char *whose, int alert)
{
    const char *words = FIND(alerts, alert);

    text_printf(out, "%s: ", whose);
    if (words)
        text_cstr(out, words);
    else
        text_printf(out, "number %d", alert);
}

void tls_error_words(struct text *out, int error)
{
    const char *words;

    if (error >= BR_ERR_SEND_FATAL_ALERT) {
        words = FIND(sent, error - BR_ERR_SEND_FATAL_ALERT);
        if (words)
            text_cstr(out, words);
        else
            alert_words(out, "alert sent", error - BR_ERR_SEND_FATAL_ALERT);
        return;
    }
    if (error >= BR_ERR_RECV_FATAL_ALERT) {
        alert_words(out, "alert from the peer", error - BR_ERR_RECV_FATAL_ALERT);
        return;
    }
    words = FIND(errors, error);
    if (words)
        text_cstr(out, words);
    else
        text_printf(out, "TLS error %d", error);
}
