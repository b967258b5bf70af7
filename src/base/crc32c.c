/* crc32c - see crc32c.h. Eight bytes a step ("slicing by 8"); the tables are made once, at the
 * first use. */
#include "base/crc32c.h"

#include <pthread.h>

#define CRC32C_POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT; /* spool threads may come first together */

static void make_tables(void)
{
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t crc = n;

        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ CRC32C_POLYNOMIAL : crc >> 1;
        tables[0][n] = crc;
    }
    for (int k = 1; k < 8; k++) {
        for (uint32_t n = 0; n < 256; n++)
            tables[k][n] = tables[0][tables[k - 1][n] & 255] ^ tables[k - 1][n] >> 8;
    }
}

static uint32_t load_le32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;

    pthread_once(&tables_once, make_tables);
    crc = ~crc;
    for (; len >= 8; len -= 8, p += 8) {
        uint32_t low = crc ^ load_le32(p);
        uint32_t high = load_le32(p + 4);

        crc = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^
              tables[4][low >> 24] ^ tables[3][high & 255] ^ tables[2][high >> 8 & 255] ^
              tables[1][high >> 16 & 255] ^ tables[0][high >> 24];
    }
    for (; len > 0; len--, p++)
        crc = tables[0][(crc ^ *p) & 255] ^ crc >> 8;
    return ~crc;
}
