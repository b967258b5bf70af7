/* Tests of base/crc32c: the examples of RFC 3720 B.4, any split, any alignment. */
#include "base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* "An iSCSI - SCSI Read (10) Command PDU" */
static const unsigned char read_pdu[48] = {
    0x01, 0xc0, 0, 0,    0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0,
    0,    0,    0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0,    0,
};

static void test_rfc3720(void **state)
{
    unsigned char bytes[32];

    memset(bytes, 0, sizeof bytes);
    assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (unsigned char)(31 - i);
    assert_int_equal(crc32c(0, bytes, 32), 0x113fdb5c);
    assert_int_equal(crc32c(0, read_pdu, sizeof read_pdu), 0xd9963a56);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, "", 0), 0);
    assert_int_equal(crc32c(0x12345678, "", 0), 0x12345678);
}

/* Bit by bit, as the standard defines it. */
static uint32_t slow_crc32c(const unsigned char *p, size_t len)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

static void test_splits_and_alignment(void **state)
{
    unsigned char bytes[80];

    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 151 + 7);
    for (size_t from = 0; from < 9; from++) {
        for (size_t len = 0; len <= sizeof bytes - from; len++) {
            uint32_t want = slow_crc32c(bytes + from, len);

            assert_int_equal(crc32c(0, bytes + from, len), want);
            for (size_t cut = 0; cut <= len; cut++) {
                uint32_t first = crc32c(0, bytes + from, cut);

                assert_int_equal(crc32c(first, bytes + from + cut, len - cut), want);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc3720),
        cmocka_unit_test(test_splits_and_alignment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
