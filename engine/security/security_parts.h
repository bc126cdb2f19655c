/*
 * security_parts: how security_read() fills a snapshot, one idea after the other. Each returns false with a line in `error` if what it reads is not good.
 */
#ifndef TIDEWIRE_ENGINE_SECURITY_SECURITY_PARTS_H
#define TIDEWIRE_ENGINE_SECURITY_SECURITY_PARTS_H

#include "engine/security/security.h"

/* Keys of tokens, and what is asked of them. */
bool security_read_tokens(struct security *security, const struct config *config, char *error, size_t error_size);
/* Addresses of HTTP hooks. */
bool security_read_hooks(struct security *security, const struct config *config, char *error, size_t error_size);

#endif
