/*
 * internal: what the files of engine/config share beside the parser. Nobody else includes this.
 */
#ifndef TIDEWIRE_ENGINE_CONFIG_INTERNAL_H
#define TIDEWIRE_ENGINE_CONFIG_INTERNAL_H

#include "engine/config/config.h"

/* A configuration with every default and no listener yet; NULL: out of memory. */
struct config *config_new(void);
/* The listener's defaults; port 1883. */
void config_listener_init(struct config_listener *listener);
void config_listener_fini(struct config_listener *listener);
/* Copies the texts too. False when out of memory; `out` can be given to fini in any case. */
bool config_listener_copy(struct config_listener *out, const struct config_listener *like);
/* Copies the texts too. False when out of memory; `out` can be given to fini in any case. */
bool config_security_copy(struct config_security *out, const struct config_security *like);
void config_security_fini(struct config_security *security);
/* Whether a listener lets clients in without a name. `configured`: there is a listener in the file. */
bool config_settle_anonymous(const struct config *config, const struct config_listener *listener, bool configured);
/* C2, once allow_anonymous is settled. */
bool config_has_way_in(const struct config *config, unsigned listener);
/* Same host, port and address family. */
bool config_listener_same_address(const struct config_listener *a, const struct config_listener *b);
/* Adds a line to config->warnings. */
__attribute__((format(printf, 2, 3))) void config_warn(struct config *config, const char *format, ...);

#endif
