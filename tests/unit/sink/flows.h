/* What the sinks' tests share: a temporary file, a flow with its events, and messages. */
#ifndef TEST_SINK_FLOWS_H
#define TEST_SINK_FLOWS_H

#include "sink/sink.h"

#define T0 1795302282123456789ULL /* 2026-11-21T23:04:42.123456789Z */

/* A new empty directory. The text is static. */
const char *folder(void);
/* FOLDER/name, in one of eight static buffers. */
const char *file_in(const char *name);
/* The whole file with a NUL behind it. The caller frees. */
char *slurp(const char *path, size_t *len);

/* Applies and passes on, as the scribe does. */
void give(struct sink *sink, struct flow *flow, const struct event *event);

/* A flow of client 192.0.2.1:40000 and server 198.51.100.7:443 named www.example.org, opened at T0. */
struct flow *flow_opened(struct sink *sink, uint64_t id);
void flow_verdict(struct sink *sink, struct flow *flow, enum flow_action action, const char *rule, const char *reason);
/* A verdict to inspect by a rule that says `mask: false`. */
void flow_verdict_unmasked(struct sink *sink, struct flow *flow, const char *rule);
void flow_data(struct sink *sink, struct flow *flow, enum flow_direction direction, uint64_t offset, const char *text);
/* CLOSE, and frees the flow. */
void flow_closed(struct sink *sink, struct flow *flow, enum flow_ending ending, const char *text);

#endif
