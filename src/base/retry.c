/* retry - see retry.h */
#include "base/retry.h"

#define PROBE_FIRST_MS 500

/* first * 2^doublings, at most max; never overflows. */
static uint64_t doubled(uint64_t first, unsigned doublings, uint64_t max)
{
    uint64_t value = first;

    while (doublings > 0 && value < max && value > 0) {
        value = value > max / 2 ? max : value * 2;
        doublings--;
    }
    return value < max ? value : max;
}

/* span * random / 2^32 without overflow. */
static uint64_t share(uint64_t span, uint32_t random)
{
    return (span >> 32) * random + ((span & UINT32_MAX) * random >> 32);
}

/* value +- value/part */
static uint64_t jittered(uint64_t value, unsigned part, uint32_t random)
{
    uint64_t swing = value / part;
    uint64_t low = value - swing;
    uint64_t add = share(swing, random) * 2;

    return add > UINT64_MAX - low ? UINT64_MAX : low + add;
}

uint64_t retry_delay_ms(unsigned attempts, uint64_t minimal_ms, uint64_t maximal_ms,
                        uint32_t random)
{
    unsigned doublings = attempts > 0 ? attempts - 1 : 0;

    return jittered(doubled(minimal_ms, doublings, maximal_ms), 10, random);
}

uint64_t retry_probe_ms(unsigned probes, uint64_t max_ms, uint32_t random)
{
    return jittered(doubled(PROBE_FIRST_MS, probes, max_ms), 5, random);
}
