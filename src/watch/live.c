#include "watch/live.h"

#include "base/clock.h"
#include "watch/link.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* A superframe must fit into a block; the ring is some of them. */
#define BLOCK_SIZE   ((size_t)1024 * 1024)
#define RING_DEFAULT ((size_t)16 * 1024 * 1024)
#define RING_MAX     ((size_t)2048 * 1024 * 1024)
/* A block that is not full is handed over after so long: what waiting for more packets costs in delay at most. */
#define DOWN_LOOK_MS 500 /* between looks whether an interface that is down is still there */
#define RETIRE_MS    10

struct live {
	int fd, stop_fd;
	bool any;
	int index;              /* of the interface; 0 with "any" */
	char name[IF_NAMESIZE]; /* as it was given */
	bool loopback;
	uint16_t link; /* of frames; for "any" and what has no link header, raw IP */
	uint8_t *ring;
	size_t blocks;
	size_t at;     /* the block to be read, or being read */
	uint32_t left; /* frames of it not read yet */
	uint64_t next; /* where in it the next frame is */
	bool reading;  /* the block is ours until it is given back */
	uint64_t number;
	struct live_counts counts;
	bool down; /* the interface is, or was when it was last heard of */
};

static bool no_right(struct error *err, const char *interface)
{
	return error_set(err,
		"%s: capturing needs the right CAP_NET_RAW: run as root, or give it with setcap cap_net_raw+ep to the "
		"program",
		interface);
}

static uint16_t link_of_hardware(unsigned short hardware)
{
	switch (hardware) {
	case ARPHRD_ETHER:
	case ARPHRD_LOOPBACK:
		return LINKTYPE_ETHERNET;
	default:
		return LINKTYPE_RAW;
	}
}

/*
 * The socket, not bound yet. Interfaces without a link header of Ethernet's form give what is behind it (SOCK_DGRAM),
 * and so do all of them together, whose headers differ.
 */
static bool make_socket(struct live *live, const char *interface, struct error *err)
{
	live->any = strcmp(interface, "any") == 0;
	(void)snprintf(live->name, sizeof(live->name), "%s", interface);
	live->index = live->any ? 0 : (int)if_nametoindex(interface);
	if (!live->any && live->index == 0)
		return error_set(err, "%.100s: no such interface", interface);
	live->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (live->fd < 0)
		return errno == EPERM ? no_right(err, interface)
		                      : error_set_errno(err, "%.100s: no packet socket", interface);
	live->link = LINKTYPE_RAW;
	if (!live->any) {
		struct ifreq request = {0};
		if (if_indextoname((unsigned)live->index, request.ifr_name) == NULL ||
			ioctl(live->fd, SIOCGIFHWADDR, &request) != 0)
			return error_set_errno(err, "%.100s: its kind cannot be told", interface);
		unsigned short hardware = request.ifr_hwaddr.sa_family;
		live->loopback = hardware == ARPHRD_LOOPBACK;
		live->link = link_of_hardware(hardware);
		if (live->link == LINKTYPE_ETHERNET)
			return true;
	}
	close(live->fd);
	live->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return live->fd >= 0 || error_set_errno(err, "%.100s: no packet socket", interface);
}

/* Before the socket is bound, so that nothing comes by it unfiltered. */
static bool set_filter(struct live *live, const char *filter, struct error *err)
{
	int dlt = live->link == LINKTYPE_ETHERNET ? DLT_EN10MB : DLT_RAW;
	pcap_t *compiler = pcap_open_dead(dlt, LIVE_SNAP);
	struct bpf_program program = {0};
	if (!compiler)
		return error_set(err, "filter: no memory");
	/* An empty filter lets all pass; it sets the snap length all the same. */
	if (pcap_compile(compiler, &program, filter ? filter : "", 1, PCAP_NETMASK_UNKNOWN) != 0) {
		error_set(err, "filter '%.200s': %s", filter ? filter : "", pcap_geterr(compiler));
		pcap_close(compiler);
		return false;
	}
	/* libpcap's instructions have the kernel's form. */
	_Static_assert(sizeof(struct bpf_insn) == sizeof(struct sock_filter), "one form of instructions");
	struct sock_fprog attached = {
		.len = (unsigned short)program.bf_len, .filter = (struct sock_filter *)(void *)program.bf_insns};
	bool set = setsockopt(live->fd, SOL_SOCKET, SO_ATTACH_FILTER, &attached, sizeof(attached)) == 0;
	if (!set)
		error_set_errno(err, "filter '%.200s': the kernel refused it", filter ? filter : "");
	pcap_freecode(&program);
	pcap_close(compiler);
	return set;
}

