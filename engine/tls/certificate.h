/*
 * certificate: what is written in a certificate: its owner's name, the host names it is for, its days.
 *
 * Uses OpenSSL's libcrypto, so that names look exactly as Mosquitto writes them. Whether a certificate is to be believed is not decided here.
 */
#ifndef TIDEWIRE_ENGINE_TLS_CERTIFICATE_H
#define TIDEWIRE_ENGINE_TLS_CERTIFICATE_H

#include "codec/bytes.h"

#include <stdbool.h>

struct certificate;

/* The first one of a PEM text; NULL: there is none. */
struct certificate *certificate_of_pem(struct bytes pem);
/* NULL: not a certificate. */
struct certificate *certificate_of_der(struct bytes der);
void certificate_free(struct certificate **certificate);

/* The Common Name in UTF-8, from malloc; NULL: it has none, or one that holds a NUL. */
char *certificate_common_name(const struct certificate *certificate);
/* The whole subject in RFC 2253's form, from malloc. */
char *certificate_subject(const struct certificate *certificate);
/* It may be shown for this host name: alternative names, wildcards. */
bool certificate_names_host(const struct certificate *certificate, const char *host);

#endif
