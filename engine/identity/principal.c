#include "engine/identity/principal.h"

#include <stdlib.h>
#include <string.h>

static struct bytes
put(uint8_t **at, struct bytes text)
{
    struct bytes copy = bytes_of(*at, text.size);
    if (text.size > 0) {
        memcpy(*at, text.data, text.size);
    }
    *at += text.size;
    return copy;
}

struct principal *
principal_make(struct budget_account *account, const struct principal *like)
{
    size_t size = sizeof(struct principal) + like->claim_count * sizeof(struct principal_claim) + like->user.size;
    for (uint32_t i = 0; i < like->claim_count; i++) {
        size += like->claims[i].name.size + like->claims[i].value.size;
    }
    struct principal *principal = size <= UINT32_MAX ? malloc(size) : NULL;
    if (principal == NULL) {
        return NULL;
    }
    *principal = *like;
    principal->size = (uint32_t)size;
    struct principal_claim *claims = (struct principal_claim *)(principal + 1);
    uint8_t *at = (uint8_t *)(claims + like->claim_count);
    for (uint32_t i = 0; i < like->claim_count; i++) {
        claims[i].name = put(&at, like->claims[i].name);
        claims[i].value = put(&at, like->claims[i].value);
    }
    principal->claims = claims;
    principal->user = put(&at, like->user);
    budget_charge(account, principal->size);
    return principal;
}

void
principal_free(struct budget_account *account, struct principal **pp)
{
    if (*pp != NULL) {
        budget_refund(account, (*pp)->size);
        free(*pp);
        *pp = NULL;
    }
}
