#include "engine/identity/base64url.h"

#include "engine/identity/base64.h"

bool
base64url_decode(struct bytes text, uint8_t *out, uint32_t *size)
{
    int32_t got = base64_decode_alphabet(text, '-', '_', out, BASE64URL_ROOM(text.size));
    *size = got > 0 ? (uint32_t)got : 0;
    return got >= 0;
}
