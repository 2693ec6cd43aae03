/*
 * proxy/counts.h — what each process of the family counts, as one table of rows: name, labels and meaning stand in the
 * program, only values travel, eight octets each in the order of the table. Every cap has its counter here.
 */
#ifndef PROXY_COUNTS_H
#define PROXY_COUNTS_H

#include "base/bytes.h"

struct keeper;
struct scribe;
struct worker;

enum counts_of { COUNTS_SUPERVISOR, COUNTS_KEEPER, COUNTS_RESOLVER, COUNTS_SCRIBE, COUNTS_WORKER, COUNTS_KINDS };

enum counts_kind { COUNTS_TOTAL, COUNTS_GAUGE };

struct counts_row {
	const char *name;   /* of the metric, Prometheus' way */
	const char *labels; /* `leg="1"`, or "" */
	const char *help;
	enum counts_kind kind;
	size_t at, size; /* where the value stands in what it is taken from */
};

/* The rows of one kind of process. */
must_check const struct counts_row *counts_rows(enum counts_of of, size_t *count);
must_check const char *counts_process(enum counts_of of);

#define COUNTS_MAX      128 /* rows of one kind of process */
#define COUNTS_BODY_MAX (COUNTS_MAX * 8)

struct supervisor_counts {
	uint64_t restarts[4]; /* by enum family_role */
	uint64_t reloads, reloads_refused;
	uint64_t upgrades_refused; /* another program was to take over, and did not */
	uint64_t messages_refused; /* a child's queue was full */
	uint64_t files_limit;      /* open files allowed to each process */
	uint64_t ready;            /* 1: every process has taken up its work */
	uint64_t scrapes_refused;  /* connections for counters over their cap */
};

/* The values of a process, for counts_read there or elsewhere. */
void counts_supervisor(const struct supervisor_counts *counts, struct writer *w);
void counts_keeper(const struct keeper *keeper, struct writer *w);
void counts_scribe(const struct scribe *scribe, struct writer *w);
void counts_worker(const struct worker *worker, struct writer *w);
void counts_resolver(size_t workers, struct writer *w);

/* False when `body` does not hold one value per row; then nothing is written. `values` has room for COUNTS_MAX. */
must_check bool counts_read(enum counts_of of, struct bytes body, uint64_t *values);

#endif
