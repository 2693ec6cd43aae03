/* Real probes, at a function of this very program, where the machine allows them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "uprobe/uprobe.h"

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALL "call" /* argument of this program: it makes one, and is no test */

static struct uprobe *uprobe;
static struct probe_event got[PROBE_SLOTS];
static size_t count;

/* Stands for OpenSSL's. */
__attribute__((noinline)) int nss_keylog_int(const char *prefix, const void *ssl, const uint8_t *random,
	size_t random_len, const uint8_t *secret, size_t secret_len);

int nss_keylog_int(const char *prefix, const void *ssl, const uint8_t *random, size_t random_len, const uint8_t *secret,
	size_t secret_len)
{
	__asm__ volatile("" ::"r"(prefix), "r"(ssl), "r"(random), "r"(random_len), "r"(secret), "r"(secret_len)
			 : "memory");
	return 1;
}

static bool read_file(void *arg, uint64_t at, void *out, size_t len)
{
	return pread(*(int *)arg, out, len, (off_t)at) == (ssize_t)len;
}

/* Where the function stands in this program. */
static struct target find(int fd)
{
	static const char *const name = "nss_keylog_int";
	struct target target = {.kind = TARGET_OPENSSL, .count = 1, .points[0].probe = TARGET_SSL_LINE};
	struct elf_source source = {.read = read_file, .arg = &fd};
	struct stat about;
	struct elf elf;
	uint64_t address = 0;
	assert_int_equal(fstat(fd, &about), 0);
	source.size = (uint64_t)about.st_size;
	assert_int_equal(elf_open(&source, &elf), ELF_OK);
	assert_true(elf_functions(&elf, &name, 1, &address));
	assert_true(elf_place(&elf, address, &target.points[0].offset));
	elf_free(&elf);
	return target;
}

static int begin(void **state)
{
	struct error err;
	(void)state;
	count = 0;
	uprobe = uprobe_new(&err);
	if (!uprobe) {
		print_message("no probes: %s\n", err.text);
		return 0;
	}
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	struct target target = find(fd);
	if (!uprobe_attach(uprobe, fd, &target, &err)) {
		print_message("no probes: %s\n", err.text);
		uprobe_free(uprobe);
		uprobe = NULL;
	}
	close(fd);
	return 0;
}

static int end(void **state)
{
	(void)state;
	uprobe_free(uprobe);
	uprobe = NULL;
	return 0;
}

static void take(void *arg, const struct probe_event *event)
{
	(void)arg;
	assert_true(count < PROBE_SLOTS);
	got[count++] = *event;
}

static void call(unsigned times, size_t secret_len)
{
	uint8_t random[PROBE_RANDOM], secret[PROBE_SECRET + 8];
	memset(random, 0xa1, sizeof(random));
	memset(secret, 0xb2, sizeof(secret));
	for (unsigned i = 0; i < times; i++)
		(void)nss_keylog_int("CLIENT_TRAFFIC_SECRET_0", &uprobe, random, sizeof(random), secret, secret_len);
}

/* In a process of its own; its number. */
static pid_t call_below(unsigned times, size_t secret_len)
{
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		call(times, secret_len);
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return pid;
}

static void what_a_process_below_passes_is_fetched(void **state)
{
	uint8_t expected[48];
	(void)state;
	if (!uprobe)
		skip();
	pid_t pid = call_below(1, sizeof(expected));
	uprobe_fetch(uprobe, take, NULL);
	assert_int_equal(count, 1);
	assert_int_equal(got[0].kind, PROBE_LINE);
	assert_int_equal(got[0].pid, pid);
	assert_int_equal(got[0].owner, (uintptr_t)&uprobe);
	assert_int_equal(got[0].text_len, strlen("CLIENT_TRAFFIC_SECRET_0"));
	assert_memory_equal(got[0].text, "CLIENT_TRAFFIC_SECRET_0", got[0].text_len);
	assert_int_equal(got[0].secret_len, sizeof(expected));
	memset(expected, 0xb2, sizeof(expected));
	assert_memory_equal(got[0].secret, expected, sizeof(expected));
	memset(expected, 0xa1, sizeof(expected));
	assert_memory_equal(got[0].random, expected, PROBE_RANDOM);
	assert_int_equal(got[0].secret[sizeof(expected)], 0);
}

static void what_a_process_that_is_not_below_passes_is_not(void **state)
{
	(void)state;
	if (!uprobe)
		skip();
	call(3, 32);
	uprobe_fetch(uprobe, take, NULL);
	assert_int_equal(count, 0);
	assert_int_equal(uprobe_count(uprobe).dropped, 0);
}

static void what_finds_no_slot_is_counted_and_the_next_does(void **state)
{
	(void)state;
	if (!uprobe)
		skip();
	(void)call_below(PROBE_SLOTS + 7, 32);
	uprobe_fetch(uprobe, take, NULL);
	assert_int_equal(count, PROBE_SLOTS);
	assert_int_equal(uprobe_count(uprobe).dropped, 7);
	count = 0;
	(void)call_below(2, 32);
	uprobe_fetch(uprobe, take, NULL);
	assert_int_equal(count, 2);
	assert_int_equal(uprobe_count(uprobe).events, PROBE_SLOTS + 2);
}

