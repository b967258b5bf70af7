/*
 * retry - when a message that was deferred is tried again; pure
 *
 * First wait minimal_ms, doubled per attempt, at most maximal_ms, then jittered by up to +-10 % so
 * that messages deferred together do not return together.
 */
#ifndef MXGATE_BASE_RETRY_H
#define MXGATE_BASE_RETRY_H

#include <stdint.h>

/* attempts: how many have failed so far, 1 after the first. random: any 32 random bits.
 * Milliseconds. */
uint64_t retry_delay_ms(unsigned attempts, uint64_t minimal_ms, uint64_t maximal_ms,
                        uint32_t random);
/* For a destination's probes: 500 ms doubling to max_ms, jittered by +-20 %. probes: failed so far,
 * 0 first. */
uint64_t retry_probe_ms(unsigned probes, uint64_t max_ms, uint32_t random);

#endif
