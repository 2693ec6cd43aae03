#include "audit/merkle.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Sizes up to this are tried with every index. */
#define SIZES 64

static struct merkle *merkle;
static struct merkle_hash stored[2 * SIZES], leaves[SIZES];

static int set_up(void **state)
{
	(void)state;
	merkle = merkle_new();
	return merkle ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	merkle_free(merkle);
	return 0;
}

static bool read_stored(void *ctx, uint64_t place, struct merkle_hash *out)
{
	(void)ctx;
	assert_true(place < sizeof(stored) / sizeof(*stored));
	*out = stored[place];
	return true;
}

static struct merkle_store store(void)
{
	return (struct merkle_store){.merkle = merkle, .read = read_stored};
}

/* The definition of RFC 9162, 2.1.1, as it stands there. */
static struct merkle_hash defined(const struct merkle_hash *d, uint64_t n)
{
	if (n == 1)
		return d[0];
	uint64_t k = 1;
	while (2 * k < n)
		k *= 2;
	struct merkle_hash left = defined(d, k);
	struct merkle_hash right = defined(d + k, n - k);
	struct merkle_hash out;
	assert_true(merkle_node(merkle, &left, &right, &out));
	return out;
}

static void grow(struct merkle_edge *edge)
{
	struct merkle_made made;
	uint8_t octet = (uint8_t)edge->size;
	uint64_t at = edge->size;
	assert_true(merkle_leaf(merkle, bytes_of(&octet, 1), &leaves[at]));
	assert_true(merkle_edge_add(merkle, edge, &leaves[at], &made));
	assert_int_equal(merkle_stored_count(at) + made.count, merkle_stored_count(at + 1));
	memcpy(&stored[merkle_stored_count(at)], made.nodes, made.count * sizeof(made.nodes[0]));
}

static struct merkle_head head_of(uint64_t size)
{
	struct merkle_head head = {.size = size};
	struct merkle_edge empty = {0};
	if (size == 0)
		assert_true(merkle_edge_root(merkle, &empty, &head.root));
	else
		head.root = defined(leaves, size);
	return head;
}

static void hex_is(const struct merkle_hash *hash, const char *expected)
{
	char hex[65];
	text_hex(hex, sizeof(hex), bytes_of(hash->octets, sizeof(hash->octets)));
	assert_string_equal(hex, expected);
}

