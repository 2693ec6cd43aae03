/* policy/snapshot.h — what a snapshot of rules is made of. For this room only. */
#ifndef POLICY_SNAPSHOT_H
#define POLICY_SNAPSHOT_H

#include "base/yaml.h"
#include "policy/names.h"
#include "policy/rules.h"

#include <stdatomic.h>

/* Which conditions a rule has. The bits of the facts, and one for the two names together. */
#define RULE_HAS_NAME (1U << 31)

struct port_range {
	uint16_t first, last;
};

struct rule_texts {
	const char **items; /* of the tree */
	size_t count;
};

struct rule_blocks {
	struct address_block *items;
	size_t count;
	unsigned kinds; /* 1 << enum address_kind */
};

/* Arrays belong to the rule; texts, sets of names and certificates to the snapshot. */
struct rule {
	char *label;
	unsigned line;
	enum policy_action action;
	unsigned has;        /* conditions: enum policy_fact, RULE_HAS_NAME */
	bool loosens;        /* see policy/rules.h, "Two names" */
	bool unverified;     /* a bypass on a claim needs no proof */
	bool refused_bypass; /* inspect, but bypass once the client refused */
	struct rule_blocks client, server;
	struct port_range *ports;
	size_t port_count;
	unsigned protocols; /* 1 << enum policy_protocol */
	struct names **names;
	size_t name_sets;
	struct rule_texts alpn, ja4, issuers;
	uint32_t refusals; /* at least */
	uint64_t faults;   /* VERIFY_FAULT_BITs, with that of VERIFY_OK for "ok" */
	struct policy_options options;
};

/* One set of names, and the bytes it stands on. */
struct rule_list {
	char *path;        /* NULL: names written in the rules themselves */
	struct bytes text; /* from the source's `load` when there is a path, else from malloc */
	bool held;         /* `text` is there to be given back */
	struct names *names;
};

struct policy {
	atomic_uint owners;
	struct yaml_tree *tree;
	struct policy_source source;
	struct rule *rules; /* those of the file, then the sensitive list when it is on, then the default */
	size_t rule_count;  /* all of them */
	size_t written;     /* those of the file */
	bool sensitive;
	struct rule_list *lists;
	size_t list_count;
	struct policy_client_cert **certs;
	size_t cert_count;
	uint8_t digest[POLICY_DIGEST];
};

/* Room for one more item: doubles whenever `count` is a power of two. NULL without memory: `items` is still good. */
must_check void *room_for_one(void *items, size_t count, size_t size);

/* The state of one parse. */
struct parse {
	struct policy *policy;
	struct error *err;
	unsigned faults; /* found so far; the first stands in `err` */
	char *folder;    /* of the rules file, with the closing slash; "" for the present one */
};

/* Counts a fault, and keeps its text if it is the first. */
void parse_fault(struct parse *p, const struct yaml_node *at, const char *format, ...) printf_like(3, 4);
void parse_no_memory(struct parse *p);

/* A table of keys, and what reads the value of each into a rule. */
struct parse_key {
	const char *key;
	void (*read)(struct parse *p, struct rule *rule, const struct yaml_node *value);
};
/* Reads each key of a mapping by the table; keys in neither are faults. `what` names the mapping in messages. */
void parse_mapping(struct parse *p, struct rule *rule, const struct yaml_node *mapping, const struct parse_key *keys,
	size_t count, const char *what);

/* Calls `read` for a scalar, or for each scalar of a list that is not empty. */
void parse_each(struct parse *p, struct rule *rule, const struct yaml_node *value,
	void (*read)(struct parse *p, struct rule *rule, const struct yaml_node *item));
/* The place of a scalar among words; -1 after a fault. */
must_check int parse_word(struct parse *p, const struct yaml_node *node, const char *const *words, size_t count);
/* Resolved against the folder of the rules file, on the heap; NULL after a fault. */
must_check char *parse_path(struct parse *p, const struct yaml_node *node);

/* The conditions under a rule's `match`. */
#define PARSE_CONDITIONS 12
extern const struct parse_key parse_conditions[PARSE_CONDITIONS];
/* `allow`, `until` and the other options: of a rule, or of the top of the file. */
#define PARSE_OPTIONS 12
extern const struct parse_key parse_options[PARSE_OPTIONS];

void rule_clear(struct rule *rule);

/* The shipped list, made into the program from policy/sensitive. */
extern const unsigned char policy_sensitive_text[];
extern const size_t policy_sensitive_len;

#endif
