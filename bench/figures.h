/* bench/figures.h — what a run counted and how long each operation took. Time is an argument. */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct figures {
	uint64_t *latencies_ns; /* owned */
	size_t count, cap;      /* operations past `cap` are counted in `done` but have no latency here */
	uint64_t done, errors, bytes, handshakes, resumed;
	struct error first; /* the first failure's text */
};

/* Room for `cap` latencies. False without memory. figures_free it. */
must_check bool figures_init(struct figures *figures, size_t cap);
void figures_free(struct figures *figures);

void figures_done(struct figures *figures, uint64_t latency_ns);
void figures_error(struct figures *figures, const struct error *err);

/* One line of JSON. Sorts the latencies. */
void figures_print(struct figures *figures, const char *mode, uint64_t wall_ns, uint64_t cpu_ns, FILE *out);

#endif
