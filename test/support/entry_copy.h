/*
 * entry_copy: reads an entry of the journal and writes what was read: the same again, but for bytes of a later version behind it.
 */
#ifndef TIDEWIRE_TEST_SUPPORT_ENTRY_COPY_H
#define TIDEWIRE_TEST_SUPPORT_ENTRY_COPY_H

#include "engine/durable/entry.h"

/* False if there is no such entry in `content`. The copy is no larger than that. */
bool entry_copy(uint8_t type, struct bytes content, uint8_t *out, uint32_t *out_size);

#endif
