/*
 * proxy: the first byte picks the version, the header follows. What is done or malformed stays so when more comes behind it; what needs more needed more
 * before its last byte too.
 */
#include <stdlib.h>

#include "codec/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool holds)
{
    if (!holds) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 2 * PROXY_SIZE_MAX) {
        return 0;
    }
    unsigned version = data[0] % 2 + 1;
    struct proxy p, shorter;
    struct bytes input = bytes_of(data + 1, (uint32_t)size - 1);
    enum proxy_status status = proxy_read(input, version, &p);
    if (status == PROXY_DONE) {
        require(p.size > 0 && p.size <= input.size && p.size <= PROXY_SIZE_MAX);
        require(!p.certificate || p.tls);
        require(p.certificate || p.common_name.size == 0);
        require(proxy_read(bytes_of(input.data, p.size), version, &shorter) == PROXY_DONE && shorter.size == p.size);
        require(proxy_read(bytes_of(input.data, p.size - 1), version, &shorter) == PROXY_NEED_MORE);
    } else if (status == PROXY_NEED_MORE && input.size > 0) {
        require(proxy_read(bytes_of(input.data, input.size - 1), version, &shorter) == PROXY_NEED_MORE);
    }
    return 0;
}
