/*
 * base/yaml.h — YAML 1.1 (as libyaml reads it) as a small read-only tree that keeps the place of every key and value.
 * The plain part of the language only: mappings, sequences, scalars. Anchors, aliases, tags, merge keys and a second
 * document are refused, so that a file means what it shows. No I/O.
 */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include "base/bytes.h"
#include "base/error.h"

#define YAML_MAX_OCTETS (64U << 20)
#define YAML_MAX_NODES  2000000U
#define YAML_MAX_DEPTH  32U

enum yaml_kind { YAML_KIND_SCALAR, YAML_KIND_SEQUENCE, YAML_KIND_MAPPING };

/* All of it belongs to the tree. A mapping's children are its values, in the file's order, each with its `key`. */
struct yaml_node {
	enum yaml_kind kind;
	bool plain;                    /* a scalar without quotes: `no`, not "no" */
	unsigned line, column;         /* of its first character, from 1 */
	size_t count;                  /* children */
	const char *text;              /* scalars: UTF-8, NUL-terminated, no NUL within; "" otherwise */
	size_t len;                    /* octets of `text` */
	const struct yaml_node *key;   /* the scalar before the colon; NULL unless the parent is a mapping */
	const struct yaml_node *first; /* child */
	const struct yaml_node *next;  /* sibling */
};

struct yaml_tree {
	const char *name;             /* of the file, for messages; the tree's own copy */
	const struct yaml_node *root; /* NULL when the document is empty or holds nothing but comments */
};

enum yaml_result {
	YAML_OK,
	YAML_SYNTAX,    /* no YAML, or no UTF-8 */
	YAML_DUPLICATE, /* a mapping with the same key twice */
	YAML_REFUSED,   /* an anchor, alias, tag, merge key, key that is no scalar, NUL, second document */
	YAML_TOO_LARGE, /* over one of the caps above */
	YAML_NO_MEMORY,
};

/*
 * Reads one document. On YAML_OK *out is a tree that owns copies of everything, for yaml_tree_free. Otherwise *out is
 * NULL and `err` says "NAME:LINE:COLUMN: what is wrong". `err` may be NULL.
 */
must_check enum yaml_result yaml_tree_read(
	struct yaml_tree **out, struct bytes in, const char *name, struct error *err);
/* NULL is allowed. */
void yaml_tree_free(struct yaml_tree *tree);

/* The value under `key`, or NULL. `node` may be NULL or no mapping. */
must_check const struct yaml_node *yaml_get(const struct yaml_node *node, const char *key);
/* Whether a scalar is this text. False for NULL and for anything but a scalar. */
must_check bool yaml_is(const struct yaml_node *node, const char *text);
/* true, false, yes, no, on, off without quotes. False on anything else. */
must_check bool yaml_bool(const struct yaml_node *node, bool *out);

/* Sets "NAME:LINE:COLUMN: text" and returns false. */
bool yaml_error(struct error *err, const struct yaml_tree *tree, const struct yaml_node *at, const char *format, ...)
	printf_like(4, 5);

#endif
