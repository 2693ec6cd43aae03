/* Any octets as YAML: a tree or an error with a place, and every node of the tree can be visited. */
#include "base/yaml.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t visit(const struct yaml_node *node)
{
	size_t nodes = 1, children = 0;
	for (const struct yaml_node *child = node->first; child; child = child->next) {
		nodes += visit(child);
		children++;
		if ((child->key != NULL) != (node->kind == YAML_KIND_MAPPING))
			abort();
	}
	if (children != node->count || node->line == 0 || strlen(node->text) != node->len)
		abort();
	return nodes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct yaml_tree *tree;
	struct error err = {{0}};
	enum yaml_result result = yaml_tree_read(&tree, bytes_of(data, size), "fuzz.yaml", &err);
	if ((result == YAML_OK) != (tree != NULL) || (result == YAML_OK) != (err.text[0] == '\0'))
		abort();
	if (tree && tree->root && visit(tree->root) > YAML_MAX_NODES)
		abort();
	yaml_tree_free(tree);
	return 0;
}
