/* Numbers for property tests: the same from the same seed, on every machine. */
#ifndef DRAW_H
#define DRAW_H

#include <stdint.h>

/* One of 0 … below - 1 (splitmix64). */
static inline uint64_t draw(uint64_t *state, uint64_t below)
{
	*state += 0x9e3779b97f4a7c15;
	uint64_t z = *state;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (z ^ (z >> 31)) % below;
}

#endif
