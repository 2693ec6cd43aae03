/* Stands in for decode/: each chunk up is a request, each one down its response and end. */
#ifndef TEST_SINK_FAKE_DECODER_H
#define TEST_SINK_FAKE_DECODER_H

#include "decode/decoder.h"

extern uint64_t fake_skippable;            /* what decoder_skip says of the direction down; a gap takes from it */
extern uint64_t fake_fed[2], fake_gaps[2]; /* octets, by direction, of all decoders */

#endif
