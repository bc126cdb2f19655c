#include "engine/security/security.h"

#include <stdio.h>
#include <stdlib.h>

struct security *
security_read(const struct config *config, const struct security *before, char *error, size_t error_size)
{
    struct security *security = calloc(1, sizeof *security);
    if (security == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    security->generation = before != NULL ? before->generation + 1 : 1;
    for (unsigned i = 0; i < config->listener_count; i++) {
        security->listeners[i].allow_anonymous = config->listeners[i].allow_anonymous;
    }
    return security;
}

void
security_free(struct security **sp)
{
    free(*sp);
    *sp = NULL;
}
