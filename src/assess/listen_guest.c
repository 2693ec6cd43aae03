/* assess/listen_guest.c — the clients of the listener: what each did, and the report on it. */
#include "assess/client.h"
#include "assess/listen_parts.h"
#include "base/clock.h"
#include "base/text.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

void guest_forget(struct guest *guest)
{
	free(guest->hello);
	*guest = (struct guest){0};
}

void guest_again(struct guest *guest)
{
	struct guest fresh = {.used = true,
		.at = guest->at,
		.last_ns = guest->last_ns,
		.open = guest->open,
		.connections = guest->connections,
		.good = guest->good,
		.hello = guest->hello,
		.hello_len = guest->hello_len};
	memcpy(fresh.token, guest->token, sizeof(fresh.token));
	*guest = fresh;
}

static bool same(const struct hostport *a, const struct hostport *b)
{
	return hostport_same_ip(a, b) && a->scope == b->scope;
}

struct guest *guest_of(struct listener *listener, const struct hostport *at)
{
	struct guest *free_one = NULL;
	uint8_t octets[LISTEN_TOKEN / 2];
	for (size_t i = 0; i < LISTEN_CLIENTS; i++) {
		struct guest *one = &listener->guest[i];
		if (one->used && same(&one->at, at))
			return one;
		/* One with open connections stays. */
		bool better = !free_one || (free_one->used && (!one->used || one->last_ns < free_one->last_ns));
		if (better && one->open == 0)
			free_one = one;
	}
	if (!free_one || RAND_bytes(octets, sizeof(octets)) != 1)
		return NULL;
	listener->given_way += free_one->used && !free_one->told;
	guest_forget(free_one);
	free_one->used = true;
	free_one->at = *at;
	free_one->last_ns = clock_monotonic_ns();
	text_hex(free_one->token, sizeof(free_one->token), bytes_of(octets, sizeof(octets)));
	return free_one;
}

struct guest *guest_of_token(struct listener *listener, struct bytes token)
{
	for (size_t i = 0; i < LISTEN_CLIENTS; i++) {
		struct guest *one = &listener->guest[i];
		if (one->used && bytes_equal_secret(bytes_str(one->token), token))
			return one;
	}
	return NULL;
}

size_t guest_met(const struct listener *listener, const struct guest *guest)
{
	size_t met = 0;
	for (size_t i = 0; i < listener->stalls; i++)
		met += guest->deed[i].connections > 0;
	return met;
}

void guest_note(struct guest *guest, size_t number, const struct visit_seen *seen)
{
	struct deed *deed = &guest->deed[number];
	deed->connections++;
	deed->request += seen->request;
	deed->key_exchange |= seen->key_exchange;
	deed->began |= seen->hello_len > 0;
	deed->alert = seen->alert ? seen->alert : deed->alert;
}

static void tell_case(struct report *report, const struct stall *stall, const struct deed *deed)
{
	struct visit_seen *seen = calloc(1, sizeof(*seen));
	if (!seen || deed->connections == 0) {
		report_add(report, stall->one.check, GRADE_UNKNOWN, stall->one.probed, NULL, "it did not come");
	} else if (!deed->began) {
		report_add(report, stall->one.check, GRADE_UNKNOWN, stall->one.probed, NULL,
			"it came, and sent no ClientHello");
	} else {
		seen->connections = deed->connections;
		seen->request = deed->request;
		seen->key_exchange = deed->key_exchange;
		seen->alert = deed->alert;
		client_tell_case(report, &stall->one, seen, "");
	}
	free(seen);
}

struct report *guest_report(const struct listener *listener, const struct guest *guest)
{
	char text[HOSTPORT_TEXT];
	struct report *report = report_new("client", hostport_ip_text(&guest->at, text));
	if (!report)
		return NULL;
	if (guest->hello_len > 0)
		client_tell_hello(report, bytes_of(guest->hello, guest->hello_len));
	report_add(report, "control", guest->good ? GRADE_NONE : GRADE_UNKNOWN, "a good certificate", NULL, "%s",
		guest->good ? "accepted, as it should be"
			    : "not accepted: it does not trust the root, and what it refused may have been for that");
	for (size_t i = 0; i < listener->stalls; i++)
		tell_case(report, &listener->stall[i], &guest->deed[i]);
	client_tell_dropout(report);
	report->connections = guest->connections;
	return report;
}