static void a_secret_of_an_unknown_length_is_not_taken(void **state)
{
	(void)state;
	if (!uprobe)
		skip();
	(void)call_below(1, PROBE_SECRET + 1);
	(void)call_below(1, 0);
	uprobe_fetch(uprobe, take, NULL);
	assert_int_equal(count, 0);
	assert_int_equal(uprobe_count(uprobe).unreadable, 2);
}

static void probes_stand_once_in_a_file(void **state)
{
	struct error err;
	(void)state;
	if (!uprobe)
		skip();
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct target target = find(fd);
	assert_true(uprobe_attach(uprobe, fd, &target, &err));
	close(fd);
	(void)call_below(1, 32);
	uprobe_fetch(uprobe, take, NULL);
	assert_int_equal(count, 1);
}

static void what_failed_is_not_remembered(void **state)
{
	struct error err;
	(void)state;
	if (!uprobe)
		skip();
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct target target = find(fd), wrong = target;
	uprobe_free(uprobe);
	uprobe = uprobe_new(&err);
	assert_non_null(uprobe);
	/* The first of two stands when the second, behind the end of the file, does not. */
	wrong.points[wrong.count] = wrong.points[0];
	wrong.points[wrong.count++].offset = UINT64_C(1) << 40;
	assert_false(uprobe_attach(uprobe, fd, &wrong, &err));
	assert_int_equal(uprobe_files(uprobe), 0);
	(void)call_below(1, 32);
	uprobe_fetch(uprobe, take, NULL);
	assert_int_equal(count, 0);
	assert_true(uprobe_attach(uprobe, fd, &target, &err));
	assert_int_equal(uprobe_files(uprobe), 1);
	close(fd);
	(void)call_below(1, 32);
	uprobe_fetch(uprobe, take, NULL);
	assert_int_equal(count, 1);
}

/* A copy of this program, which runs as one that makes a call and ends. */
static int make_copy(char *path, size_t cap)
{
	char octets[65536];
	ssize_t n;
	snprintf(path, cap, "/tmp/overt-test-XXXXXX");
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = mkostemp(path, O_CLOEXEC);
	assert_true(from >= 0 && to >= 0);
	while ((n = read(from, octets, sizeof(octets))) > 0)
		assert_int_equal(write(to, octets, (size_t)n), n);
	assert_int_equal(fchmod(to, 0700), 0);
	close(from);
	close(to);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void run_copy(const char *path)
{
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		execl(path, path, CALL, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	assert_int_equal(status, 0);
}

static size_t lines_of(const char *path)
{
	size_t lines = 0;
	count = 0;
	run_copy(path);
	uprobe_fetch(uprobe, take, NULL);
	for (size_t i = 0; i < count; i++)
		lines += got[i].kind == PROBE_LINE;
	return lines;
}

/* As whoever writes the same file anew does. */
static void touch(const char *path)
{
	char octet;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &octet, 1, 0), 1);
	assert_int_equal(pwrite(fd, &octet, 1, 0), 1);
	assert_int_equal(futimens(fd, (const struct timespec[2]){{.tv_sec = 1}, {.tv_sec = 1}}), 0);
	close(fd);
}

static void a_file_that_was_changed_is_given_its_probes_anew(void **state)
{
	struct error err;
	char path[64];
	(void)state;
	if (!uprobe)
		skip();
	unsigned before = uprobe_files(uprobe);
	int fd = make_copy(path, sizeof(path));
	struct target target = find(fd), elsewhere = target;
	/* Where the function was before: at the beginning of the program, where nothing runs. */
	elsewhere.points[0].offset = 0;
	assert_true(uprobe_attach(uprobe, fd, &elsewhere, &err));
	assert_int_equal(lines_of(path), 0);
	/* The same file, as far as can be seen. */
	assert_true(uprobe_attach(uprobe, fd, &target, &err));
	assert_int_equal(lines_of(path), 0);
	touch(path);
	assert_true(uprobe_attach(uprobe, fd, &target, &err));
	assert_int_equal(uprobe_files(uprobe), before + 1);
	assert_int_equal(lines_of(path), 1);
	touch(path);
	uprobe_detach_changed(uprobe, fd);
	assert_int_equal(uprobe_files(uprobe), before);
	assert_int_equal(lines_of(path), 0);
	close(fd);
	assert_int_equal(unlink(path), 0);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], CALL) == 0) {
		call(1, 32);
		return 0;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_a_process_below_passes_is_fetched, begin, end),
		cmocka_unit_test_setup_teardown(what_a_process_that_is_not_below_passes_is_not, begin, end),
		cmocka_unit_test_setup_teardown(what_finds_no_slot_is_counted_and_the_next_does, begin, end),
		cmocka_unit_test_setup_teardown(a_secret_of_an_unknown_length_is_not_taken, begin, end),
		cmocka_unit_test_setup_teardown(probes_stand_once_in_a_file, begin, end),
		cmocka_unit_test_setup_teardown(what_failed_is_not_remembered, begin, end),
		cmocka_unit_test_setup_teardown(a_file_that_was_changed_is_given_its_probes_anew, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
