#include "watch/watch.h"

#include <stdarg.h>
#include <stdio.h>

struct text {
	char *out;
	size_t len;
};

static void say(struct text *t, const char *format, ...) printf_like(2, 3);

static void say(struct text *t, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(t->out + t->len, WATCH_SUMMARY_ROOM - t->len, format, args);
	va_end(args);
	if (n > 0)
		t->len = t->len + (size_t)n < WATCH_SUMMARY_ROOM ? t->len + (size_t)n : WATCH_SUMMARY_ROOM - 1;
}

/* "999", "1.2 kB", "34 MB": powers of ten, as file managers and networks count. */
static void say_octets(struct text *t, uint64_t n)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
	unsigned unit = 0;
	uint64_t tenths = n * 10;
	for (; tenths >= 10000 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
		tenths /= 1000;
	if (unit == 0 || tenths >= 100)
		say(t, "%llu %s", (unsigned long long)(tenths / 10), units[unit]);
	else
		say(t, "%llu.%llu %s", (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10),
			units[unit]);
}

static void say_count(struct text *t, uint64_t n, const char *what)
{
	say(t, "%llu %s%s", (unsigned long long)n, what, n == 1 ? "" : "s");
}

/* " (3 no-key, 1.2 MB; 1 gap, 1.4 kB)" */
static void say_causes(struct text *t, const struct engine_counts *counts)
{
	const char *between = " (";
	for (unsigned i = 0; i < SESSION_CAUSES; i++) {
		if (counts->causes[i] == 0 && counts->cause_octets[i] == 0)
			continue;
		say(t, "%s%s: ", between, session_cause_name((enum session_cause)i));
		say_count(t, counts->causes[i], "connection");
		say(t, ", ");
		say_octets(t, counts->cause_octets[i]);
		between = "; ";
	}
	if (between[0] == ';')
		say(t, ")");
}

/* "; 3 QUIC flows (2 with a ClientHello), not decrypted: 1.2 MB" */
static void say_datagrams(struct text *t, const struct datagram_counts *counts)
{
	if (counts->quic == 0)
		return;
	say(t, "; ");
	say_count(t, counts->quic, "QUIC flow");
	say(t, " (%llu with a ClientHello), not decrypted: ", (unsigned long long)counts->quic_named);
	say_octets(t, counts->octets);
}

/* "; 3 with Encrypted Client Hello (1 opened, 1 refused by the server)" */
static void say_ech(struct text *t, const uint64_t ech[SESSION_ECHES])
{
	uint64_t all =
		ech[SESSION_ECH_OFFERED] + ech[SESSION_ECH_TIED] + ech[SESSION_ECH_TAKEN] + ech[SESSION_ECH_REFUSED];
	if (all == 0)
		return;
	say(t, "; %llu with Encrypted Client Hello (%llu opened, %llu refused by the server)", (unsigned long long)all,
		(unsigned long long)ech[SESSION_ECH_TAKEN], (unsigned long long)ech[SESSION_ECH_REFUSED]);
}

/* Nothing of it when the number is 0: "; 3 frames that are broken". */
static void say_if(struct text *t, uint64_t n, const char *what)
{
	if (n > 0)
		say(t, "; %llu %s", (unsigned long long)n, what);
}

static void say_frames(struct text *t, const struct watch_report *report)
{
	const struct engine_counts *counts = &report->engines;
	uint64_t broken = 0;
	for (unsigned i = LINK_SHORT; i < LINK_RESULTS; i++)
		broken += counts->link.frames[i];
	say_if(t, report->live.dropped + report->capture.dropped_interface, "frames dropped while capturing");
	say_if(t, counts->link.frames[LINK_UNKNOWN], "frames of link types that are not read");
	say_if(t, broken, "frames that are broken or cut off");
	say_if(t, counts->fragments_lost, "fragmented IP packets that are not whole");
}

static void say_keys(struct text *t, const struct keyring_counts *keys)
{
	const struct keylog_index_counts *files = &keys->files.index;
	uint64_t held = keys->text.evicted + keys->records.evicted;
	if (files->lines > 0 && files->secrets == 0)
		say(t, "; the key logs hold no secret");
	say_if(t, files->bad + files->too_long, "lines of key logs that cannot be read");
	say_if(t, files->refused, "lines of key logs over the limit");
	say_if(t, held, "secrets had to leave memory");
	say_if(t, keys->text.refused + keys->records.refused, "secrets too many of one connection");
}

/* What a user should know that went wrong on the way. */
static void say_losses(struct text *t, const struct watch_report *report)
{
	const struct engine_counts *counts = &report->engines;
	uint64_t full = counts->table.stream.gap_octets[STREAM_FULL];
	if (counts->missing > 0) {
		say(t, "; missing plaintext: ");
		say_octets(t, counts->missing);
	}
	if (full > 0) {
		say(t, "; no room to wait for segments: ");
		say_octets(t, full);
	}
	say_frames(t, report);
	say_if(t, counts->table.closed[TABLE_EVICTED], "connections left out for others");
	say_if(t, counts->session.trials_exhausted, "searches for a key ended at their bound");
	uint64_t no_memory = counts->no_memory + counts->table.no_memory + counts->datagrams.no_memory;
	if (no_memory > 0)
		say(t, "; no memory for %llu", (unsigned long long)no_memory);
	say_if(t, counts->session.missing, "DTLS records are not in the capture");
	say_if(t, counts->session.repeated, "DTLS records came again");
	say_if(t, counts->session.fragments_refused, "fragments of DTLS handshakes refused");
	say_if(t, counts->datagrams.hellos.evicted, "hellos of QUIC left out for others");
	say_keys(t, &report->keys);
	say_if(t, report->sink_lost, "records could not be written");
}

size_t watch_summary(const struct watch_report *report, char out[static WATCH_SUMMARY_ROOM])
{
	const struct engine_counts *counts = &report->engines;
	struct text t = {.out = out};
	uint64_t all = 0;
	for (unsigned i = 0; i <= SESSION_NOT; i++)
		all += counts->verdicts[i];
	say_count(&t, all, "TLS connection");
	say(&t, ": %llu decrypted, %llu partly, %llu not", (unsigned long long)counts->verdicts[SESSION_DECRYPTED],
		(unsigned long long)counts->verdicts[SESSION_PARTLY],
		(unsigned long long)counts->verdicts[SESSION_NOT]);
	if (counts->verdicts[SESSION_NOTHING] > 0)
		say(&t, ", %llu without data", (unsigned long long)counts->verdicts[SESSION_NOTHING]);
	say_causes(&t, counts);
	say(&t, "; plaintext: ");
	say_octets(&t, counts->plain);
	if (counts->dtls > 0) {
		say(&t, "; ");
		say_count(&t, counts->dtls, "DTLS connection");
		say(&t, " among them");
	}
	say_ech(&t, counts->ech);
	if (counts->not_tls > 0) {
		say(&t, "; ");
		say_count(&t, counts->not_tls, "other TCP connection");
	}
	say_datagrams(&t, &counts->datagrams);
	say_losses(&t, report);
	return t.len;
}
