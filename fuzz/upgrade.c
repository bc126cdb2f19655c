/*
 * upgrade: any bytes are answered; what is refused or done stays so when more comes behind it, and an answer can always be written.
 */
#include <stdlib.h>

#include "codec/upgrade.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADER_MAX 4096u

static void
require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static bool
inside(struct bytes part, struct bytes whole)
{
    return part.size == 0 || (part.data >= whole.data && part.data + part.size <= whole.data + whole.size);
}

static void
check_done(const struct upgrade *request, struct bytes input)
{
    uint8_t out[UPGRADE_ANSWER_MAX];
    struct bytes header = bytes_of(input.data, request->size);
    require(request->size <= input.size && request->key.size == 24 && request->protocol.size > 0);
    require(inside(request->target, header) && inside(request->key, header) && inside(request->protocol, header) && inside(request->origin, header));
    for (uint32_t i = 0; i < request->x_forwarded_for.count; i++) {
        require(inside(request->x_forwarded_for.at[i], header));
    }
    for (uint32_t i = 0; i < request->forwarded.count; i++) {
        require(inside(request->forwarded.at[i], header));
    }
    require(upgrade_write_accept(out, request) > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 2 * HEADER_MAX) {
        return 0;
    }
    struct upgrade request, shorter;
    struct bytes input = bytes_of(data, (uint32_t)size);
    enum upgrade_status status = upgrade_read(input, HEADER_MAX, &request);
    if (status == UPGRADE_DONE) {
        check_done(&request, input);
    } else if (status == UPGRADE_REFUSED) {
        uint8_t out[UPGRADE_ANSWER_MAX];
        require(upgrade_write_refusal(out, request.refusal) > 0);
    } else if (size > 0) {
        require(upgrade_read(bytes_of(data, (uint32_t)size - 1), HEADER_MAX, &shorter) == UPGRADE_NEED_MORE);
    }
    return 0;
}
