/* Entries of the audit log. */
#include "collect/parts.h"

void entry_add(struct audit_entry *entry, struct audit_field field)
{
	enum audit_type type;
	if (field.type != AUDIT_NUMBER && field.text.len == 0)
		return;
	if (audit_field_type(entry->kind, bytes_str(field.key), &type) && type == field.type)
		(void)!audit_entry_add(entry, field);
}
