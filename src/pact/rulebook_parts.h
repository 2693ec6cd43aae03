/* pact/rulebook_parts.h — what the files of the rulebook share. For this room only. */
#ifndef PACT_RULEBOOK_PARTS_H
#define PACT_RULEBOOK_PARTS_H

#include "base/yaml.h"
#include "pact/rulebook.h"
#include "pki/name.h"

#include <stdatomic.h>

struct rulebook_proxy {
	bool by_pin;
	uint8_t pin[ACCORD_PIN];
	struct subject_name name;
};

/* Texts are the tree's. */
struct rulebook_client {
	const char *name;
	uint8_t *key; /* SubjectPublicKeyInfo, DER */
	size_t key_len;
};

struct rulebook_rule {
	enum rulebook_action action;
	bool is_default;
	char label[RULEBOOK_LABEL];
	const char *statement;
	bool sealed;   /* fits sealed introductions, and those only */
	uint8_t roles; /* set of enum accord_role */
	size_t max_hops;
	bool any_purpose;
	uint8_t purposes[32]; /* a bit for each code */
	struct rulebook_proxy *proxy;
	size_t proxies;      /* 0: any */
	const char **client; /* names of who may approve */
	size_t clients;      /* 0: all that are enrolled */
};

struct rulebook {
	atomic_uint references;
	struct yaml_tree *tree;
	char *anchors;
	struct rulebook_rule *rule;
	size_t count; /* with the default, which is the last */
	struct rulebook_client *client;
	size_t clients;
};

extern const char *const rulebook_actions[4];

#endif
