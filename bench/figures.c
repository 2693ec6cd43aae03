#include "figures.h"

#include <inttypes.h>
#include <stdlib.h>

bool figures_init(struct figures *figures, size_t cap)
{
	*figures = (struct figures){.cap = cap};
	figures->latencies_ns = calloc(cap ? cap : 1, sizeof(*figures->latencies_ns));
	return figures->latencies_ns != NULL;
}

void figures_free(struct figures *figures)
{
	free(figures->latencies_ns);
	*figures = (struct figures){0};
}

void figures_done(struct figures *figures, uint64_t latency_ns)
{
	figures->done++;
	if (figures->count < figures->cap)
		figures->latencies_ns[figures->count++] = latency_ns;
}

void figures_error(struct figures *figures, const struct error *err)
{
	if (figures->errors++ == 0)
		figures->first = *err;
}

static int order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* Nearest rank, in microseconds. */
static double percentile_us(const struct figures *figures, unsigned percent)
{
	if (figures->count == 0)
		return 0;
	size_t rank = (figures->count * percent + 99) / 100;
	return (double)figures->latencies_ns[rank ? rank - 1 : 0] / 1e3;
}

/* A JSON string. error_set left no control characters. */
static void print_string(const char *text, FILE *out)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

void figures_print(struct figures *figures, const char *mode, uint64_t wall_ns, uint64_t cpu_ns, FILE *out)
{
	qsort(figures->latencies_ns, figures->count, sizeof(*figures->latencies_ns), order);
	fprintf(out, "{\"mode\":\"%s\",\"done\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"first_error\":", mode,
		figures->done, figures->errors);
	print_string(figures->first.text, out);
	fprintf(out, ",\"handshakes\":%" PRIu64 ",\"resumed\":%" PRIu64 ",\"bytes\":%" PRIu64, figures->handshakes,
		figures->resumed, figures->bytes);
	fprintf(out, ",\"wall_s\":%.6f,\"cpu_s\":%.6f", (double)wall_ns / 1e9, (double)cpu_ns / 1e9);
	fprintf(out, ",\"latency_us\":{\"p50\":%.1f,\"p95\":%.1f,\"p99\":%.1f,\"max\":%.1f}}\n",
		percentile_us(figures, 50), percentile_us(figures, 95), percentile_us(figures, 99),
		percentile_us(figures, 100));
	fflush(out);
}
