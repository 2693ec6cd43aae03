#include "share/shipper.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_NS UINT64_C(20000000000)

struct heard {
	char address[64];
	struct shipper *shipper;
	pthread_mutex_t lock;
	unsigned items;
	uint32_t pid, last_epoch;
	bool refuse;
	bool later; /* items are not taken yet when the callback comes back */
	struct shipper_ticket tickets[SHARE_RING_SLOTS];
	unsigned ticket_count;
	atomic_bool hold; /* the callback does not come back */
};

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static bool admit(void *arg, const struct shipper_from *from)
{
	struct heard *heard = arg;
	assert_int_equal(from->uid, geteuid());
	return !heard->refuse;
}

static bool take(
	void *arg, const struct shipper_from *from, const struct share_item *item, struct shipper_ticket ticket)
{
	struct heard *heard = arg;
	while (atomic_load(&heard->hold))
		sched_yield();
	pthread_mutex_lock(&heard->lock);
	heard->items++;
	heard->pid = from->pid;
	heard->last_epoch = item->key.epoch;
	bool later = heard->later;
	if (later)
		heard->tickets[heard->ticket_count++] = ticket;
	pthread_mutex_unlock(&heard->lock);
	return !later;
}

static int begin(void **state)
{
	struct heard *heard = calloc(1, sizeof(*heard));
	struct error err;
	static unsigned number;
	assert_non_null(heard);
	pthread_mutex_init(&heard->lock, NULL);
	snprintf(heard->address, sizeof(heard->address), "@overt-test-%d-%u", (int)getpid(), number++);
	struct shipper_options options = {.address = heard->address, .admit = admit, .take = take, .arg = heard};
	heard->shipper = shipper_new(&options, &err);
	assert_non_null(heard->shipper);
	*state = heard;
	return 0;
}

static int end(void **state)
{
	struct heard *heard = *state;
	shipper_free(heard->shipper);
	free(heard);
	return 0;
}

/* A program, as the agent is one. */
struct program {
	struct share_ring *ring;
	struct share_bell *bell;
	uint32_t number;
};

static int knock(const char *address)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	strncpy(at.sun_path, address, sizeof(at.sun_path) - 1);
	at.sun_path[0] = '\0';
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address));
	assert_int_equal(connect(fd, (struct sockaddr *)&at, len), 0);
	return fd;
}

static void send_head(int fd, const char *head, int memory)
{
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec octets = {.iov_base = (void *)(uintptr_t)head, .iov_len = strlen(head)};
	struct msghdr message = {.msg_iov = &octets, .msg_iovlen = 1};
	if (memory >= 0) {
		message.msg_control = room;
		message.msg_controllen = sizeof(room);
		struct cmsghdr *attached = CMSG_FIRSTHDR(&message);
		attached->cmsg_level = SOL_SOCKET;
		attached->cmsg_type = SCM_RIGHTS;
		attached->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(attached), &memory, sizeof(memory));
	}
	assert_true(sendmsg(fd, &message, 0) > 0);
}