static bool make_ring(struct live *live, size_t octets, struct error *err)
{
	int version = TPACKET_V3;
	if (setsockopt(live->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) != 0)
		return error_set_errno(err, "the kernel has no TPACKET_V3");
	if (octets == 0)
		octets = RING_DEFAULT;
	if (octets > RING_MAX)
		return error_set(err, "a ring of %zu octets is more than %zu", octets, RING_MAX);
	live->blocks = (octets + BLOCK_SIZE - 1) / BLOCK_SIZE;
	struct tpacket_req3 request = {
		.tp_block_size = (unsigned)BLOCK_SIZE,
		.tp_block_nr = (unsigned)live->blocks,
		/*
		 * The kernel wants a frame size that divides the block, but lays frames behind each other all the
		 * same.
		 */
		.tp_frame_size = 2048,
		.tp_frame_nr = (unsigned)(live->blocks * (BLOCK_SIZE / 2048)),
		.tp_retire_blk_tov = RETIRE_MS,
	};
	if (setsockopt(live->fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) != 0)
		return error_set_errno(err, "no ring of %zu MiB", live->blocks);
	void *ring = mmap(NULL, live->blocks * BLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, live->fd, 0);
	if (ring == MAP_FAILED)
		return error_set_errno(err, "a ring of %zu MiB cannot be mapped", live->blocks);
	live->ring = ring;
	return true;
}

static bool bind_socket(struct live *live, const struct live_options *options, struct error *err)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = live->index};
	if (bind(live->fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) != 0)
		return error_set_errno(err, "%.100s: cannot be bound to", options->interface);
	if (options->promiscuous && !live->any) {
		struct packet_mreq request = {.mr_ifindex = live->index, .mr_type = PACKET_MR_PROMISC};
		if (setsockopt(live->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof(request)) != 0)
			return error_set_errno(err, "%.100s: no promiscuous mode", options->interface);
	}
	if (options->fanout < 0)
		return true;
	/* The kernel's hash is the same for both directions; fragments are put together before it is taken. */
	unsigned how = PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_DEFRAG;
	unsigned group = ((unsigned)options->fanout & 0xffff) | how << 16;
	if (setsockopt(live->fd, SOL_PACKET, PACKET_FANOUT, &group, sizeof(group)) != 0)
		return error_set_errno(
			err, "%.100s: cannot join the fanout group %d", options->interface, options->fanout);
	return true;
}

struct live *live_open(const struct live_options *options, struct error *err)
{
	struct live *live = calloc(1, sizeof(*live));
	if (!live) {
		error_set(err, "no memory");
		return NULL;
	}
	live->fd = -1;
	live->stop_fd = options->stop_fd;
	if (make_socket(live, options->interface, err) && set_filter(live, options->filter, err) &&
		make_ring(live, options->ring, err) && bind_socket(live, options, err))
		return live;
	live_free(live);
	return NULL;
}

void live_free(struct live *live)
{
	if (!live)
		return;
	if (live->ring)
		munmap(live->ring, live->blocks * BLOCK_SIZE);
	if (live->fd >= 0)
		close(live->fd);
	free(live);
}

static struct tpacket_block_desc *block_at(const struct live *live)
{
	return (struct tpacket_block_desc *)(void *)(live->ring + live->at * BLOCK_SIZE);
}

