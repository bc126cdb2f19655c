/*
 * What any two messages can do to the server's side of SCRAM: be refused with a reason, or prove a password that nobody can guess (which would be a bug).
 * The first two bytes are the size of the first message; the rest is the second one.
 */
#include <assert.h>

#include "engine/identity/scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct password password = {.kind = PASSWORD_SCRAM, .salt_size = 16, .hash_size = PASSWORD_KEY_SIZE, .iterations = 4096, .hash = {1, 2, 3}};
    struct scram scram;
    const char *why = NULL;
    char out[SCRAM_SERVER_FINAL_MAX];
    if (size < 2 || size > 65536) {
        return 0;
    }
    uint32_t left = (uint32_t)size - 2;
    uint32_t first = (uint32_t)(data[0] << 8 | data[1]);
    first = first > left ? left : first;
    if (scram_start(&scram, bytes_of(data + 2, first), &why) != SCRAM_CONTINUE) {
        assert(why != NULL && scram.state == SCRAM_OVER);
        return 0;
    }
    assert(scram_user(&scram).size > 0 && utf8_check(scram_user(&scram)));
    struct bytes challenge = scram_challenge(&scram, &password, "fuzznonce");
    assert(challenge.size > 0 && scram.state == SCRAM_CHALLENGED);
    enum scram_answer answer = scram_finish(&scram, bytes_of(data + 2 + first, left - first), out, &why);
    assert(answer != SCRAM_CONTINUE && why != NULL && scram.state == SCRAM_OVER);
    return 0;
}
