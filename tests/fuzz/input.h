/*
 * input - what the smtp fuzz targets share: choices and bytes out of one fuzzer input
 *
 * The choices (where to cut, how much room) come first, two bytes each, so that they stay where
 * they are while the fuzzer changes the rest.
 */
#ifndef MXGATE_TESTS_FUZZ_INPUT_H
#define MXGATE_TESTS_FUZZ_INPUT_H

#include "base/span.h"

/* Larger inputs say nothing new, and the buffers of the targets are made for this. */
#define INPUT_MAX 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes a number of 0..max off the input; 0 at its end. */
static inline size_t input_choice(struct span *in, size_t max)
{
    size_t low = in->len > 0 ? (unsigned char)in->ptr[0] : 0;
    size_t high = in->len > 1 ? (unsigned char)in->ptr[1] : 0;

    *in = span_from(*in, 2);
    return (high << 8 | low) % (max + 1);
}

#endif
