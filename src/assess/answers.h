/*
 * assess/answers.h — how a server answers a few hellos made by hand: which version, suite and group it chooses, which
 * extensions it sends in which order. Programs and their settings differ in it, so that one who answers in another's place
 * mostly shows. In words of our own.
 */
#ifndef ASSESS_ANSWERS_H
#define ASSESS_ANSWERS_H

#include "assess/probe.h"

#define ANSWERS     7
#define ANSWER_TEXT 240

struct answers {
	char text[ANSWERS][ANSWER_TEXT]; /* "" where nothing could be told */
};

/* Asks, one connection each, with this server_name (NULL: none). */
void answers_ask(struct target *target, const char *name, struct answers *out);
/* What is asked: "TLS 1.2, RSA key exchange alone". */
must_check const char *answers_question(size_t i);
/* One answer in words. "" where none came. */
void answer_tell(
	enum probe_result result, const struct flight *flight, const struct offer *offer, char *out, size_t cap);

#endif
