#include "forge.h"
#include "pki/leaf_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char state_dir[128];

static void fresh_state(void)
{
	static int number;
	snprintf(state_dir, sizeof(state_dir), "%s/keys-%d", forge_directory(), ++number);
}

static const char *file_of(const char *name)
{
	static char path[256];
	snprintf(path, sizeof(path), "%s/%s", state_dir, name);
	return path;
}

static void keys_are_kept_across_a_restart_and_private(void **state)
{
	(void)state;
	fresh_state();
	int64_t now = time(NULL);
	struct leaf_keys *keys;
	struct error err = {{0}};
	assert_true(leaf_keys_open(&keys, state_dir, now, &err));
	assert_int_not_equal(access(file_of("leaf-rsa.key"), F_OK), 0);
	uint8_t ids[LEAF_KINDS][32];
	for (int i = 0; i < LEAF_KINDS; i++) {
		const struct leaf_key *key = leaf_keys_get(keys, (enum leaf_kind)i, now, &err);
		assert_non_null(key);
		assert_int_equal(key->kind, i);
		memcpy(ids[i], key->id, 32);
	}
	leaf_keys_free(keys);
	const char *names[] = {"leaf-ecdsa.key", "leaf-rsa.key"};
	for (int i = 0; i < LEAF_KINDS; i++) {
		struct stat info;
		assert_int_equal(stat(file_of(names[i]), &info), 0);
		assert_int_equal(info.st_mode & 0777, 0600);
	}
	assert_true(leaf_keys_open(&keys, state_dir, now, &err));
	for (int i = 0; i < LEAF_KINDS; i++) {
		const struct leaf_key *key = leaf_keys_get(keys, (enum leaf_kind)i, now, &err);
		assert_non_null(key);
		assert_memory_equal(key->id, ids[i], 32);
	}
	leaf_keys_free(keys);
}

static void an_old_or_exposed_or_damaged_key_is_replaced(void **state)
{
	(void)state;
	fresh_state();
	int64_t now = time(NULL);
	struct leaf_keys *keys;
	struct error err = {{0}};
	uint8_t last[32] = {0};
	for (int round = 0; round < 4; round++) {
		int64_t at = round == 1 ? now + (LEAF_KEY_DAYS + 1) * FORGE_DAY : now;
		if (round == 2)
			assert_int_equal(chmod(file_of("leaf-ecdsa.key"), 0644), 0);
		if (round == 3)
			assert_int_equal(truncate(file_of("leaf-ecdsa.key"), 40), 0);
		assert_true(leaf_keys_open(&keys, state_dir, at, &err));
		const struct leaf_key *key = leaf_keys_get(keys, LEAF_ECDSA, at, &err);
		assert_non_null(key);
		assert_memory_not_equal(key->id, last, 32);
		memcpy(last, key->id, 32);
		leaf_keys_free(keys);
	}
}

static void renewal_is_due_after_a_while_and_gives_another_key(void **state)
{
	(void)state;
	struct leaf_keys *keys;
	struct error err = {{0}};
	assert_true(leaf_keys_open(&keys, NULL, FORGE_NOW, &err));
	const struct leaf_key *key = leaf_keys_get(keys, LEAF_ECDSA, FORGE_NOW, &err);
	uint8_t before[32];
	memcpy(before, key->id, 32);
	assert_false(leaf_keys_due(keys, LEAF_ECDSA, FORGE_NOW + LEAF_KEY_DAYS * FORGE_DAY));
	assert_true(leaf_keys_due(keys, LEAF_ECDSA, FORGE_NOW + LEAF_KEY_DAYS * FORGE_DAY + 1));
	assert_true(leaf_keys_renew(keys, LEAF_ECDSA, FORGE_NOW + 1, &err));
	key = leaf_keys_get(keys, LEAF_ECDSA, FORGE_NOW + 1, &err);
	assert_memory_not_equal(key->id, before, 32);
	leaf_keys_free(keys);
}

static void a_worker_gets_the_same_key(void **state)
{
	(void)state;
	struct leaf_keys *keys;
	struct error err = {{0}};
	assert_true(leaf_keys_open(&keys, NULL, FORGE_NOW, &err));
	for (int i = 0; i < LEAF_KINDS; i++) {
		const struct leaf_key *key = leaf_keys_get(keys, (enum leaf_kind)i, FORGE_NOW, &err);
		uint8_t *secret;
		size_t len;
		assert_true(leaf_key_export(key, &secret, &len));
		struct leaf_key copy = {0};
		assert_true(leaf_key_import(bytes_of(secret, len), &copy));
		assert_int_equal(copy.kind, key->kind);
		assert_memory_equal(copy.id, key->id, 32);
		assert_int_equal(EVP_PKEY_eq(copy.pkey, key->pkey), 1);
		leaf_key_clear(&copy);
		assert_false(leaf_key_import(bytes_of(secret, len - 1), &copy));
		leaf_secret_free(secret, len);
	}
	leaf_keys_free(keys);
}

static int cleanup(void **state)
{
	(void)state;
	forge_cleanup();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_kept_across_a_restart_and_private),
		cmocka_unit_test(an_old_or_exposed_or_damaged_key_is_replaced),
		cmocka_unit_test(renewal_is_due_after_a_while_and_gives_another_key),
		cmocka_unit_test(a_worker_gets_the_same_key),
	};
	return cmocka_run_group_tests(tests, NULL, cleanup);
}