static void the_trees_everybody_tests_with_have_their_roots(void **state)
{
	(void)state;
	/* Certificate Transparency's leaves; the roots of the trees of 0 to 8 of them. */
	static const char *const inputs[] = {
		"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
	static const char *const roots[] = {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
	struct merkle_edge edge = {0};
	struct merkle_made made;
	struct merkle_hash hash;
	for (size_t i = 0; i <= 8; i++) {
		uint8_t octets[16];
		size_t len;
		assert_true(merkle_edge_root(merkle, &edge, &hash));
		hex_is(&hash, roots[i]);
		if (i == 8)
			break;
		assert_true(text_unhex(octets, sizeof(octets), &len, bytes_str(inputs[i])));
		assert_true(merkle_leaf(merkle, bytes_of(octets, len), &hash));
		assert_true(merkle_edge_add(merkle, &edge, &hash, &made));
	}
}

static void the_edge_grows_to_the_root_of_the_definition_and_loads_from_what_was_stored(void **state)
{
	(void)state;
	struct merkle_edge edge = {0};
	for (uint64_t size = 1; size <= SIZES; size++) {
		struct merkle_edge loaded;
		struct merkle_hash root;
		struct merkle_store s = store();
		grow(&edge);
		struct merkle_hash expected = defined(leaves, size);
		assert_true(merkle_edge_root(merkle, &edge, &root));
		assert_true(merkle_same(&root, &expected));
		assert_true(merkle_edge_load(&s, size, &loaded));
		assert_true(merkle_edge_root(merkle, &loaded, &root));
		assert_true(merkle_same(&root, &expected));
		/* Every full subtree stands where it is said to stand. */
		for (unsigned level = 0; 1ULL << level <= size; level++) {
			uint64_t index = (size >> level) - 1;
			expected = defined(leaves + (index << level), 1ULL << level);
			assert_true(merkle_same(&stored[merkle_stored_at(level, index)], &expected));
		}
	}
}

static void every_leaf_of_every_tree_is_proven_and_no_other_leaf_or_place_or_root(void **state)
{
	(void)state;
	struct merkle_edge edge = {0};
	struct merkle_store s = store();
	for (uint64_t size = 1; size <= SIZES; size++) {
		grow(&edge);
		struct merkle_head head = head_of(size);
		for (uint64_t index = 0; index < size; index++) {
			struct merkle_proof proof;
			assert_true(merkle_prove_leaf(&s, index, size, &proof));
			assert_true(merkle_check_leaf(merkle, &proof, index, size, &leaves[index], &head.root));
			struct merkle_hash other = leaves[index];
			other.octets[size % 32] ^= 1;
			assert_false(merkle_check_leaf(merkle, &proof, index, size, &other, &head.root));
			for (uint64_t place = 0; place < size; place++) {
				if (place != index)
					assert_false(merkle_check_leaf(
						merkle, &proof, place, size, &leaves[index], &head.root));
			}
			assert_false(merkle_check_leaf(merkle, &proof, size, size, &leaves[index], &head.root));
			for (unsigned i = 0; i < proof.count; i++) {
				proof.hashes[i].octets[0] ^= 0x80;
				assert_false(
					merkle_check_leaf(merkle, &proof, index, size, &leaves[index], &head.root));
				proof.hashes[i].octets[0] ^= 0x80;
			}
			proof.hashes[proof.count++] = leaves[0];
			assert_false(merkle_check_leaf(merkle, &proof, index, size, &leaves[index], &head.root));
			proof.count = proof.count > 2 ? proof.count - 2 : 0;
			if (size > 2)
				assert_false(
					merkle_check_leaf(merkle, &proof, index, size, &leaves[index], &head.root));
		}
		struct merkle_proof none;
		assert_false(merkle_prove_leaf(&s, size, size, &none));
	}
}

static void every_tree_is_proven_to_have_grown_from_every_smaller_one_and_from_no_other(void **state)
{
	(void)state;
	struct merkle_edge edge = {0};
	struct merkle_store s = store();
	for (uint64_t size = 1; size <= SIZES; size++) {
		grow(&edge);
		struct merkle_head now = head_of(size);
		for (uint64_t before = 0; before <= size; before++) {
			struct merkle_proof proof;
			struct merkle_head old = head_of(before);
			assert_true(merkle_prove_growth(&s, before, size, &proof));
			assert_true(merkle_check_growth(merkle, &proof, &old, &now));
			struct merkle_head wrong = old;
			wrong.root.octets[31] ^= 1;
			assert_false(merkle_check_growth(merkle, &proof, &wrong, &now));
			wrong = now;
			wrong.root.octets[0] ^= 1;
			if (before > 0)
				assert_false(merkle_check_growth(merkle, &proof, &old, &wrong));
			for (unsigned i = 0; i < proof.count; i++) {
				proof.hashes[i].octets[7] ^= 1;
				assert_false(merkle_check_growth(merkle, &proof, &old, &now));
				proof.hashes[i].octets[7] ^= 1;
			}
			if (before > 0 && before < size)
				assert_false(merkle_check_growth(merkle, &proof, &now, &old));
			proof.hashes[proof.count++] = leaves[0];
			assert_false(merkle_check_growth(merkle, &proof, &old, &now));
		}
		struct merkle_proof none;
		assert_false(merkle_prove_growth(&s, size + 1, size, &none));
	}
}

static void a_tree_of_the_largest_size_takes_no_more(void **state)
{
	(void)state;
	struct merkle_edge edge = {.size = MERKLE_SIZE_MAX};
	struct merkle_made made;
	struct merkle_hash leaf = {{1}};
	assert_false(merkle_edge_add(merkle, &edge, &leaf, &made));
	edge.size = MERKLE_SIZE_MAX - 1; /* 62 subtrees, all joined by the last leaf */
	assert_true(merkle_edge_add(merkle, &edge, &leaf, &made));
	assert_int_equal(made.count, 63);
	assert_int_equal(merkle_edge_count(edge.size), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_trees_everybody_tests_with_have_their_roots),
		cmocka_unit_test(the_edge_grows_to_the_root_of_the_definition_and_loads_from_what_was_stored),
		cmocka_unit_test(every_leaf_of_every_tree_is_proven_and_no_other_leaf_or_place_or_root),
		cmocka_unit_test(every_tree_is_proven_to_have_grown_from_every_smaller_one_and_from_no_other),
		cmocka_unit_test(a_tree_of_the_largest_size_takes_no_more),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
