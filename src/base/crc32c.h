/*
 * crc32c - Castagnoli CRC (RFC 3720 appendix B.4), for finding damaged spool files
 *
 * crc32c(0, ...) starts; crc32c(previous, ...) goes on, so any split of the bytes gives the same
 * sum.
 */
#ifndef MXGATE_BASE_CRC32C_H
#define MXGATE_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);

#endif
