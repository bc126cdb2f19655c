/*
 * tls_options: options of TLS. Their readers are in the list of special.h. Internal to engine/config.
 */
#ifndef TIDEWIRE_ENGINE_CONFIG_TLS_OPTIONS_H
#define TIDEWIRE_ENGINE_CONFIG_TLS_OPTIONS_H

#include "engine/config/parser.h"

/* At the end: what would leave the operator with less than was asked for. */
bool tls_options_check(struct parser *parser);

#endif
