/*
 * What any bytes can do to the readers of journal entries: the first byte is the kind (0: a principal, which lies in a SESSION), the rest its content. What is an entry after
 * all has one form, which is written again; a delivery that was cancelled is not found again.
 */
#include <stdlib.h>

#include "engine/durable/principal_entry.h"
#include "test/support/entry_copy.h"

#define LARGEST 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void
read_principal(struct bytes content)
{
    static char path[] = "/s";
    static const struct config_listener listeners[] = {{.port = 1883}, {.unix_path = path}};
    struct principal_entry read;
    if (principal_entry_read(content, listeners, 2, &read)) {
        uint8_t again[LARGEST + 64]; /* the first listener's name may be the longer one */
        struct writer w = writer_of(again, sizeof again);
        principal_entry_put(&w, &read.principal, &listeners[read.principal.listener]);
        require(!w.failed && (size_t)(w.at - again) == principal_entry_size(&read.principal, &listeners[read.principal.listener]));
    }
}

/* `content` is our own, and a whole entry. */
static void
cancel(uint8_t type, uint8_t *content, uint32_t size)
{
    struct entry_message message = {0};
    struct entry_delivery delivery;
    struct bytes deliveries;
    uint32_t count;
    require(type == ENTRY_MESSAGE ? entry_read_message(bytes_of(content, size), &message) : entry_read_deliveries(bytes_of(content, size), &count, &deliveries));
    deliveries = type == ENTRY_MESSAGE ? message.deliveries : deliveries;
    for (unsigned i = 0; i < ENTRY_CANCEL_MAX && entry_next_delivery(&deliveries, &delivery); i++) {
        if (!delivery.cancelled && entry_cancel_delivery(type, content, size, delivery.identity, delivery.number) == 0) {
            require(entry_cancel_delivery(type, content, size, delivery.identity, delivery.number) == -1);
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t copy[LARGEST];
    uint32_t copy_size;
    if (size == 0 || size > LARGEST) {
        return 0;
    }
    struct bytes content = bytes_of(data + 1, (uint32_t)size - 1);
    if (data[0] == 0) {
        read_principal(content);
    } else if (entry_copy(data[0], content, copy, &copy_size)) {
        require(bytes_equal(bytes_of(copy, copy_size), bytes_of(content.data, copy_size)));
        if (data[0] == ENTRY_MESSAGE || data[0] == ENTRY_DELIVERIES) {
            cancel(data[0], copy, copy_size);
        }
    }
    return 0;
}
