#include "bus/load.h"

#include <stdlib.h>

/* What stands beside each sealed release (keys/courier.h, GIVE): the sender's name with its length, time, length. */
#define BESIDE (1 + 255 + 8 + 2)

struct bus_load *bus_load_new(size_t keys, size_t octets)
{
	struct bus_load *load = calloc(1, sizeof(*load));
	if (!load)
		return NULL;
	size_t room = octets + keys * BESIDE;
	load->octets = writer_over(malloc(room ? room : 1), room);
	load->items = calloc(keys ? keys : 1, sizeof(*load->items));
	load->cap = keys;
	if (load->octets.data && load->items)
		return load;
	bus_load_free(load);
	return NULL;
}

bool bus_load_add(
	struct bus_load *load, const char *site, struct bytes sender, uint64_t received_ns, struct bytes sealed)
{
	struct seal_head head;
	if (load->count == load->cap || !seal_head_read(sealed, &head))
		return false;
	struct load_item *item = &load->items[load->count];
	size_t from = load->octets.len;
	writer_vec8(&load->octets, sender);
	writer_u64(&load->octets, received_ns);
	writer_vec16(&load->octets, sealed);
	if (load->octets.full || !bus_subject(item->subject, site, &head))
		return false;
	bus_id(item->id, &head);
	item->body = bytes_of(load->octets.data + from, load->octets.len - from);
	item->load = load;
	load->count++;
	return true;
}

size_t bus_load_refused(const struct bus_load *load)
{
	return load->refused;
}

bool bus_load_refuses(const struct bus_load *load, size_t at)
{
	return at < load->count && load->items[at].refused;
}

void bus_load_free(struct bus_load *load)
{
	if (!load)
		return;
	free(load->octets.data);
	free(load->items);
	free(load);
}