static void give_back(struct live *live)
{
	__atomic_store_n(&block_at(live)->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	live->at = (live->at + 1) % live->blocks;
	live->reading = false;
}

/* An interface that is down may come up again, and then packets do. One that is no more will not. */
static bool went_away(struct live *live, struct error *err)
{
	int failed = 0;
	socklen_t len = sizeof(failed);
	char name[IF_NAMESIZE];
	/* Asking takes the error off the socket. */
	if (getsockopt(live->fd, SOL_SOCKET, SO_ERROR, &failed, &len) != 0 || (failed == 0 && !live->down))
		return false;
	if (failed == 0)
		failed = ENETDOWN;
	live->down = failed == ENETDOWN && !live->any;
	if (failed == ENETDOWN && (live->any || if_indextoname((unsigned)live->index, name)))
		return false;
	errno = failed;
	error_set_errno(err, "%s: the interface went away", live->name);
	return true;
}

/* FRAME: the block at `at` is ours. */
static enum capture_result wait_block(struct live *live, uint64_t deadline_ns, struct error *err)
{
	struct tpacket_block_desc *block = block_at(live);
	while (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) {
		uint64_t now = clock_monotonic_ns();
		int wait_ms = -1;
		if (deadline_ns != UINT64_MAX)
			wait_ms = now < deadline_ns ? (int)((deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS) : 0;
		/* One that is removed goes down first, and the kernel tells of nothing after that. */
		bool looks = live->down && (wait_ms < 0 || wait_ms > DOWN_LOOK_MS);
		if (looks)
			wait_ms = DOWN_LOOK_MS;
		struct pollfd polled[] = {
			{.fd = live->fd, .events = POLLIN | POLLERR}, {.fd = live->stop_fd, .events = POLLIN}};
		int ready = poll(polled, 2, wait_ms);
		if (ready < 0 && errno != EINTR) {
			error_set_errno(err, "waiting for packets");
			return CAPTURE_BROKEN;
		}
		if (ready > 0 && polled[1].revents != 0)
			return CAPTURE_STOPPED;
		if (((ready == 0 && live->down) || (ready > 0 && polled[0].revents & POLLERR)) && went_away(live, err))
			return CAPTURE_BROKEN;
		if (ready == 0 && !looks)
			return CAPTURE_WAIT;
	}
	live->down = false;
	live->left = block->hdr.bh1.num_pkts;
	live->next = block->hdr.bh1.offset_to_first_pkt;
	live->reading = true;
	return CAPTURE_FRAME;
}

/* False: the frame is passed over. */
static bool take_frame(struct live *live, struct tpacket3_hdr *header, struct frame *out)
{
	uint8_t *start = (uint8_t *)header;
	const struct sockaddr_ll *from =
		(const struct sockaddr_ll *)(const void *)(start + TPACKET_ALIGN(sizeof(*header)));
	if (from->sll_hatype == ARPHRD_LOOPBACK && from->sll_pkttype == PACKET_OUTGOING) {
		live->counts.repeated++;
		return false;
	}
	uint16_t protocol = ntohs(from->sll_protocol);
	if (live->link == LINKTYPE_RAW && protocol != ETHERTYPE_IP && protocol != ETHERTYPE_IPV6) {
		live->counts.not_ip++;
		return false;
	}
	live->counts.frames++;
	live->counts.octets += header->tp_snaplen;
	*out = (struct frame){
		.time_ns = header->tp_sec * NS_PER_S + header->tp_nsec,
		.number = ++live->number,
		.bytes = bytes_of(start + header->tp_mac, header->tp_snaplen),
		.original = header->tp_len,
		.interface = (uint32_t)from->sll_ifindex,
		.link = live->link,
	};
	if (header->tp_status & TP_STATUS_VLAN_VALID) {
		out->vlan_tag = (uint16_t)header->hv1.tp_vlan_tci;
		out->vlan_type =
			header->tp_status & TP_STATUS_VLAN_TPID_VALID ? header->hv1.tp_vlan_tpid : ETHERTYPE_VLAN;
	}
	return true;
}

enum capture_result live_next(struct live *live, struct frame *out, int wait_ms, struct error *err)
{
	while (true) {
		if (!live->reading) {
			uint64_t deadline =
				wait_ms < 0 ? UINT64_MAX : clock_monotonic_ns() + (uint64_t)wait_ms * NS_PER_MS;
			enum capture_result result = wait_block(live, deadline, err);
			if (result != CAPTURE_FRAME)
				return result;
		}
		while (live->left > 0) {
			struct tpacket3_hdr *header =
				(struct tpacket3_hdr *)(void *)((uint8_t *)block_at(live) + live->next);
			live->left--;
			live->next += header->tp_next_offset;
			if (take_frame(live, header, out))
				return CAPTURE_FRAME;
		}
		give_back(live);
	}
}

struct live_counts live_count(struct live *live)
{
	/* The kernel's counters begin again whenever they are asked for. */
	struct tpacket_stats_v3 stats;
	socklen_t len = sizeof(stats);
	if (getsockopt(live->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0) {
		live->counts.arrived += stats.tp_packets;
		live->counts.dropped += stats.tp_drops;
		live->counts.freezes += stats.tp_freeze_q_cnt;
	}
	return live->counts;
}