static int make_memory(size_t size, int seals, bool init)
{
	int fd = memfd_create("test", MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	if (seals)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	if (init) {
		struct share_ring *ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		share_ring_init(ring);
		munmap(ring, size);
	}
	return fd;
}

/* False when the door did not answer with a bell. */
static bool enter(const char *address, struct program *out)
{
	int memory = make_memory(SHARE_RING_SIZE, F_SEAL_SHRINK | F_SEAL_GROW, true), fd = knock(address), bell = -1;
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	uint8_t answer[8];
	struct iovec octets = {.iov_base = answer, .iov_len = sizeof(answer)};
	struct msghdr message = {
		.msg_iov = &octets, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
	send_head(fd, "OVS1", memory);
	out->ring = mmap(NULL, SHARE_RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	ssize_t n = recvmsg(fd, &message, 0);
	if (n == 8) {
		const struct cmsghdr *attached = CMSG_FIRSTHDR(&message);
		assert_non_null(attached);
		if (attached)
			memcpy(&bell, CMSG_DATA(attached), sizeof(bell));
		out->bell = mmap(NULL, SHARE_BELL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, bell, 0);
		out->number = (uint32_t)answer[6] << 8 | answer[7];
		close(bell);
	}
	close(fd);
	close(memory);
	return n == 8;
}

static void leave(struct program *program)
{
	if (program->ring)
		munmap(program->ring, SHARE_RING_SIZE);
	if (program->bell)
		munmap(program->bell, SHARE_BELL_SIZE);
}

static bool give(const struct program *program, uint32_t epoch, uint64_t within_ns)
{
	uint8_t room[SHARE_SLOT_MAX];
	struct writer to = writer_over(room, sizeof(room));
	struct share_item item = {.kind = SHARE_KEY, .key.epoch = epoch};
	uint64_t ticket;
	assert_true(share_item_write(&item, &to));
	if (!share_ring_put(program->ring, bytes_of(room, to.len), &ticket))
		return false;
	share_bell_ring(program->bell, program->number);
	return share_ring_wait(program->ring, ticket, now_ns() + within_ns);
}

static void a_key_that_was_waited_for_has_been_taken(void **state)
{
	struct heard *heard = *state;
	struct program program = {0};
	assert_true(enter(heard->address, &program));
	for (uint32_t i = 0; i < 3 * SHARE_RING_SLOTS; i++) {
		assert_true(give(&program, i, PATIENCE_NS));
		/* Without a look at the shipper's lock: it was taken before the wait ended. */
		assert_int_equal(heard->items, i + 1);
		assert_int_equal(heard->last_epoch, i);
	}
	assert_int_equal(heard->pid, getpid());
	assert_int_equal(shipper_count(heard->shipper).items, 3 * SHARE_RING_SLOTS);
	leave(&program);
}

static void while_nothing_is_taken_nobody_is_told_so(void **state)
{
	struct heard *heard = *state;
	struct program program = {0};
	assert_true(enter(heard->address, &program));
	atomic_store(&heard->hold, true);
	assert_false(give(&program, 1, UINT64_C(50000000)));
	atomic_store(&heard->hold, false);
	assert_true(give(&program, 2, PATIENCE_NS));
	assert_int_equal(heard->items, 2);
	leave(&program);
}

static unsigned tickets_of(struct heard *heard)
{
	pthread_mutex_lock(&heard->lock);
	unsigned count = heard->ticket_count;
	pthread_mutex_unlock(&heard->lock);
	return count;
}

static void what_is_done_later_counts_later_and_in_its_order(void **state)
{
	struct heard *heard = *state;
	struct program program = {0};
	uint64_t until = now_ns() + PATIENCE_NS;
	heard->later = true;
	assert_true(enter(heard->address, &program));
	for (uint32_t i = 0; i < SHARE_RING_SLOTS; i++)
		assert_false(give(&program, i, 0));
	/* All are read, none counts, and there is no room for more. */
	while (tickets_of(heard) < SHARE_RING_SLOTS && now_ns() < until)
		sched_yield();
	assert_int_equal(tickets_of(heard), SHARE_RING_SLOTS);
	assert_false(give(&program, 0, 0));
	shipper_done(heard->shipper, heard->tickets[1]);
	assert_false(share_ring_taken(program.ring, 1));
	shipper_done(heard->shipper, heard->tickets[0]);
	assert_true(share_ring_taken(program.ring, 0));
	assert_true(share_ring_taken(program.ring, 1));
	assert_false(share_ring_taken(program.ring, 2));
	/* Twice, of another ring, or of one that is gone: nothing. */
	struct shipper_ticket wrong = heard->tickets[2];
	wrong.birth++;
	shipper_done(heard->shipper, wrong);
	shipper_done(heard->shipper, heard->tickets[0]);
	wrong = heard->tickets[2];
	wrong.number = SHARE_RINGS_MAX;
	shipper_done(heard->shipper, wrong);
	assert_false(share_ring_taken(program.ring, 2));
	for (unsigned i = 2; i < SHARE_RING_SLOTS; i++)
		shipper_done(heard->shipper, heard->tickets[i]);
	assert_true(share_ring_taken(program.ring, SHARE_RING_SLOTS - 1));
	heard->later = false;
	assert_true(give(&program, 7, PATIENCE_NS));
	leave(&program);
}

static void what_a_program_wrote_before_it_died_is_taken(void **state)
{
	struct heard *heard = *state;
	pid_t child = fork();
	if (child == 0) {
		struct program program = {0};
		bool ok = enter(heard->address, &program);
		for (uint32_t i = 0; ok && i < 10; i++)
			(void)!give(&program, i, 0);
		_exit(!ok);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	shipper_drain(heard->shipper);
	uint64_t until = now_ns() + PATIENCE_NS;
	while (shipper_count(heard->shipper).open > 0 && now_ns() < until)
		sched_yield();
	assert_int_equal(shipper_count(heard->shipper).open, 0);
	assert_int_equal(heard->items, 10);
	assert_int_equal(heard->pid, child);
}

static void many_programs_are_told_apart(void **state)
{
	struct heard *heard = *state;
	static struct program programs[100];
	for (size_t i = 0; i < 100; i++)
		assert_true(enter(heard->address, &programs[i]));
	for (size_t i = 0; i < 100; i++) {
		assert_int_equal(programs[i].number, i);
		assert_true(give(&programs[i], (uint32_t)i, PATIENCE_NS));
		assert_int_equal(heard->last_epoch, i);
	}
	for (size_t i = 0; i < 100; i++)
		leave(&programs[i]);
}

static void who_may_not_share_is_sent_away(void **state)
{
	struct heard *heard = *state;
	struct program program = {0};
	heard->refuse = true;
	assert_false(enter(heard->address, &program));
	assert_int_equal(shipper_count(heard->shipper).refused, 1);
	leave(&program);
}

static void await_refused(struct heard *heard, uint64_t count)
{
	uint64_t until = now_ns() + PATIENCE_NS;
	while (shipper_count(heard->shipper).refused < count && now_ns() < until)
		sched_yield();
	assert_int_equal(shipper_count(heard->shipper).refused, count);
}

static void memory_that_could_end_the_shipper_is_not_mapped(void **state)
{
	struct heard *heard = *state;
	const struct {
		size_t size;
		int seals;
		bool init;
	} wrong[] = {
		{SHARE_RING_SIZE, 0, true},
		{SHARE_RING_SIZE, F_SEAL_GROW, true},
		{SHARE_RING_SIZE / 2, F_SEAL_SHRINK | F_SEAL_GROW, true},
		{SHARE_RING_SIZE * 2, F_SEAL_SHRINK | F_SEAL_GROW, true},
		{SHARE_RING_SIZE, F_SEAL_SHRINK | F_SEAL_GROW, false},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		int memory = make_memory(wrong[i].size, wrong[i].seals, wrong[i].init), fd = knock(heard->address);
		send_head(fd, "OVS1", memory);
		await_refused(heard, i + 1);
		close(fd);
		close(memory);
	}
	int fd = knock(heard->address), null = open("/dev/null", O_RDWR);
	send_head(fd, "OVS1", null);
	await_refused(heard, 6);
	close(fd);
	close(null);
	fd = knock(heard->address);
	send_head(fd, "OVS2", -1);
	await_refused(heard, 7);
	close(fd);
}

static void a_program_that_breaks_the_rules_loses_its_ring_and_no_other_does(void **state)
{
	struct heard *heard = *state;
	struct program good = {0}, bad = {0};
	assert_true(enter(heard->address, &good));
	assert_true(enter(heard->address, &bad));
	atomic_store(&bad.ring->slot[0].turn, 77);
	share_bell_ring(bad.bell, bad.number);
	uint64_t until = now_ns() + PATIENCE_NS;
	while (shipper_count(heard->shipper).broken == 0 && now_ns() < until)
		sched_yield();
	assert_int_equal(shipper_count(heard->shipper).broken, 1);
	assert_true(give(&good, 1, PATIENCE_NS));
	uint64_t ticket;
	assert_true(share_ring_put(good.ring, bytes_str("no item"), &ticket));
	share_bell_ring(good.bell, good.number);
	assert_true(share_ring_wait(good.ring, ticket, now_ns() + PATIENCE_NS));
	assert_int_equal(shipper_count(heard->shipper).malformed, 1);
	assert_int_equal(heard->items, 1);
	leave(&good);
	leave(&bad);
}

static void an_end_is_told_to_programs_and_takes_what_is_there(void **state)
{
	struct heard *heard = *state;
	struct program program = {0};
	assert_true(enter(heard->address, &program));
	assert_true(give(&program, 1, PATIENCE_NS));
	assert_int_equal(atomic_load(&program.bell->closed), 0);
	shipper_free(heard->shipper);
	heard->shipper = NULL;
	assert_int_equal(atomic_load(&program.bell->closed), 1);
	assert_false(give(&program, 2, UINT64_C(20000000)));
	leave(&program);
}

static void a_path_that_a_dead_shipper_left_is_taken_over_and_a_living_ones_is_not(void **state)
{
	char folder[] = "/tmp/overt-test-XXXXXX", path[64];
	struct error err;
	struct heard heard = {.lock = PTHREAD_MUTEX_INITIALIZER};
	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/share", folder);
	struct shipper_options options = {.address = path, .mode = 0600, .take = take, .arg = &heard};
	/* Bound and never removed, as by one that was killed. */
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	strncpy(at.sun_path, path, sizeof(at.sun_path) - 1);
	int dead = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_int_equal(bind(dead, (struct sockaddr *)&at, sizeof(at)), 0);
	close(dead);
	struct shipper *shipper = shipper_new(&options, &err);
	assert_non_null(shipper);
	struct stat about;
	assert_int_equal(stat(path, &about), 0);
	assert_int_equal(about.st_mode & 0777, 0600);
	assert_null(shipper_new(&options, &err));
	assert_int_equal(stat(path, &about), 0);
	shipper_free(shipper);
	assert_int_not_equal(stat(path, &about), 0);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_key_that_was_waited_for_has_been_taken, begin, end),
		cmocka_unit_test_setup_teardown(while_nothing_is_taken_nobody_is_told_so, begin, end),
		cmocka_unit_test_setup_teardown(what_is_done_later_counts_later_and_in_its_order, begin, end),
		cmocka_unit_test_setup_teardown(what_a_program_wrote_before_it_died_is_taken, begin, end),
		cmocka_unit_test_setup_teardown(many_programs_are_told_apart, begin, end),
		cmocka_unit_test_setup_teardown(who_may_not_share_is_sent_away, begin, end),
		cmocka_unit_test_setup_teardown(memory_that_could_end_the_shipper_is_not_mapped, begin, end),
		cmocka_unit_test_setup_teardown(
			a_program_that_breaks_the_rules_loses_its_ring_and_no_other_does, begin, end),
		cmocka_unit_test_setup_teardown(an_end_is_told_to_programs_and_takes_what_is_there, begin, end),
		cmocka_unit_test(a_path_that_a_dead_shipper_left_is_taken_over_and_a_living_ones_is_not),
	};
	return cmocka_run_group_tests_name("share/shipper", tests, NULL, NULL);
}
