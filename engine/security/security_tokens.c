/* Keys of tokens, in a snapshot. */
#include "engine/security/security_parts.h"

#include <assert.h>

static_assert(JWT_CLAIMS_MAX >= CONFIG_JWT_CLAIMS_MAX, "every claim that can be named is kept");

static bool
same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* The keys of an earlier listener that names the same files: they are read once. */
static struct jwt_keys *
find_keys(struct security *security, const struct config *config, unsigned listener)
{
    const struct config_security *own = config_security(config, listener);
    for (unsigned i = 0; i < listener; i++) {
        const struct config_security *other = config_security(config, i);
        if (same_text(own->jwt_key_file, other->jwt_key_file) && same_text(own->jwt_secret_file, other->jwt_secret_file)) {
            return jwt_keys_hold(security->listeners[i].jwt_keys);
        }
    }
    return NULL;
}

static void
split_claims(struct security *security, const char *text)
{
    for (text += strspn(text, " "); *text != '\0'; text += strspn(text, " ")) {
        uint32_t size = (uint32_t)strcspn(text, " ");
        security->jwt_claims[security->jwt_claim_count++] = bytes_of(text, size);
        text += size;
    }
}

bool
security_read_tokens(struct security *security, const struct config *config, char *error, size_t error_size)
{
    for (unsigned i = 0; i < config->listener_count; i++) {
        const struct config_security *from = config_security(config, i);
        struct security_listener *to = &security->listeners[i];
        if (from->jwt_key_file == NULL && from->jwt_secret_file == NULL) {
            continue;
        }
        to->jwt_keys = find_keys(security, config, i);
        if (to->jwt_keys == NULL) {
            to->jwt_keys = jwt_keys_read(from->jwt_key_file, from->jwt_secret_file, error, error_size);
        }
        if (to->jwt_keys == NULL) {
            return false;
        }
        to->jwt_issuer = from->jwt_issuer;
        to->jwt_audience = from->jwt_audience;
    }
    if (config->jwt_claims != NULL) {
        split_claims(security, config->jwt_claims);
    }
    return true;
}
