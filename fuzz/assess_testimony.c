/* What a listener answers and what a report of another place says: read whatever it is, and never more than there is. */
#include "assess/json.h"
#include "assess/testimony.h"
#include "assess/vantage.h"
#include "assess/visit_edit.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct testimony testimony;
	struct vantage vantage;
	uint8_t key[32];
	struct bytes text = bytes_of(data, size), rest, value;
	size_t elements = 0;
	(void)!testimony_read(text, &testimony, key);
	if (vantage_read(text, &vantage) && memchr(vantage.issuer, 0, sizeof(vantage.issuer)) == NULL)
		abort();
	if (json_array(text, &rest)) {
		while (json_next(&rest, &value))
			elements++;
	}
	if (elements > size)
		abort();
	uint8_t *copy = malloc(size + 1);
	if (copy) {
		memcpy(copy, data, size);
		if (edit_hide_renegotiation(copy, size) > size)
			abort();
	}
	free(copy);
	return 0;
}
